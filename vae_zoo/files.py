"""Files that appear whole or not at all."""

import contextlib
import os
import pathlib
import tempfile


@contextlib.contextmanager
def atomic(path):
    """Yields a path beside `path`, of the same suffix, that takes its place when all went well.

    Example:
        with atomic("run/model.keras") as partial:
            model.save(partial)
    """
    path = pathlib.Path(path)
    handle, partial = tempfile.mkstemp(suffix="".join(path.suffixes), prefix=".", dir=path.parent)
    os.close(handle)
    os.chmod(partial, 0o666 & ~_umask())
    try:
        yield partial
        with open(partial, "rb") as written:
            os.fsync(written.fileno())
        os.replace(partial, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
