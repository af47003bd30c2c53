"""Flags of the training command, and its --set."""

import numpy as np

from tests.hostile_inputs.common import NUMBERS, TEXTS, pick
from tests.hostile_inputs.runs import MODELS

_LITERALS = (
    *("{[]: 1}", "-" * 9000 + "1", "(" * 500 + ")" * 500, "[" * 90 + "]" * 90, "9" * 9000, "1e999"),
    *("__import__('os').system('x')", "lambda: 1", "f'{1}'", "b'x'", "{1, 2}", "{'a': 1}", "1j"),
    *("(16,)", "(0,)", "(-1,)", "(1.5,)", "('a',)", "[[1]]", "10**9", "...", "'" + "x" * 999 + "'"),
)


def setting(rng, place):
    """A --set value: what it makes is a model, or one clear line."""
    from vae_zoo import limits, registry

    name = pick(rng, (*MODELS, "vamp_vae", "iaf_vae", "beta_tc_vae", "gumbel_vae", "rae"))
    name = name if name in registry.model_names() else "vae"
    cls = registry.model_class(name)
    refused = ("image_shape", "dtype", "seed", "name")  # by the command: they have flags
    arguments = sorted(set(registry.constructor_arguments(cls)) - {*refused})
    argument = pick(rng, (*arguments, *arguments, *TEXTS))
    text = str(pick(rng, (*_LITERALS, *TEXTS, *NUMBERS)))
    wished = registry.parse_settings([f"{argument}{pick(rng, ('=', '=', '=', ''))}{text}"])
    given = dict(registry.spec(name).tiny) | {"image_shape": (12, 12, 1), "likelihood": "bernoulli"}
    if cls.needs_labels:
        given["num_classes"] = 4
    if "dataset_size" in arguments:
        given["dataset_size"] = 40
    given |= wished
    limits.check(name, given, wished, 32)
    registry.create_model(name, **given)


def command_line(rng, place):
    """Flags of the training command, up to the data that they name."""
    from vae_zoo import cli, datasets, train_flags, train_request

    np.savez(place / "data.npz", image=np.zeros((40, 12, 12), np.uint8))
    flags = train_flags.FLAGS
    for name in flags:
        flags[name].unparse()
    argv = ["train", "--model=vae", f"--dataset={place / 'data.npz'}", f"--output_dir={place}"]
    paths = ("dataset", "output_dir", "data_dir", "manual_dir", "import")
    names = [name for name in flags if name not in paths]
    for _ in range(rng.integers(1, 4)):
        name = pick(rng, (*names, *TEXTS))
        argv.append(f"--{name}={pick(rng, (*TEXTS, *NUMBERS, *_LITERALS))}")
    cli.parse(flags, argv)
    train_flags.check_numbers()
    given = train_request.dataset_settings()
    datasets.load(seed=flags.seed, cache_dir=place / "cache", **given)
