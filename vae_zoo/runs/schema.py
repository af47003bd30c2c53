"""What config.json and report.json must hold, checked before a command takes a value from them."""

import inspect
import json
import math

from vae_zoo import errors
from vae_zoo.runs.files import plain

_TEXT, _WHOLE, _NUMBER, _FLAG = (str,), (int,), (int, float), (bool,)
_NONE = (type(None),)
# The types of what each part of config.json may hold; a test holds "training" to Settings.
_TYPES = {
    "dataset": {
        "name": _TEXT,
        "batch_size": _WHOLE + _NONE,
        "image_size": _WHOLE + _TEXT + (list,) + _NONE,
        "crop": _WHOLE + _NONE,
        "channels": _WHOLE + _NONE,
        "binarization": _TEXT + _NONE,
        "augment": (list,) + _NONE,
        "data_dir": _TEXT + _NONE,
        "manual_dir": _TEXT + _NONE,
        "cache_dir": _TEXT + _NONE,
        "memory_budget_mb": _NUMBER,
        "skip_broken": _FLAG + _NONE,
    },
    "training": {
        "epochs": _WHOLE,
        "learning_rate": _NUMBER,
        "schedule": _TEXT,
        "seed": _WHOLE,
        "precision": _TEXT,
        "jit": _TEXT,
        "strategy": _TEXT,
        "patience": _WHOLE,
        "ema": _NUMBER,
        "skip_norm": _NUMBER + _NONE,
        "max_minutes": _NUMBER + _NONE,
        "steps": _WHOLE + _NONE,
        "minutes": _NUMBER + _NONE,
        "accumulate": _WHOLE,
        "optimizer": _TEXT,
        "keep": _WHOLE,
    },
    "report": {
        "model": _TEXT,
        "dataset": _TEXT,
        "epochs": _WHOLE,
        "best_epoch": _WHOLE,
        "steps": _WHOLE,
        "minutes": _NUMBER,
        "ended": _TEXT,
    },
}
_WHOLE_FILE = {
    "draws": _WHOLE + _NONE,
    "model": _TEXT,
    "arguments": (dict,),
    "dataset": (dict,),
    "training": (dict,),
    "binarization": _TEXT + _NONE,
    "num_train": _WHOLE + _NONE,
    "label_names": (list,) + _NONE,
    "command": _TEXT,
    "data_checksum": _TEXT + _NONE,
}
_REQUIRED = ("model", "arguments", "dataset", "training")


def check_config(path, config):
    """Raises a UserError for a config.json that no training has written.

    Args:
        path: of the file, for the message.
        config: what it holds.
    """
    if not isinstance(config, dict):
        raise _not_ours(path, "the whole", config)
    for name, kinds in _WHOLE_FILE.items():
        if name in config or name in _REQUIRED:
            _check(path, repr(name), config.get(name), kinds)
    for group in ("dataset", "training"):
        for name, value in config[group].items():
            part = f"{name!r} of its {group}"
            if name not in _TYPES[group]:
                raise _not_ours(path, part, value)
            _check(path, part, value, _TYPES[group][name])
    _check(path, "'name' of its dataset", config["dataset"].get("name"), _TEXT)
    _check(path, "'seed' of its training", config["training"].get("seed"), _WHOLE)
    augment = config["dataset"].get("augment") or []
    if not all(isinstance(change, str) for change in augment):
        raise _not_ours(path, "'augment' of its dataset", augment)
    shape = config["arguments"].get("image_shape")
    if not isinstance(shape, list) or [type(size) for size in shape] != [int] * 3:
        raise _not_ours(path, "'image_shape' of its arguments", shape)


def check_arguments(path, arguments, model):
    """Raises a UserError where config.json and the model next to it differ in their arguments.

    Args:
        path: of config.json.
        arguments: what it holds of them.
        model: the VAE of model.keras; what an earlier version did not know has its default.
    """
    there = json.loads(json.dumps(model.get_config(), default=plain))
    for name, value in arguments.items():
        if name not in there or there[name] != value:
            raise _not_ours(path, f"{name!r} of its arguments", value)
    defaults = _defaults(type(model))
    for name in there.keys() - arguments.keys():
        if there[name] != json.loads(json.dumps(defaults.get(name), default=plain)):
            raise _not_ours(path, f"{name!r} of its arguments", None)


def check_report(path, report):
    """Raises a UserError for a report.json that no training has written."""
    if not isinstance(report, dict):
        raise _not_ours(path, "the whole", report)
    for name, kinds in _TYPES["report"].items():
        if name != "ended" or name in report:  # earlier versions wrote none
            _check(path, repr(name), report.get(name), kinds)


def _defaults(cls):
    found = {}
    for base in reversed(cls.__mro__):
        if "__init__" in vars(base) and not base.__module__.startswith("keras."):
            parameters = inspect.signature(base.__init__).parameters.values()
            found |= {p.name: p.default for p in parameters if p.default is not p.empty}
    return found


def _check(path, part, value, kinds):
    finite = not isinstance(value, float) or math.isfinite(value)
    if type(value) not in kinds or not finite:
        raise _not_ours(path, part, value)


def _not_ours(path, part, value):
    return errors.UserError(
        f"{path} is not a run's: {part} is {value!r:.40}. Expected what a training wrote. Restore "
        "it, or take another directory."
    )
