"""Files that appear whole or not at all: JSON, CSV, and any other."""

import contextlib
import csv
import json
import math
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


def write_json(path, value):
    """Writes a JSON file atomically; what is not finite becomes null."""
    with atomic(path) as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(_finite(json.loads(json.dumps(value, default=plain))), file, indent=2)
        file.write("\n")


def write_rows(path, rows):
    """Writes dicts as a CSV file atomically; the columns are those of the last row."""
    with atomic(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[-1]), restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path):
    """Returns the rows of a CSV file of numbers, or an empty list where there is none."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return [{k: _number(v) for k, v in row.items()} for row in csv.DictReader(file)]
    except FileNotFoundError:
        return []


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
