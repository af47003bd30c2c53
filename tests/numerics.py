"""Numbers at their bounds, counted: python -m tests.numerics --output_dir=OUT

Every model trains STEPS steps at its small size under each of SCENARIOS: images without content,
batches of one, a learning rate of 10, latents of one or 1,024 dimensions, half precision. It ends
with weights, samples and figures that are all finite, or says what happened: in one line, or by
the number of steps that were skipped. The cases are those pairs, in an order that the seed draws.
"""

import json
import pathlib
import shutil
import tempfile
import time
import traceback

import numpy as np

from tests import campaign
from vae_zoo import cli, errors, registry

FLAGS = campaign.FLAGS
STEPS = 200
FAILURES = ("not finite", "traceback", "hang", "died")
_WAIT = 3600.0  # on the clock: machines may be busy
_COUNT, _SIDE = 48, 12


def _noise(rng):
    return rng.integers(0, 256, (_COUNT, _SIDE, _SIDE))


def _same(value):
    return lambda rng: np.full((_COUNT, _SIDE, _SIDE), value)


def _repeated(number):
    return lambda rng: _noise(rng)[np.arange(_COUNT) % number]


# (images, batch size, learning rate, dtype policy, latent_size); None: the model's own.
_PLAIN = (_noise, 16, 1e-3, "float32", None)
SCENARIOS = {
    "all black": (_same(0), *_PLAIN[1:]),
    "all white": (_same(255), *_PLAIN[1:]),
    "one grey": (_same(100), *_PLAIN[1:]),
    "one image": (_repeated(1), *_PLAIN[1:]),
    "duplicates": (_repeated(3), *_PLAIN[1:]),
    "batches of 1": (_noise, 1, *_PLAIN[2:]),
    "learning rate 10": (*_PLAIN[:2], 10.0, *_PLAIN[3:]),
    "latent size 1": (*_PLAIN[:4], 1),
    "latent size 1,024": (*_PLAIN[:4], 1024),
    "mixed_float16": (*_PLAIN[:3], "mixed_float16", None),
}
LIKELIHOODS = {"binary": "bernoulli", "8-bit": "discretized_logistic"}


def cases(seed):
    """Returns every (model, scenario, kind of pixels), in an order drawn from a seed."""
    found = [
        (model, scenario, pixels)
        for model in registry.model_names()
        for scenario in SCENARIOS
        for pixels in LIKELIHOODS
        if "latent" not in scenario or "latent_size" in registry.spec(model).tiny
    ]
    return [found[i] for i in np.random.default_rng(seed).permutation(len(found))]


def train(model, scenario, pixels, place, steps=STEPS):
    """Trains a model under a scenario; returns (outcome, words).

    Args:
        model: its name.
        scenario, pixels: of SCENARIOS and LIKELIHOODS.
        place: an empty folder.
        steps: of the optimizer, in two epochs.
    """
    from vae_zoo import datasets, runs, training

    images, batch_size, rate, policy, latent_size = SCENARIOS[scenario]
    image = images(np.random.default_rng(0))
    if pixels == "binary":
        image = np.where(image > 127, 255, 0)
    path = pathlib.Path(place, "data.npz")
    np.savez(path, image=image.astype(np.uint8), label=np.arange(_COUNT) % 4)
    binarization = "static" if pixels == "binary" else "none"
    try:
        splits = datasets.load(str(path), batch_size=batch_size, binarization=binarization)
        splits.steps_per_epoch = steps // 2
        given = {"image_shape": splits.image_shape, "likelihood": LIKELIHOODS[pixels]}
        given |= {"dtype": policy} | ({"latent_size": latent_size} if latent_size else {})
        cls = registry.model_class(model)
        if cls.needs_labels:
            given["num_classes"] = splits.num_classes
        if "dataset_size" in registry.constructor_arguments(cls):
            given["dataset_size"] = splits.num_train
        made = registry.create_model(model, tiny=True, **given)
        settings = training.Settings(epochs=2, learning_rate=rate, precision=policy)
        training.compile_model(made, settings, splits.steps_per_epoch)
        outcome = training.train(made, splits, pathlib.Path(place), settings)
    except errors.UserError as error:
        return "said", " ".join(str(error).split())[:200]
    words = f"{outcome.skipped} of {outcome.steps} steps skipped" * bool(outcome.skipped)
    wrong = [w.path for w in made.weights if not np.isfinite(np.asarray(w, np.float64)).all()]
    if not np.isfinite(np.asarray(made.generate(seed=0)[:4])).all():
        wrong.append("samples")
    rows = runs.read_rows(pathlib.Path(place, runs.METRICS))
    figures = {name for row in rows for name, value in row.items() if not _finite(value)}
    if figures and not outcome.skipped:
        wrong += sorted(figures)
    if wrong:
        return "not finite", f"{', '.join(wrong[:6])}; {words}"
    return ("said" if figures else "finite"), words


def _finite(value):
    return isinstance(value, (int, float)) and np.isfinite(value)


def _child(case, place):
    try:
        found = train(*case, place)
    except Exception:
        found = ("traceback", traceback.format_exc().strip()[-400:])
    pathlib.Path(place, "outcome.json").write_text(json.dumps(found), encoding="utf-8")


def run_case(number, case, output_dir):
    """Returns the line of a case, which a fork makes."""
    place = tempfile.mkdtemp(prefix="case-", dir=output_dir)
    begun = time.monotonic()
    code = campaign.wait(campaign.fork(_child, case, place), _WAIT)
    told = pathlib.Path(place, "outcome.json")
    found = ("hang" if code is None else "died", f"exit code {code}")
    if told.exists():
        found = json.loads(told.read_text(encoding="utf-8"))
    shutil.rmtree(place, ignore_errors=True)
    row = dict(zip(("model", "scenario", "pixels"), case, strict=True))
    seconds = round(time.monotonic() - begun, 1)
    return {"case": number, **row, "outcome": found[0], "words": found[1], "seconds": seconds}


def numerics():
    """Trains every model on what has no content, and at settings that are out of bounds."""
    output_dir = pathlib.Path(FLAGS.output_dir or "runs/numerics").absolute()
    output_dir.mkdir(parents=True, exist_ok=True)
    import tensorflow_probability  # noqa: F401 - forks need not import it

    from vae_zoo import training  # noqa: F401

    todo = cases(FLAGS.seed)
    if FLAGS.only is not None:
        with tempfile.TemporaryDirectory() as place:
            print(todo[FLAGS.only], train(*todo[FLAGS.only], place))
        return
    record = campaign.Record(output_dir / f"numerics-{FLAGS.seed}.jsonl")
    for number in campaign.left(record, min(len(todo), FLAGS.cases), FLAGS.minutes):
        record.add(run_case(number, todo[number], output_dir))
    for row in record.rows:
        if row["outcome"] in FAILURES:
            print(json.dumps(row))
    rows = record.counts("scenario")
    print(cli.table([("scenario", "cases", "finite", "said", "failed"), *map(_cells, rows)]))
    if FLAGS.publish:
        figures = {"seed": FLAGS.seed, "steps": STEPS, "pairs": len(todo), "scenarios": rows}
        figures["models"] = len({row["model"] for row in record.rows})
        campaign.publish("numerics", figures)


def _cells(row):
    failed = sum(row.get(name, 0) for name in FAILURES)
    numbers = (row["cases"], row.get("finite", 0), row.get("said", 0), failed)
    return (row["scenario"], *map(str, numbers))


if __name__ == "__main__":
    cli.run(numerics, FLAGS)
