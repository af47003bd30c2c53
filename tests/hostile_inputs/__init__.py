"""Inputs that mean no good, each a function of a random generator, given to the product's parsers.

KINDS names them, and each file here makes some. Each takes (rng, place): it writes what it needs
below `place`, an empty folder, and calls what a command would call. What it raises, or leaves
behind, is judged by tests.hostile.
"""

import numpy as np

from tests.hostile_inputs import arrays, calls, demonstration, exports, flags, images, runs

KINDS = {
    "arrays, .npz": arrays.npz,
    "an array, .npy": arrays.npy,
    "a folder of images": images.folder,
    "an archive of images": images.archive,
    "config.json": runs.config,
    "model.keras": runs.keras_file,
    "a preset": runs.preset,
    "other files of a run": runs.run_files,
    "--set": flags.setting,
    "flags": flags.command_line,
    "requests to the demonstration": demonstration.demonstration,
    "a .tflite file": exports.tflite_file,
    "an export's manifest": exports.manifest,
    "a call of a SavedModel": calls.saved_model,
    "a call of a .tflite file": calls.tflite,
}
_SHARES = dict(zip(KINDS, (20, 12, 14, 10, 6, 4, 4, 10, 4, 8, 16, 6, 6, 8, 8), strict=True))


def choose(rng):
    """Returns the kind of a case: those that are read quickly come more often."""
    return str(rng.choice(list(_SHARES), p=_of_one(list(_SHARES.values()))))


def prepare():
    """Imports what the cases need, before the processes that make them are forked."""
    import keras  # noqa: F401
    import tensorflow_probability  # noqa: F401

    from export import flatbuffer  # noqa: F401
    from export.demo import server  # noqa: F401
    from vae_zoo import limits, presets, registry, runs, train_request  # noqa: F401
    from vae_zoo.datasets import listed  # noqa: F401
    from vae_zoo.runs import finished, fitted_priors  # noqa: F401

    calls.prepare()


def _of_one(numbers):
    return np.array(numbers) / sum(numbers)
