"""One training at a time in a run: a lock that ends with the process that holds it."""

import contextlib
import errno
import fcntl
import os
import pathlib
import tempfile

from vae_zoo import errors
from vae_zoo.runs import files


@contextlib.contextmanager
def held(directory):
    """Holds a run's directory for one training, and makes the directory if need be.

    What a killed process has left half-written there is removed.

    Args:
        directory: the --output_dir.

    Raises:
        UserError: where another process holds it, or it cannot be written.
    """
    directory = pathlib.Path(directory)
    make_writable(directory)
    handle = os.open(directory, os.O_RDONLY)
    try:
        if not _lock(handle):
            raise errors.UserError(
                f"--output_dir={directory} is in use: another training writes there. Wait for its "
                "end, stop it, or take another directory."
            )
        files.remove_partials(directory)
        yield
    finally:
        os.close(handle)


def make_writable(directory):
    """Makes a directory.

    Raises:
        UserError: where nothing can be written there.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise errors.UserError(
            f"--output_dir={directory} cannot be written ({error.strerror}). "
            "Expected a directory that you may write to: take another one."
        ) from error


def _lock(handle):
    """Returns whether the lock was free; on a file system without locks it always is."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
    return True
