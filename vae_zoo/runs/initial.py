"""Starts a training from the weights of a run or a preset, as far as they fit."""

import pathlib
import tempfile

import h5py

from vae_zoo import errors, presets
from vae_zoo.runs.directory import CONFIG, load_run

_NAMED = 5  # weights that do not fit, in a note


def copy_weights(model, reference):
    """Gives a model the weights of a trained one, and returns a note that says which.

    A weight fits where both models have one at the same place in their layers, of the same shape.

    Args:
        model: a VAE.
        reference: the folder of a run; or a preset: a name, folder, zip or https address.

    Raises:
        UserError: where there is no such model, or nothing fits.
    """
    is_run = (pathlib.Path(reference) / CONFIG).is_file()
    trained = load_run(reference if is_run else presets.find(reference))
    fitting, other = [], []
    with tempfile.TemporaryDirectory() as place:
        ours, theirs = (f"{place}/{name}.weights.h5" for name in ("ours", "theirs"))
        model.save_weights(ours)
        trained.save_weights(theirs)
        with h5py.File(theirs) as source, h5py.File(ours, "r+") as target:
            for name in _arrays(target):
                same = name in source and source[name].shape == target[name].shape
                (fitting if same else other).append(name)
                if same:
                    target[name][...] = source[name][...]
        model.load_weights(ours)
    if not fitting:
        raise errors.UserError(
            f"--init_from={reference}: none of the weights of {trained.name} fit {model.name}. "
            "Expected a model of the same kind and sizes."
        )
    note = f"started from {reference}: {len(fitting)} of {len(fitting) + len(other)} weights fit"
    if not other:
        return note
    named = ", ".join(other[:_NAMED]) + (" and more" if len(other) > _NAMED else "")
    return f"{note}; these start anew, their shapes or names differ: {named}"


def _arrays(file):
    """Returns the paths of the arrays of a HDF5 file."""
    found = []
    file.visititems(lambda name, item: found.append(name) if hasattr(item, "shape") else None)
    return found
