"""Calls of an export's signatures, in TensorFlow and in LiteRT: shapes, dtypes and values that do
not fit, or are extreme."""

import functools
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from tests.hostile_inputs.common import often, pick
from vae_zoo import errors

_NAME, _CLASSES, _LATENT, _SIDE = "cvae", 4, 3, 8
_INPUTS = {
    "decode": ("z", "label"),
    "sample": ("seed", "label"),
    "encode": ("image", "label"),
    "reconstruct": ("image", "label"),
    "elbo": ("image", "seed", "label"),
}
_SHAPES = {"z": (_LATENT,), "seed": (2,), "image": (_SIDE, _SIDE, 1), "label": ()}
_ROWS = (0, 1, 1, 1, 2, 3, 17)
_EXTREME = (np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-45, -0.0, 1e6)
_WHOLE = (0, 1, -1, _CLASSES, _CLASSES + 1, 2**31 - 1, -(2**31))
_DTYPES = ("float64", "float16", "int64", "int8", "bool", "S3", "complex64")
_TFLITE_ROWS = 1  # of the signatures that are called


@functools.cache
def prepare():
    """Writes the export of a small model with labels, in a process of its own; returns its folder.

    The processes that make the cases are forked from one that must not run TensorFlow itself.
    """
    folder = tempfile.TemporaryDirectory(prefix="export-")
    command = [sys.executable, "-m", __name__, folder.name]
    root = pathlib.Path(__file__).parents[2]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    return folder


def _write(folder):
    import vae_zoo
    from export import saved_model, tflite

    model = vae_zoo.create_model(
        _NAME, image_shape=(_SIDE, _SIDE, 1), num_classes=_CLASSES, tiny=True, latent_size=_LATENT
    )
    saved_model.export_saved_model(model, folder / "saved_model")
    tflite.export_tflite(model, folder / "tflite", quantize=("int8",))


def saved_model(rng, place):
    """One call of a SavedModel's signature."""
    import tensorflow as tf

    name, inputs = _inputs(rng, tuple(_INPUTS))
    function = _loaded().signatures[name]
    try:
        found = function(**{key: tf.constant(value) for key, value in inputs.items()})
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        raise errors.UserError(f"{name}: {error!s:.300}") from error
    _check(name, inputs, {key: np.asarray(value) for key, value in found.items()})


def tflite(rng, place):
    """One call of a .tflite file's signature."""
    name, inputs = _inputs(rng, ("decode", "sample", "encode", "reconstruct"))
    runner = _runner(pick(rng, ("float32", "int8")), f"{name}_{_TFLITE_ROWS}")
    try:
        found = runner(**inputs)
    except (ValueError, TypeError, RuntimeError) as error:
        raise errors.UserError(f"{name}: {error!s:.300}") from error
    _check(name, inputs, found)


@functools.cache
def _loaded():
    import tensorflow as tf

    versions = pathlib.Path(prepare().name, "saved_model").glob("**/saved_model.pb")
    return tf.saved_model.load(str(next(versions).parent))


def _runner(kind, signature):
    """Returns what calls a signature, of a new interpreter: one whose call has failed is not sound.

    In one that was used on, a call ended the process, in LiteRT 2.
    """
    from ai_edge_litert.interpreter import Interpreter

    path = next(pathlib.Path(prepare().name, "tflite").glob(f"*-{kind}.tflite"))
    return Interpreter(str(path)).get_signature_runner(signature)


def _inputs(rng, names):
    """Returns a signature's name and what it is called with."""
    name = pick(rng, names)
    rows = pick(rng, _ROWS) if often(rng) else 1
    inputs = {key: _input(rng, key, rows) for key in _INPUTS[name]}
    if often(rng, 0.05):
        del inputs[pick(rng, list(inputs))]
    if often(rng, 0.05):
        inputs[pick(rng, ("z", "x", "seed", "training"))] = np.zeros((1, 2), np.float32)
    return name, inputs


def _input(rng, key, rows):
    shape = [rows, *_SHAPES[key]]
    how = rng.integers(10)
    if how == 0:
        shape[rng.integers(len(shape))] += int(pick(rng, (-1, 1, 100)))
    elif how == 1:
        shape = shape[1:] if often(rng) else [*shape, 1]
    shape = [max(0, side) for side in shape]
    if key in ("seed", "label"):
        usual = rng.integers(0, _CLASSES, shape)
        odd, dtype = pick(rng, _WHOLE), np.int32
    else:
        usual = rng.normal(size=shape) if key == "z" else rng.random(shape).round()
        odd, dtype = pick(rng, _EXTREME), np.float32
    value = np.asarray(usual, dtype)
    if value.size and often(rng, 0.4):
        value.reshape(-1)[rng.integers(value.size)] = odd
    with np.errstate(all="ignore"):
        return value.astype(pick(rng, _DTYPES)) if often(rng, 0.1) else value


def _check(name, inputs, outputs):
    """Asserts that a result is one: a row for each input's, images in [0, 1].

    What is not finite comes of inputs that are not, or that lie beyond any latent or image.
    """
    rows = {len(np.atleast_1d(value)) for value in inputs.values()}
    sensible = all(np.all(np.abs(value) <= 100) for key, value in inputs.items() if key != "seed")
    for key, value in outputs.items():
        assert len(value) in rows, f"{name}: {len(value)} rows of {key} for {rows}"
        if sensible:
            assert np.isfinite(value).all(), f"{name}: {key} is not finite"
        if key == "image":
            fair = value[np.isfinite(value)]
            assert fair.size == 0 or (fair.min() >= 0 and fair.max() <= 1), f"{name}: {key}"


if __name__ == "__main__":
    _write(pathlib.Path(sys.argv[1]))
