"""Files of arrays, .npz and .npy, whose heads and content may not fit."""

import io
import pickle
import struct

import numpy as np

from tests.hostile_inputs.common import Payload, often, pick, write, zip_file
from tests.hostile_inputs.reading import given_to_a_reader

_SHAPES = (
    *((40, 8, 8), (40, 8, 8, 1), (40, 8, 8, 3), (40, 8, 8, 4), (40, 3, 8, 8), (40, 8, 8, 5)),
    *((40, 64), (40,), (), (0, 8, 8), (40, 0, 8), (1, 8, 8), (2, 8, 8), (10, 1, 1), (9, 300, 2)),
)
_DTYPES = ("u1", "u1", "u1", "u2", "u8", "i1", "i8", "f2", "f4", "f8", ">f4", ">u2", "?", "c8")
_DTYPES += ("S3", "U2", "M8[s]", "m8[D]", "V5", "O", "f16", [("a", "u1"), ("b", "f4")])


def array(rng, shape=None):
    """Returns an array of any dtype and shape; what it holds may fit, or not."""
    shape = pick(rng, _SHAPES) if shape is None else shape
    dtype = pick(rng, _DTYPES)
    if dtype == "O":
        made = np.empty(shape, object)
        made.fill(Payload())
        return made
    if isinstance(dtype, list):
        return np.zeros(shape, dtype)
    most = pick(rng, (1, 1, 10, 255, 65535))
    numbers = np.asarray(rng.integers(0, most + 1, shape))
    if np.dtype(dtype).kind == "f":
        numbers = numbers / pick(rng, (1, most, -most))
        if often(rng, 0.2) and numbers.size:
            numbers.flat[0] = pick(rng, (np.nan, np.inf, -np.inf, 1e300))
    with np.errstate(all="ignore"):
        return numbers.astype(dtype)


def npy_bytes(rng, made):
    """Returns an array as the bytes of a .npy file, whose head may say something else."""
    file = io.BytesIO()
    np.save(file, made, allow_pickle=True)
    content = file.getvalue()
    if often(rng, 0.6):
        return content
    shapes = ((10**12, 8, 8), (-1, 8, 8), (2**63, 2), (10**6, 10**6, 3), (40, 8, 9), (8,) * 70)
    head = {
        "descr": pick(rng, ("|u1", "|O", "<f8", "u1,f4", "V99999999999", "<U999999999", "é")),
        "fortran_order": bool(often(rng)),
        "shape": pick(rng, shapes),
    }
    text = pick(rng, (repr(head), repr(head), "(" * 5000, "{" * 9000, "1", "exit()", " " * 60000))
    head = text.encode() + b"\n"
    return b"\x93NUMPY\x02\0" + struct.pack("<I", len(head)) + head + made.tobytes()[:4096]


_ARRAY_NAMES = ("image", "images", "x", "x_train", "x_test", "train_images", "arr_0", "label", "y")
_ARRAY_NAMES += ("y_train", "y_test", "factors", "latents_classes", "../image", "/image", "", "x/y")


def npz(rng, place):
    names = [pick(rng, _ARRAY_NAMES) for _ in range(rng.integers(1, 4))]
    if often(rng, 0.7):
        names = [pick(rng, ("image", "x", "x_train", "data")), *names]
    members = []
    for name in names:
        made = array(rng)
        if name.startswith(("label", "y", "factors")):
            made = array(rng, pick(rng, ((40,), (40, 1), (40, 4), (39,), (40, 2, 2), ())))
        content = npy_bytes(rng, made)
        if often(rng, 0.05):
            content = pickle.dumps(Payload())
        if often(rng, 0.01):
            content = npy_bytes(rng, np.zeros((40, 1000, 1000), np.uint8))  # packs to nothing
        members.append((name + pick(rng, (".npy", ".npy", ".npy", "")), content))
    given_to_a_reader(rng, zip_file(rng, place / "images.npz", members))


def npy(rng, place):
    path = place / pick(rng, ("images.npy", "images.npz", "é\udcff.npy", "-x.npy", "a b.NPY"))
    content = pickle.dumps(Payload()) if often(rng, 0.05) else npy_bytes(rng, array(rng))
    given_to_a_reader(rng, write(rng, path, content, 0.5))
