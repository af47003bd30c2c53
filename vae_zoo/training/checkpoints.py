"""What a killed training goes on from: whole checkpoints, the newest that can be read."""

import logging
import pathlib
import shutil
import tempfile

import tensorflow as tf

from vae_zoo import cli, errors
from vae_zoo.runs import files

_GLOB = set("*?[]{}\\")


class Checkpoints:
    """Checkpoints of named trackables in a directory, one for each step saved.

    A checkpoint's index is written last, and older ones are deleted only then: a kill or a full
    disk at any moment leaves the one before.

    Args:
        directory: where they lie.
        trackables: name -> what tf.train.Checkpoint tracks; all of it built.
        is_chief: False for the workers of a cluster that only take part in the writing.
        keep: how many there are at most, the newest; of two, one is to fall back on.
    """

    def __init__(self, directory, trackables, is_chief=True, keep=2):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.is_chief, self.keep = is_chief, keep
        self._checkpoint = tf.train.Checkpoint(**trackables)
        self._link = _link(self.directory)

    def paths(self):
        """Returns the prefixes of the checkpoints there are, newest first."""
        return sorted((path.with_suffix("") for path in self.directory.glob("step-*.index")))[::-1]

    def save(self, step):
        """Writes the state after `step` steps.

        Raises:
            UserError: where the disk is full.
        """
        name = f"step-{step:010d}"
        directory = self.directory if self.is_chief else self.directory / f".worker-{id(self)}"
        try:
            self._checkpoint.write(self._name_for_tensorflow(directory / name))
        except (tf.errors.OpError, OSError) as error:
            self._remove_unfinished(directory)
            if not errors.is_no_room(error):
                raise
            raise cli.no_space(self.directory) from error
        if self.is_chief:
            for part in (*directory.glob(f"{name}.*"), directory):
                files.sync(part)
            self._prune()
        else:
            shutil.rmtree(directory, ignore_errors=True)

    def restore(self):
        """Restores the newest checkpoint that can be read; returns whether there was one.

        Raises:
            UserError: where there are checkpoints and none can be read.
        """
        paths = self.paths()
        for path in paths:
            try:
                self._checkpoint.read(self._name_for_tensorflow(path)).assert_consumed()
                return True
            except Exception as error:  # noqa: BLE001 - a damaged file raises anything
                reason = str(error).splitlines()[0][:120]
                logging.warning(
                    "checkpoint %s cannot be read (%s): trying the one before", path, reason
                )
        if paths:
            raise errors.UserError(
                f"no checkpoint in {self.directory} can be read: all are corrupt, of another "
                "version or of another configuration. Start again with --overwrite."
            )
        return False

    def _name_for_tensorflow(self, path):
        place = self.directory if self._link is None else pathlib.Path(self._link.name, "link")
        return str(place / path.relative_to(self.directory))

    @staticmethod
    def _remove_unfinished(directory):
        """Frees what a full disk or a kill has left of a checkpoint that was being written."""
        for part in directory.glob("*_temp"):
            shutil.rmtree(part, ignore_errors=True)

    def _prune(self):
        self._remove_unfinished(self.directory)
        for path in self.paths()[self.keep :]:
            for part in self.directory.glob(f"{path.name}.*"):
                part.unlink()


def _link(directory):
    """Returns a temporary folder with a "link" to a directory whose path TensorFlow misreads.

    Its reader takes `*`, `?`, brackets, braces and backslashes for patterns. None for other paths.
    """
    if not _GLOB & set(str(directory)):
        return None
    place = tempfile.TemporaryDirectory(prefix="vae_zoo-")
    pathlib.Path(place.name, "link").symlink_to(directory.resolve())
    return place
