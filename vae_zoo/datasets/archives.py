"""Zip and tar files of images, read where they are: nothing is written to disk."""

import io
import pathlib
import stat
import tarfile
import zipfile
from typing import Any, NamedTuple

from vae_zoo import errors

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_MOST = 2**30  # bytes of files that are held in memory, of a compressed tar
_LARGEST = 2**28  # bytes of one file
_PACKED = 200  # a file that grows by more is no image


class File(NamedTuple):
    """A file of images.

    Attributes:
        open: a function that opens it for reading.
        stamp: changes when the file does.
    """

    open: Any
    stamp: Any


def files(path):
    """Returns path inside the archive, as a tuple -> File.

    The one folder that everything lies in is left out of the paths.

    Raises:
        UserError: for a broken archive, and one with links, paths that lead out of it, or files
            that grow beyond measure.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise errors.UserError(f"--dataset={path}: no regular file. Expected an archive.")
    try:
        found = _zip_files(path) if path.suffix.lower() == ".zip" else _tar_files(path)
    except (errors.UserError, MemoryError):
        raise
    except Exception as error:  # each way of packing raises its own where a file is damaged
        raise errors.UserError(
            f"{path} cannot be read: it is corrupt ({type(error).__name__}). Expected a zip or "
            "tar file of images."
        ) from error
    kept = {n: f for n, f in found.items() if not n[0].startswith(("__MACOSX", "."))}
    while kept and len({n[0] for n in kept}) == 1 and all(len(n) > 1 for n in kept):
        kept = {name[1:]: file for name, file in kept.items()}
    return kept


def _zip_files(path):
    archive, found = zipfile.ZipFile(path), {}
    for info in archive.infolist():
        if info.is_dir():
            continue
        link = stat.S_ISLNK(info.external_attr >> 16)
        packed = info.file_size > 2**20 and info.file_size > _PACKED * max(1, info.compress_size)
        name = _checked(path, info.filename, link, info.file_size, packed)
        if info.flag_bits & 1:
            raise errors.UserError(f"{path}: {info.filename} is encrypted. Expected plain files.")
        found[name] = File(lambda info=info: _zip_member(archive, info), info.CRC)
    return found


def _zip_member(archive, info):
    try:
        return io.BytesIO(archive.read(info))
    except Exception:  # noqa: BLE001 - damaged: each way of packing raises its own
        return io.BytesIO()  # no image: what decodes it names it


def _tar_files(path):
    """Returns the files of a tar, by their place in it; of a compressed one, in memory."""
    found, held = {}, 0
    plain = path.suffix.lower() == ".tar"
    with tarfile.open(path, "r:" if plain else "r:*") as archive:
        for info in archive:
            if info.isdir():
                continue
            special = not info.isreg() or info.issparse()
            name = _checked(path, info.name, special, info.size)
            if plain:
                place = (info.offset_data, info.size)
                found[name] = File(lambda place=place: _slice(path, *place), (*place, info.mtime))
                continue
            held += info.size
            if held > _MOST:
                raise errors.UserError(
                    f"{path} holds more than {_MOST / 2**30:.0f} GB. Expected a plain .tar, a "
                    ".zip, or the folder unpacked."
                )
            content = archive.extractfile(info).read()
            found[name] = File(lambda content=content: io.BytesIO(content), info.mtime)
    return found


def _slice(path, start, size):
    with open(path, "rb") as file:
        file.seek(start)
        return io.BytesIO(file.read(size))


def _checked(path, name, special, size, packed=False):
    """Returns a member's path as a tuple, or refuses it."""
    parts = pathlib.PurePosixPath(name.replace("\\", "/")).parts
    if not parts or ".." in parts or parts[0] == "/" or parts[0].endswith(":"):
        raise errors.UserError(f"{path}: {name!r} leads out of the archive. Expected plain paths.")
    if special:
        raise errors.UserError(f"{path}: {name} is a link or a device. Expected plain files.")
    if size > _LARGEST or packed:
        raise errors.UserError(
            f"{path}: {name} unpacks to {size / 2**20:,.0f} MB. Expected image files of at most "
            f"{_LARGEST // 2**20} MB."
        )
    return parts
