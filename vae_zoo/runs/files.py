"""Files that appear whole or not at all: JSON, CSV, and any other."""

import contextlib
import csv
import fcntl
import io
import json
import math
import os
import pathlib
import tempfile
import zipfile

from vae_zoo import errors

_PARTIAL = ".partial-"  # how the names of unfinished files begin


@contextlib.contextmanager
def atomic(path):
    """Yields a path next to `path`, of the same suffix, that takes its place when all went well.

    The content is on the disk before it takes the place, so that a power failure leaves the old
    file or the new one. It is locked meanwhile: see `remove_partials`.

    Args:
        path: the file.

    Raises:
        UserError: where nothing can be written there.

    Example:
        with atomic("run/model.keras") as partial:
            model.save(partial)
    """
    path = pathlib.Path(path)
    suffix = "".join(path.suffixes)
    with _told(path):
        handle, partial = tempfile.mkstemp(suffix=suffix, prefix=_PARTIAL, dir=path.parent)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.chmod(partial, 0o666 & ~_umask())
        yield partial
        sync(partial)
        with _told(path):
            os.replace(partial, path)
        sync(path.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        os.close(handle)


def sync(path):
    """Waits until a file, or the names in a directory, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(directory):
    """Waits until a directory and all that is in it are on the disk."""
    for place, _, names in os.walk(directory, topdown=False):
        for name in names:
            sync(os.path.join(place, name))
        sync(place)


def remove_partials(directory):
    """Removes the unfinished files that killed processes have left; those of living ones stay."""
    for path in pathlib.Path(directory).glob(f"{_PARTIAL}*"):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


@contextlib.contextmanager
def _told(path):
    """Turns what the system says against a file at `path` into one line; not a full disk."""
    try:
        yield
    except OSError as error:
        if errors.is_no_room(error):
            raise
        raise errors.UserError(
            f"{path} cannot be written ({error.strerror}). Expected a file in a directory that is "
            "there and that you may write to."
        ) from error


def write_json(path, value):
    """Writes a JSON file atomically; numbers that are not finite become null."""
    with atomic(path) as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(_finite(json.loads(json.dumps(value, default=plain))), file, indent=2)
        file.write("\n")


def write_rows(path, rows):
    """Writes dicts as a CSV file atomically; the columns are those of the last row."""
    with atomic(path) as partial:
        pathlib.Path(partial).write_bytes(rows_text(rows).encode())


def rows_text(rows):
    """Returns dicts as the text of a CSV file; the columns are those of the last row."""
    if not rows:
        return ""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[-1]), restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def read_rows(path):
    """Returns the rows of a CSV file of numbers, or an empty list where there is none.

    Raises:
        UserError: for a file that is no such table, or that was cut off.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [dict(row) for row in csv.DictReader(file)]
    except FileNotFoundError:
        return []
    except (ValueError, OSError, csv.Error) as error:
        raise _no_table(path, error) from error
    if any(None in row or None in row.values() for row in rows):
        raise _no_table(path, "a row has another number of columns than the head")
    return [{name: _number(text) for name, text in row.items()} for row in rows]


def _no_table(path, reason):
    return errors.UserError(
        f"{path} cannot be read ({reason}): it is damaged. The command of the training, given "
        "again, writes it anew from its checkpoint."
    )


def _number(text):
    try:
        value = float(text)
    except ValueError:
        return text or None
    return int(value) if value.is_integer() and "." not in text else value


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def is_whole(path):
    """Returns whether a zip file, such as model.keras, agrees with all of its checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # noqa: BLE001 - a damaged file raises anything
        return False


def plain(value):
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (set, tuple)):
        return list(value)
    raise TypeError(f"not a JSON value: {value!r}")


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
