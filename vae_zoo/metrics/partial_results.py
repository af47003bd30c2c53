"""What an interrupted evaluation has done so far, kept in a file."""

import hashlib
import pathlib
import time
import warnings

import numpy as np

from vae_zoo.runs import files

_STORE_SECONDS = 1.0  # how much work a killed evaluation may lose


def fingerprint(model, *settings):
    """Returns what results depend on, as a SHA-256 in hexadecimal.

    Args:
        model: its weights count.
        *settings: arrays, and whatever else has a `repr`.
    """
    digest = hashlib.sha256()
    for setting in settings:
        array = isinstance(setting, np.ndarray)
        digest.update(repr((setting.shape, setting.dtype) if array else setting).encode())
        if array:
            digest.update(np.ascontiguousarray(setting))
    for variable in model.weights:
        digest.update(np.ascontiguousarray(variable.numpy()))
    return digest.hexdigest()


class PartialResults:
    """The results of finished blocks, kept in a file while the evaluation runs.

    Args:
        path: the file, or None.
        key: the fingerprint of what the results depend on; a file of another one is ignored.

    Attributes:
        blocks: the results of each block, arrays with one row an image.
    """

    def __init__(self, path, key):
        self.path, self.key = None if path is None else pathlib.Path(path), key
        self.blocks, self.stored_at = self._read(), time.monotonic()
        self.stored = len(self.blocks)

    def add(self, result):
        """Takes one block's results; writes the file at most once a second."""
        self.blocks.append(result)
        if time.monotonic() - self.stored_at > _STORE_SECONDS:
            self._write()

    def delete(self):
        """Removes the file: all is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self.stored < len(self.blocks):
            self._write()

    def _write(self):
        if self.path is None:
            return
        sizes = [len(block) for block in self.blocks]
        with files.atomic(self.path) as partial, open(partial, "wb") as file:
            results = np.concatenate(self.blocks)
            np.savez(file, fingerprint=self.key, results=results, sizes=sizes)
        self.stored, self.stored_at = len(self.blocks), time.monotonic()

    def _read(self):
        if self.path is None or not self.path.exists():
            return []
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                if str(stored["fingerprint"]) == self.key:
                    return np.split(stored["results"], np.cumsum(stored["sizes"])[:-1])
            reason = "it belongs to other images, weights or settings"
        except Exception as error:  # noqa: BLE001 - the file may hold anything
            reason = f"it cannot be read ({error})"
        warnings.warn(
            f"{self.path} is ignored: {reason}. The evaluation starts anew.", stacklevel=4
        )
        return []
