"""What an interrupted evaluation has done so far, kept in a file."""

import contextlib
import hashlib
import os
import pathlib
import time
import warnings
import zlib

import numpy as np

from vae_zoo import errors
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
            with contextlib.suppress(OSError):  # of other settings next time, it is ignored
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
        try:
            with files.atomic(self.path) as partial, open(partial, "wb") as file:
                results = np.concatenate(self.blocks)
                np.savez(file, fingerprint=self.key, results=results, sizes=sizes)
        except (errors.UserError, OSError) as error:
            self.path = None
            warnings.warn(f"{error} An interrupted evaluation will start anew.", stacklevel=2)
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


class PartialRows:
    """Rows of numbers of many images, appended to a file: only the last block is in memory.

    An image has one row, or none where it is broken. The file starts with the fingerprint and the
    width of its rows; a row is the image's number, its values, and a checksum of both.

    Args:
        path: the file.
        key: the fingerprint of what the rows depend on; a file of another one is ignored.
        width: values of a row.
        block: images of a block: what breaks off within one is done again.
        dtype: of the values.

    Attributes:
        done: images that are done, of whole blocks.
    """

    def __init__(self, path, key, width, block, dtype):
        self.path, self._block = pathlib.Path(path), block
        self._head = f"{key} {width} {np.dtype(dtype).str}\n".encode()
        self._row = np.dtype([("index", "<i8"), ("values", dtype, (width,)), ("check", "<u4")])
        self.done = self._resume()

    def add(self, index, values):
        """Appends the rows of the next block: numbers of images [n], values [n, width]."""
        rows = np.empty(len(index), self._row)
        rows["index"], rows["values"] = index, values
        rows["check"] = [_checksum(row) for row in rows]
        with open(self.path, "ab") as file:
            file.write(rows.tobytes())
        self.done += self._block

    def rows(self):
        """Returns all rows as a structured array on disk, with fields index and values."""
        count = (self.path.stat().st_size - len(self._head)) // self._row.itemsize
        if not count:
            return np.empty(0, self._row)
        return np.memmap(self.path, self._row, "r", len(self._head), (count,))

    def delete(self):
        """Removes the file: all is done."""
        self.path.unlink(missing_ok=True)

    def _resume(self):
        """Returns how many images are done; leaves the rows of whole blocks alone."""
        if self.path.exists():
            with open(self.path, "rb") as file:
                head, has_rows = file.readline(len(self._head)), bool(file.read(1))
            if head == self._head:
                return self._drop_last_block()
            if has_rows:
                warnings.warn(
                    f"{self.path} is ignored: it belongs to other images, weights or settings. "
                    "The work starts anew.",
                    stacklevel=4,
                )
        self.path.write_bytes(self._head)
        return 0

    def _drop_last_block(self):
        rows = self.rows()
        broken = (i for i, row in enumerate(rows) if row["check"] != _checksum(row))
        index = np.array(rows["index"][: next(broken, len(rows))])
        if len(index) < len(rows):
            warnings.warn(
                f"{self.path} is damaged: the work goes on from before that.", stacklevel=5
            )
        done = (int(index[-1]) + 1) // self._block * self._block if len(index) else 0
        kept = int(np.searchsorted(index, done))
        os.truncate(self.path, len(self._head) + kept * self._row.itemsize)
        return done


def _checksum(row):
    """Returns the CRC-32 of a row's number and values."""
    return zlib.crc32(row["index"].tobytes() + row["values"].tobytes())
