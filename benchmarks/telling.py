"""Whether the numbers of a run's page tell models apart that are known to differ.

On digits, one model under four weights of its rate: 0 is an autoencoder, 1 the VAE, 8 a model that
keeps less, 1,000 one whose codes collapse. On sprites, whose factors are known, beta_tc_vae next to
vae. Each is trained with several seeds for so many steps, by the training command, and measured as
the page of a run measures it. telling_report has the rule, and what each number's definition
predicts. What is done stays in the output directory: the same command again goes on.
"""

import contextlib
import functools
import itertools
import sys
from typing import NamedTuple

import numpy as np

from benchmarks import harness, runner
from vae_zoo import errors

_MODEL = {"latent_size": 10, "hidden": (256, 256)}
_MLP = {**_MODEL, "network": "mlp"}
_LEAST_SEEDS = 2  # of which a spread is known
_UNUSED = 0.01  # nats of a dimension: below it, the page says, the posterior has collapsed


class Part(NamedTuple):
    """Kinds of models that are trained on one data set.

    Attributes:
        dataset: its name.
        kinds: {kind: (model, its arguments)}.
        steps: of each training, unless --steps says otherwise.
        flags: of the training command, {name: value}.
    """

    dataset: str
    kinds: dict
    steps: int
    flags: dict


PARTS = {
    "digits": Part(
        "digits",
        {
            "autoencoder": ("vae", {**_MODEL, "beta": 0.0}),
            "VAE": ("vae", {**_MODEL, "beta": 1.0}),
            "beta 8": ("vae", {**_MODEL, "beta": 8.0}),
            "collapsed": ("vae", {**_MODEL, "beta": 1000.0}),
        },
        2000,
        {"batch_size": 64},
    ),
    "sprites": Part(
        "sprites",
        {"VAE": ("vae", _MLP), "beta-TCVAE": ("beta_tc_vae", _MLP)},
        8000,
        {"batch_size": 128, "image_size": 32, "report_samples": 20},
    ),
}
FLAGS = harness.define(
    parts=(list(PARTS), "digits, sprites or both, separated by commas"),
    seeds=(3, "trainings of each kind of model, at least 2"),
    steps=(int, "optimizer steps of each training (default: 2,000 on digits, 8,000 on sprites)"),
    num_images=1000,
    num=(500, "draws from the prior that are measured"),
    data_dir=str,
    output_dir="runs/telling",
    smoke=False,
)
_TINY = {"latent_size": 3, "hidden": (16,)}
_SMOKE = {"num_images": 60, "num": 60, "steps": 20}


def run():
    """Trains kinds of models that are known to differ, and records what each number says."""
    harness.check_known("part", FLAGS.parts, PARTS)
    errors.at_least("--seeds", FLAGS.seeds, _LEAST_SEEDS)
    for name, least in (("num_images", 20), ("num", 8)):
        errors.at_least(f"--{name}", FLAGS[name].value, least)
    if FLAGS.steps is not None:
        errors.at_least("--steps", FLAGS.steps, 1)
    with runner.directory(FLAGS) as place:
        for name in FLAGS.parts:
            harness.write(f"telling-{name}", _measure(PARTS[name], place / name), FLAGS.smoke)


def _measure(part, place):
    """Returns the figures of a part: what was trained, and the numbers of each run."""
    part = _small(part) if FLAGS.smoke else part
    size = {name: _SMOKE[name] if FLAGS.smoke else FLAGS[name].value for name in _SMOKE}
    size["steps"] = size["steps"] or part.steps
    seeds = range(_LEAST_SEEDS if FLAGS.smoke else FLAGS.seeds)
    places = {
        (kind, seed): place / f"{kind},seed={seed}".replace(" ", "-")
        for seed, kind in itertools.product(seeds, part.kinds)
    }
    rows = []
    for number, ((kind, seed), directory) in enumerate(places.items(), 1):
        print(f"run {number} of {len(places)}: {kind}, seed {seed}", flush=True)
        asked = {**size, "kind": str(part.kinds[kind]), "flags": str(part.flags)}
        measure = functools.partial(_row, part, kind, seed, directory, size)
        measured = runner.row(directory, asked, measure, {})
        rows.append({"kind": kind, "seed": seed, **measured})
    for kind in part.kinds:
        _rank([row for row in rows if row["kind"] == kind], places)
    kinds = {kind: {"model": model, **given} for kind, (model, given) in part.kinds.items()}
    return {"dataset": part.dataset, **part.flags, **size, "kinds": kinds, "runs": rows}


def _small(part):
    """Returns a part that takes seconds: its last kind alone, at a tiny size."""
    kind, (model, arguments) = list(part.kinds.items())[-1]
    return part._replace(
        dataset=part.dataset + "/small" * (part.dataset == "sprites"),
        kinds={kind: (model, {**arguments, **_TINY})},
        flags={**part.flags, "image_size": 16, "report_samples": 2},
    )


def _row(part, kind, seed, directory, size):
    """Trains one model, or goes on, and returns its numbers."""
    from vae_zoo import runs, train
    from vae_zoo.runs import examination

    model, arguments = part.kinds[kind]
    given = {**part.flags, "steps": size["steps"], "data_dir": FLAGS.data_dir}
    given |= {"seed": seed, "report_images": size["num_images"]}
    with contextlib.redirect_stdout(sys.stderr):
        train(model, part.dataset, directory, arguments=arguments, **given)
    splits = runs.load_splits(directory, data_dir=FLAGS.data_dir)
    found = examination.examine(
        runs.load_run(directory),
        splits,
        num_images=size["num_images"],
        num=size["num"],
        seed=seed,
    )
    return {"numbers": numbers(runs.read_report(directory), found.figures)}


def numbers(report, figures):
    """Returns the single numbers of a run's report and page, {"rate_split.rate": number or None}.

    Args:
        report: the content of report.json.
        figures: of an Examination.
    """
    told = ("nll", "active_units", "continuity", "completeness")
    found = {key: report[key] for key in told if key in report} | figures
    scores = figures.get("disentanglement", {})
    return dict(_leaves({**found, **scores, **_of_lists(figures)}))


def _leaves(figures, prefix=""):
    """Yields (dotted name, number or None) of nested dicts; lists and words are left out."""
    for key, value in figures.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        elif value is None or isinstance(value, (int, float)):
            yield f"{prefix}{key}", value


def _of_lists(figures):
    """Returns one number for each list of numbers of the page."""
    found = {}
    if figures["rate_per_dimension"] is not None:
        rates = np.array(figures["rate_per_dimension"])
        found["unused_dimensions"] = int((rates < _UNUSED).sum())
    if "aggregate_posterior" in figures:
        aggregate = figures["aggregate_posterior"]
        found["holes.mean"] = float(np.abs(aggregate["mean"]).mean())
        found["holes.deviation"] = float(np.abs(np.log(aggregate["deviation"])).mean())
    if "geometry" in figures:
        lengths = {name: np.mean(of) for name, of in figures["geometry"]["lengths"].items()}
        found["lengths"] = {name: float(length) for name, length in lengths.items()}
        found["lengths"]["detour"] = _ratio(lengths["straight"], lengths["geodesic"])
        values = figures["geometry"].get("singular_values")
        if values:
            found["smallest_singular_value"] = values[-1]
    return found


def _ratio(above, below):
    """Returns a ratio; None where the images do not move, and there is none."""
    return float(above / below) if below > 1e-6 else None


def _rank(rows, places):
    """Adds UDR to the numbers of one kind's rows, where the data has factors."""
    from vae_zoo import runs
    from vae_zoo.metrics import agreement
    from vae_zoo.runs import comparison

    directories = [places[row["kind"], row["seed"]] for row in rows]
    splits = runs.load_splits(directories[0], data_dir=FLAGS.data_dir)
    if splits.factors("train") is None:
        return
    codes = [comparison.means_and_rates(runs.load_run(each), splits) for each in directories]
    for row, value in zip(rows, agreement.udr(*zip(*codes, strict=True)), strict=True):
        row["numbers"]["udr"] = value
