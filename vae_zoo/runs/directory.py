"""A run's directory: what lies in it, written atomically, read back with clear errors.

config.json  every setting, versions, git commit, checksum of the data
checkpoints/ what a killed training goes on from
model.keras  the trained model, with its averaged weights where training averaged them
metrics.csv  one row an epoch;  report.json  the figures on the test split
"""

import contextlib
import json
import os
import pathlib
import shutil
import zipfile

from vae_zoo import errors
from vae_zoo.runs import fitted_priors, locks, schema
from vae_zoo.runs.files import atomic, plain, write_json
from vae_zoo.runs.provenance import git_commit, versions

CONFIG, MODEL, METRICS, REPORT = "config.json", "model.keras", "metrics.csv", "report.json"
FORMAT = 1  # of a run; a run of before it was counted has none
DRAWS = 2  # of the noise and the batches that a seed gives in training; 1 is what names none
CHECKPOINTS, TENSORBOARD = "checkpoints", "tensorboard"
# What the commands write into a run, all that --overwrite deletes; config.json, the mark of a run,
# is replaced in the end, so that the same command goes on after a kill.
_WRITTEN = (
    *(MODEL, METRICS, REPORT, CHECKPOINTS, TENSORBOARD, "evaluation.json"),
    *("evaluation.partial.npz", "samples.png", "reconstructions.png", "interpolations.png"),
    *("manifold.png", "curves.png", "report.html", "report_page.json"),
    *("samples-seed*.*", "interpolate-seed*.*", "traverse-seed*.*", "reconstruct-seed*.*"),
)
_WITHIN = {  # what they write into its folders; anything else stays there
    CHECKPOINTS: ("step-*", ".worker-*", "checkpoint", "best.weights.h5"),
    TENSORBOARD: ("events.out.tfevents.*", "samples/events.out.tfevents.*", "samples"),
}
# What a run of an earlier version, which does not name them, was begun with.
_EARLIER = {
    "arguments": {"activation": "relu", "principal": False},
    "training": {"optimizer": "adam"},
}
# What a later command of the same run may say otherwise.
_MAY_CHANGE = ("data_dir", "manual_dir", "memory_budget_mb", "max_minutes", "accumulate", "keep")


def read_config(directory):
    """Returns a run's settings.

    Raises:
        UserError: where the directory holds no run, or its config.json cannot be read, or is none
            of a run.
    """
    path = pathlib.Path(directory) / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise errors.UserError(
            f"{directory} is not a run: expected {CONFIG} in it. Give the --output_dir of a "
            "training, such as runs/conv_vae-digits."
        ) from None
    except (ValueError, OSError, RecursionError) as error:
        raise errors.UserError(
            f"{path} cannot be read ({error}). Restore it, or train in another directory."
        ) from error
    if isinstance(config, dict) and config.get("format", FORMAT) != FORMAT:
        raise errors.UserError(
            f"{path} is of format {config['format']!r:.40}; this version reads format {FORMAT}. "
            "A newer version of vae_zoo wrote it: expected that version, or a run of this one."
        )
    schema.check_config(path, config)
    return config


def begun_without(directory, group):
    """Returns {name: value} of what a run was begun with, and an earlier version does not name.

    Args:
        directory: the --output_dir of a training; {} where it holds no run.
        group: "arguments" or "training" of config.json.
    """
    if not (pathlib.Path(directory) / CONFIG).exists():
        return {}
    named = read_config(directory)[group]
    return {name: value for name, value in _EARLIER[group].items() if name not in named}


def is_started(directory):
    """Returns whether a run has a checkpoint to go on from."""
    return any((pathlib.Path(directory) / CHECKPOINTS).glob("step-*.index"))


def load_run(directory, prior=None, place=None):
    """Returns the trained model of a run.

    Args:
        directory: the --output_dir of a training.
        prior: the name of a fitted prior that takes the place of the model's own; see fit_prior.
        place: the directory where that prior lies; None is the run.

    Raises:
        UserError: where there is no run, no finished model, or a corrupt one; likewise the prior.
    """
    config = read_config(directory)
    if prior is not None:
        fitted_priors.check(pathlib.Path(place or directory), prior)

    import keras

    from vae_zoo import registry

    wanted = registry.model_class(config["model"])  # registers the class
    path = pathlib.Path(directory) / MODEL
    if not path.exists():
        raise errors.UserError(
            f"{directory} has no {MODEL}: its training has not finished. Give its command again "
            f"to go on: {config.get('command', 'python -m vae_zoo.train ...')}"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                raise ValueError("a checksum is wrong")
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise errors.UserError(
            f"{path} cannot be loaded: it is corrupt or of another version "
            f"({type(error).__name__}: {str(error).splitlines()[0][:120]}). "
            "Restore it; or delete it, and give the command of the training again: it writes it "
            "anew from its checkpoint."
        ) from error
    name = config["arguments"].get("name", config["model"])
    if type(model) is not wanted or model.name != name:
        raise errors.UserError(
            f"{path} holds a model {model.name}, and {CONFIG} next to it is of {name}. "
            "Expected the file of this run: restore it, or train again with --overwrite."
        )
    schema.check_arguments(pathlib.Path(directory) / CONFIG, config["arguments"], model)
    if prior is not None:
        fitted_priors.use(model, place or directory, prior, path)
    return model


def read_report(directory):
    """Returns a run's report.json.

    Raises:
        UserError: where there is none that can be read.
    """
    path = pathlib.Path(directory) / REPORT
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        schema.check_report(path, report)
    except (OSError, ValueError, RecursionError) as error:
        raise errors.UserError(
            f"{path} cannot be read ({error}): the training has not finished, or the file is "
            "damaged. Give the command of the training again to go on."
        ) from error
    return report


def save_model(model, path):
    """Writes a model's .keras file, without optimizer or compilation; returns the fresh copy."""
    fresh = fresh_copy(model)
    with atomic(path) as partial:
        fresh.save(partial, overwrite=True)
    return fresh


def fresh_copy(model):
    """Returns a model of the same weights, without optimizer, compilation or strategy."""
    fresh = type(model).from_config(model.get_config())
    fresh.set_weights(model.get_weights())
    return fresh


def load_splits(directory, **overrides):
    """Returns the Splits that a run was trained on.

    Args:
        directory: the --output_dir of a training.
        **overrides: of datasets.load: `data_dir`, `batch_size`, `name` for another data set, which
            is brought to the run's binarisation policy.

    Raises:
        UserError: where there is no run, or the data is not that of the run.
    """
    from vae_zoo import datasets

    config = read_config(directory)
    settings = {**config["dataset"], **{k: v for k, v in overrides.items() if v is not None}}
    name, seed = settings.pop("name"), config["training"]["seed"]
    if _is_same_place(name, config["dataset"]["name"]):
        splits = datasets.load(name, seed=seed, **settings)
        _check_unchanged(directory, config, splits)
    else:
        settings |= {"crop": None, "augment": None, "batch_size": overrides.get("batch_size")}
        splits = datasets.load_like(config.get("binarization"), name, seed=seed, **settings)
    shape = tuple(config["arguments"]["image_shape"])
    if tuple(splits.image_shape) != shape:
        raise errors.UserError(
            f"{name} has images of {splits.image_shape}, and the run's model takes {shape}. "
            "Expected the same shape: take the run's own data set, or --image_size."
        )
    return splits


def _is_same_place(name, other):
    """Returns whether two names of data are the same, or paths to the same place."""
    paths = [os.path.expanduser(each) for each in (name, other)]
    return name == other or (all(map(os.path.exists, paths)) and os.path.samefile(*paths))


def _check_unchanged(directory, config, splits):
    """Refuses own images that are others than in the training; of other data, adds a note.

    Own images are split by their number: with others, some that were trained on would be tested.
    """
    if config.get("data_checksum") in (None, splits.checksum):
        return
    changed = f"{splits.name} is not as it was when {directory} was trained on it"
    if os.path.exists(os.path.expanduser(splits.name)):
        raise errors.UserError(
            f"{changed}: images were added, removed or changed, so that test images may be some "
            "that were trained on. Expected the same images: put them back, or train anew on these."
        )
    splits.notes.append(f"{changed}: another version of the data set was prepared")


def open_run(directory, config, *, overwrite=False, resume=False):
    """Makes a directory ready for a training; returns True where one goes on.

    Args:
        directory: the --output_dir.
        config: the settings of this training.
        overwrite: delete the run that lies there; other files are left.
        resume: expect a run there.

    Raises:
        UserError: for a directory that cannot be written, that holds other files, another
            model, or a training with other settings.
    """
    directory = pathlib.Path(directory)
    locks.make_writable(directory)
    entries = [entry.name for entry in directory.iterdir() if not entry.name.startswith(".")]
    is_run = CONFIG in entries
    if entries and not is_run:
        raise errors.UserError(
            f"--output_dir={directory} holds files that are not a run's ({sorted(entries)[0]}). "
            "Expected an empty directory or a run: take another one."
        )
    there = read_config(directory) if is_run else None
    if is_run and overwrite:
        for name in (*fitted_priors.files_in(directory), *_WRITTEN):
            for path in directory.glob(name):
                _delete(path)
        is_run = False
    if resume and not is_run:
        raise errors.UserError(
            f"--resume: no run in {directory}. Leave the flag out to start one there."
        )
    if is_run:
        _check_same_settings(directory, there, config)
        for left in (directory / CHECKPOINTS).glob(".worker-*"):  # by one that was killed
            shutil.rmtree(left, ignore_errors=True)
        return True
    write_json(directory / CONFIG, config)
    return False


def draws_differ(directory):
    """Returns whether a run was begun with other draws of noise and batches than today's."""
    return read_config(directory).get("draws", 1) != DRAWS


def describe(model, arguments, dataset, training, command, splits):
    """Returns the content of config.json."""
    return {
        "format": FORMAT,
        "draws": DRAWS,
        "model": model,
        "arguments": arguments,
        "dataset": dataset,
        "training": training,
        "data_checksum": splits.checksum,
        "binarization": splits.binarization,
        "num_train": splits.num_train,
        "label_names": splits.label_names,
        "command": command,
        "versions": versions(),
        "git_commit": git_commit(),
    }


def _check_same_settings(directory, there, here):
    if there["model"] != here["model"]:
        raise errors.UserError(
            f"--output_dir={directory} holds a run of {there['model']}, not of {here['model']}. "
            "Take another directory, or --overwrite to delete that run."
        )
    here = json.loads(json.dumps(here, default=plain))
    changed = []
    for group in ("arguments", "dataset", "training"):
        was, now = {**_EARLIER.get(group, {}), **there[group]}, here[group]
        changed += [
            f"{name} was {was.get(name)!r}, now {now.get(name)!r}"
            for name in sorted({*there[group], *now})
            if name not in _MAY_CHANGE and was.get(name) != now.get(name)
        ]
    if there.get("data_checksum") != here["data_checksum"]:
        changed.append("the data has another checksum")
    if changed:
        raise errors.UserError(
            f"--output_dir={directory} holds a run with other settings ({'; '.join(changed)}). "
            "Give the same flags to go on, another directory, or --overwrite to delete that run."
        )


def _delete(path):
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    patterns = _WITHIN.get(path.name, ())
    for part in [part for pattern in patterns for part in path.glob(pattern)]:
        if part.is_dir() and path.name == CHECKPOINTS:
            shutil.rmtree(part)
        else:
            _delete(part)
    with contextlib.suppress(OSError):  # not empty: something of the user
        path.rmdir()
