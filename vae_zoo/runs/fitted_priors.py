"""Fitted priors of a run: prior-<name>.npz holds one's weights and what it was fitted to.

A prior belongs to one model.keras, whose SHA-256 it keeps: it is not used with another.
"""

import json
import pathlib

import numpy as np

from vae_zoo import errors, presets
from vae_zoo.runs.files import atomic, is_whole, plain

FORMAT = 1
# What its description must hold, and the types.
_TYPES = {
    "format": int,
    "prior": str,
    "components": int,
    "steps": int,
    "seed": int,
    "model_sha256": str,
    "figures": dict,
    "versions": dict,
}


def file_of(directory, name):
    """Returns the path of a fitted prior."""
    return pathlib.Path(directory) / f"prior-{name}.npz"


def files_in(directory):
    """Returns the names of what rests on fitted priors in a run."""
    from vae_zoo.probability import fitted

    parts = ("prior-{}.npz", *("evaluation-{}.json", "evaluation-{}.partial.npz"))
    parts += ("report-{}.html", "report-{}.json")
    names = [name for name in names_in(directory) if name in fitted.NAMES]
    return [part.format(name) for name in names for part in parts]


def names_in(directory):
    """Returns the names of the fitted priors in a directory."""
    paths = pathlib.Path(directory).glob("prior-*.npz")
    return sorted(path.stem.removeprefix("prior-") for path in paths)


def save(directory, part, about):
    """Writes a fitted prior, and returns its path.

    Args:
        directory: where to.
        part: the prior, a keras.layers.Layer.
        about: what was given and found; see _TYPES.
    """
    path = file_of(directory, about["prior"])
    text = json.dumps({"format": FORMAT, **about}, default=plain)
    weights = {f"weight_{number}": w.numpy() for number, w in enumerate(part.weights)}
    with atomic(path) as partial:
        np.savez(partial, about=text, **weights)
    return path


def check(directory, name):
    """Raises a UserError where a directory has no such fitted prior."""
    if not name.isidentifier() or not file_of(directory, name).is_file():
        there = ", ".join(names_in(directory)) or "none"
        raise errors.UserError(
            f"--prior={name}: {directory} has no such fitted prior (there: {there}). Expected one "
            "that python -m vae_zoo.fit_prior wrote."
        )


def use(model, directory, name, model_file):
    """Gives a model a fitted prior, in the place of its own.

    Args:
        model: a VAE. It is for evaluation, sampling and export; saved, it does not load again.
        directory: where the prior lies.
        name: of the prior.
        model_file: the model.keras that the model was loaded from.

    Raises:
        UserError: where there is none, a damaged one, or one of another model.
    """
    check(directory, name)
    path = file_of(directory, name)
    about, weights = _read(path)
    if about["model_sha256"] != presets.sha256_of(model_file):
        raise errors.UserError(
            f"{path} was fitted to another {model_file.name} than {model_file}. Expected a prior "
            f"of this one: python -m vae_zoo.fit_prior, with --prior={name}, fits it anew."
        )

    from vae_zoo.probability import fitted

    part = fitted.build(name, model, about["components"]) if name in fitted.NAMES else None
    shapes = [] if part is None else [tuple(weight.shape) for weight in part.weights]
    if not shapes or shapes != [weight.shape for weight in weights]:
        raise _damaged(path, "its weights are of another prior")
    part.set_weights(weights)
    model.replace_prior(part, name)


def _read(path):
    try:
        if not is_whole(path):
            raise ValueError("a checksum is wrong")
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            weights = [file[f"weight_{number}"] for number in range(len(file.files) - 1)]
        wrong = [key for key, kind in _TYPES.items() if type(about[key]) is not kind]
    except Exception as error:  # noqa: BLE001 - a damaged file raises anything
        raise _damaged(path, f"{type(error).__name__}: {str(error)[:80]}") from error
    if wrong or about["format"] != FORMAT or path != file_of(path.parent, about["prior"]):
        raise _damaged(path, f"its {', '.join(wrong) or 'format or name'} is not what was expected")
    return about, weights


def _damaged(path, reason):
    return errors.UserError(
        f"{path} cannot be used ({reason}): it is damaged, or another version wrote it. Expected "
        "what python -m vae_zoo.fit_prior writes: give its command again."
    )
