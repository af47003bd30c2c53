"""Time to quality: the test NLL of a model on binarised MNIST against minutes of its training.

The training command itself, stopped at each mark and given again: it goes on from its checkpoint,
and the evaluations here do not count as training. The last mark's model is then evaluated on more
images. Points stay in the output directory: the same command again goes on after the last one.
"""

from benchmarks import harness, peers, runner
from benchmarks.markdown import given_label
from vae_zoo import errors

PYTHAE = "pythae"  # its VAE, with its published settings
FLAGS = harness.define(
    models=(
        ["vae", "conv_vae", "resnet_vae"],
        "the models to measure, separated by commas; pythae: the VAE of that package",
    ),
    dataset="binarized_mnist",
    data_dir=str,
    minutes=(
        ["1", "2", "4", "7", "10", "15", "20", "30", "45"],
        "minutes of training after which the NLL is measured, separated by commas",
    ),
    num_images=("2000", "test images of the last NLL, the first ones, or all"),
    num_samples=(1000, "importance samples of each of these images"),
    epochs=(int, "epochs of the whole training (default: the recipe's)"),
    batch_size=(int, "images in a batch (default: the recipe's)"),
    output_dir="runs/quality",
    smoke=False,
)

_CURVE = {"images": 500, "samples": 100}
_SMOKE = ("--set=hidden=(16,)", "--set=latent_size=4", "--epochs=1")


def run():
    """Trains models on binarised MNIST and records the test NLL against minutes; resumable."""
    marks = harness.numbers("minutes", FLAGS.minutes, float)
    if FLAGS.num_images != "all":
        harness.numbers("num_images", [FLAGS.num_images])
    harness.models([name for name in FLAGS.models if name != PYTHAE])
    with runner.directory(FLAGS) as place:
        for name in FLAGS.models:
            figures = _measure_pythae(marks) if name == PYTHAE else measure(name, marks, place)
            harness.write(f"quality-{name}-{FLAGS.dataset}", figures, smoke=FLAGS.smoke)


def measure(name, marks, place):
    """Returns {"curve": [report at each mark], "final": evaluation} of a model.

    Args:
        name: of the model.
        marks: minutes, rising.
        place: the directory of the runs.
    """
    directory = place / f"{name}-{FLAGS.dataset}"
    asked = {key: FLAGS[key].value for key in ("epochs", "batch_size")}
    curve = runner.recorded(directory / "curve.json", asked) or []
    last = curve[-1]["mark"] if curve else 0.0
    if missed := [mark for mark in marks if mark < last and mark not in _marks(curve)]:
        raise errors.UserError(
            f"--minutes={missed[0]:g}: {directory} is past that, at {last:g}. Expected later "
            "marks, or another --output_dir."
        )
    for mark in marks:
        if mark in _marks(curve):
            continue
        if curve and curve[-1]["minutes"] < curve[-1]["mark"]:  # trained to its end
            break
        report = _train(name, directory, mark)
        kept = ("minutes", "cpu_minutes", "epochs", "images_per_second", "parameters", *_TERMS)
        curve.append({"mark": mark, **{key: report[key] for key in kept}})
        runner.record(directory / "curve.json", asked, curve)
        print(
            f"{name}: {report['minutes']:.1f} minutes, "
            f"NLL {report['nll']:.2f}{given_label(name)}",
            flush=True,
        )
    return {
        "model": name,
        "dataset": FLAGS.dataset,
        "curve_images": _CURVE["images"],
        "curve_samples": _CURVE["samples"],
        "curve": curve,
        "images_per_second": curve[-1]["images_per_second"],
        "parameters": curve[-1]["parameters"],
        "final": _evaluate(directory),
    }


def _marks(curve):
    return [point["mark"] for point in curve]


def _measure_pythae(marks):
    """Returns the same of pythae's VAE; it has no checkpoint to go on from."""
    peers.check_torch("pythae")
    from benchmarks import pythae_quality
    from vae_zoo import datasets

    def splits_of(batch_size):
        return datasets.load(FLAGS.dataset, batch_size=batch_size, data_dir=FLAGS.data_dir)

    images = None if FLAGS.num_images == "all" else int(FLAGS.num_images)
    final = {"images": images, "samples": FLAGS.num_samples}
    curve = {"images": 2, "samples": 10} if FLAGS.smoke else _CURVE
    figures = pythae_quality.measure(splits_of, marks, curve, final)
    last = figures["curve"][-1]
    return {
        "model": PYTHAE,
        "dataset": FLAGS.dataset,
        "curve_images": _CURVE["images"],
        "curve_samples": _CURVE["samples"],
        "images_per_second": last["epochs"] * figures.pop("num_train") / (60 * last["minutes"]),
        **figures,
    }


_TERMS = ("elbo", "rate", "distortion", "nll", "nll_stderr")


def _train(name, directory, minutes):
    given = [f"--max_minutes={minutes}", f"--report_images={_CURVE['images']}"]
    given += [f"--report_samples={_CURVE['samples']}", *(_SMOKE if FLAGS.smoke else ())]
    lengths = {"epochs": FLAGS.epochs, "batch_size": FLAGS.batch_size}
    given += [f"--{key}={value}" for key, value in lengths.items() if value is not None]
    return runner.train(name, FLAGS.dataset, directory, *given, data_dir=FLAGS.data_dir)


def _evaluate(directory):
    evaluation = runner.evaluate(directory, FLAGS.num_images, FLAGS.num_samples, FLAGS.data_dir)
    kept = (*_TERMS, "effective_sample_size", "given_label", "active_units", "num_images",
            "num_samples", "binarization")  # fmt: skip
    return {key: evaluation[key] for key in kept if key in evaluation}
