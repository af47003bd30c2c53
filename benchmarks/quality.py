"""Time to quality: the test NLL of a model on binarised MNIST against minutes of its training.

The training command itself, stopped at each mark and given again: it goes on from its checkpoint,
and the evaluations here do not count as training. The last mark's model is then evaluated on more
images. Points stay in the output directory: the same command again goes on after the last one.
"""

from absl import flags

from benchmarks import harness, peers, runner
from benchmarks.markdown import given_label
from vae_zoo import errors, registry

FLAGS = flags.FlagValues()
PYTHAE = "pythae"  # its VAE, with its published settings
flags.DEFINE_list(
    "models", "vae,conv_vae,resnet_vae", "which models; pythae: its VAE", flag_values=FLAGS
)
flags.DEFINE_string("dataset", "binarized_mnist", "the data set", flag_values=FLAGS)
flags.DEFINE_string("data_dir", None, "prepared TFDS data", flag_values=FLAGS)
flags.DEFINE_list(
    "minutes", "1,2,4,7,10,15,20,30,45", "marks, in minutes of training", flag_values=FLAGS
)
flags.DEFINE_string(
    "num_images", "2000", "test images of the final figure; or all", flag_values=FLAGS
)
flags.DEFINE_integer("num_samples", 1000, "importance samples of it", flag_values=FLAGS)
flags.DEFINE_integer("epochs", None, "of the whole training; the recipe's", flag_values=FLAGS)
flags.DEFINE_integer("batch_size", None, "of training; the recipe's", flag_values=FLAGS)
flags.DEFINE_string("output_dir", "runs/quality", "where the runs go", flag_values=FLAGS)
flags.DEFINE_bool("smoke", False, "seconds, of a small model; nothing is kept", flag_values=FLAGS)

_CURVE = {"images": 500, "samples": 100}
_SMOKE = ("--set=hidden=(16,)", "--set=latent_size=4", "--epochs=1")


def run():
    """Trains models on binarised MNIST and records the test NLL against minutes; resumable."""
    marks = harness.numbers("minutes", FLAGS.minutes, float)
    if FLAGS.num_images != "all":
        harness.numbers("num_images", [FLAGS.num_images])
    for name in FLAGS.models:
        if name != PYTHAE:
            registry.spec(name)
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
    flags_ = [f"--model={name}", f"--dataset={FLAGS.dataset}", f"--output_dir={directory}"]
    flags_ += [f"--max_minutes={minutes}", f"--report_images={_CURVE['images']}"]
    flags_ += [f"--report_samples={_CURVE['samples']}", *(_SMOKE if FLAGS.smoke else ())]
    given = {"epochs": FLAGS.epochs, "batch_size": FLAGS.batch_size}
    flags_ += [f"--{key}={value}" for key, value in given.items() if value is not None]
    runner.command("vae_zoo.train", *flags_, data_dir=FLAGS.data_dir)
    return runner.read(directory / "report.json")


def _evaluate(directory):
    evaluation = runner.evaluate(directory, FLAGS.num_images, FLAGS.num_samples, FLAGS.data_dir)
    kept = (*_TERMS, "effective_sample_size", "given_label", "active_units", "num_images",
            "num_samples", "binarization")  # fmt: skip
    return {key: evaluation[key] for key in kept if key in evaluation}
