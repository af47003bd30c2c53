"""Folders and archives of image files."""

import io
import os
import socket
import struct
import tarfile

import numpy as np

from tests.hostile_inputs.common import often, pick, spoil, write, zip_file
from tests.hostile_inputs.reading import given_to_a_reader

_FORMATS = ("PNG", "PNG", "JPEG", "GIF", "BMP", "WEBP", "EPS", "TIFF", "ICO", "PPM", "TGA", "PCX")
_FORMATS += ("JPEG2000", "DDS", "SGI", "IM")
_MODES = ("L", "RGB", "RGBA", "1", "P", "LA", "I;16", "I", "CMYK", "F")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".PNG")


def image_bytes(rng):
    """Returns the bytes of an image file, of a format that may not be expected."""
    from PIL import Image

    size = pick(rng, ((8, 8), (8, 8), (8, 9), (1, 1), (40, 3)))
    mode, file = pick(rng, _MODES), io.BytesIO()
    made = Image.fromarray(rng.integers(0, 256, (size[1], size[0]), dtype=np.uint8))
    made = made.convert(mode) if mode != "I;16" else Image.new("I;16", size, 700)
    try:
        made.save(file, pick(rng, _FORMATS))
    except (OSError, ValueError, KeyError):
        made.convert("RGB").save(file, "PNG")
    content = file.getvalue()
    if often(rng, 0.1) and content.startswith(b"\x89PNG"):  # a head that says more pixels
        sides = struct.pack(">II", *(int(pick(rng, (0, 9, 9000, 20000, 2**31 - 1))) for _ in "ab"))
        head = content[12:16] + sides + content[24:29]
        import zlib

        content = content[:12] + head + struct.pack(">I", zlib.crc32(head)) + content[33:]
    return spoil(rng, content) if often(rng, 0.4) else content


def _file_name(rng):
    stem = pick(rng, ("a", "b", "c", "-rf", "é空", "\udcff", "a\nb", "..a", " ", "x" * 200, "*?[]"))
    return f"{stem}{rng.integers(30)}{pick(rng, _SUFFIXES)}"


def folder(rng, place):
    root = place / pick(rng, ("images", "-images", "é空", "a b", "images.png", "[x]*"))
    tops = pick(rng, (("",), ("a", "b"), ("train", "test"), ("train/a", "train/b"), ("a/b/c",)))
    for top in tops:
        (root / top).mkdir(parents=True, exist_ok=True)
        for _ in range(rng.integers(0, 9)):
            (root / top / _file_name(rng)).write_bytes(image_bytes(rng))
    if often(rng, 0.4):
        _odd_entry(rng, root, root / tops[0] / _file_name(rng))
    given_to_a_reader(rng, root)


def _odd_entry(rng, root, path):
    """Makes something at a path that is no plain file."""
    path.unlink(missing_ok=True)
    how = rng.integers(7)
    if how == 0:
        os.mkfifo(path)
    elif how == 1:
        path.symlink_to(path)
    elif how == 2:
        path.symlink_to(root)
    elif how == 3:
        path.symlink_to(pick(rng, ("/dev/zero", "/dev/random", "/etc/passwd", "/proc/self/mem")))
    elif how == 4:
        path.mkdir()
    elif how == 5:
        (root / "loop").symlink_to(root)
    else:
        with socket.socket(socket.AF_UNIX) as end:
            if len(os.fsencode(path)) < 100:
                end.bind(os.fsencode(path))


def archive(rng, place):
    names = [_file_name(rng) for _ in range(rng.integers(0, 8))]
    tops = pick(rng, (("",), ("a/", "b/"), ("train/", "test/"), ("../",), ("/",), ("C:\\",)))
    members = [(pick(rng, tops) + name, image_bytes(rng)) for name in names]
    if often(rng, 0.03):
        members.append(("bomb.png", bytes(30_000_000)))
    suffix = pick(rng, (".zip", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"))
    path = place / f"images{suffix}"
    if suffix == ".zip":
        return given_to_a_reader(rng, zip_file(rng, path, members))
    file, kind = io.BytesIO(), suffix.rpartition(".")[2].replace("tgz", "gz").replace("tar", "")
    with tarfile.open(fileobj=file, mode=f"w:{kind}") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name.encode("utf-8", "surrogateescape").decode("latin-1"))
            info.size = len(content)
            if often(rng, 0.1):
                types = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, b"S")
                info.type, info.linkname = pick(rng, types), "/etc/passwd"
            tar.addfile(info, io.BytesIO(content))
    return given_to_a_reader(rng, write(rng, path, file.getvalue(), 0.4))
