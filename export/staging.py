"""A hidden folder in which something is made, before it takes its place in one step."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import tempfile


@contextlib.contextmanager
def folder(parent, prefix):
    """Yields a new hidden folder; removes it at the end, if it was not moved away.

    It is locked meanwhile: folders that a killed process has left have no lock, and are removed
    first.

    Args:
        parent: where it lies, an existing directory.
        prefix: of its name, with the leading dot.
    """
    parent = pathlib.Path(parent)
    for left in parent.glob(f"{prefix}*"):
        with _locked(left) as free:
            if free:
                shutil.rmtree(left, ignore_errors=True)
    made = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    with _locked(made):
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def _locked(directory):
    """Yields whether the lock of a directory was to be had; it ends with the process, or before."""
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # it has just been moved or removed
        yield False
        return
    try:
        yield _lock(handle)
    finally:
        os.close(handle)


def _lock(handle):
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
