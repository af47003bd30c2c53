"""The zoo in equal time: every model, trained for a few minutes on binarised MNIST.

A conditional model trains on MNIST, whose images have labels; vdm on its 8-bit images as well. The
cosine schedule of a training fills the time: a short run measures the speed, and the epochs are as
many as fit. A slow model takes smaller batches, for it needs steps more than it needs smooth ones.
The rate warms up over the first fifth of it, where the recipe has a warm-up at all.
What is done stays in the output directory: the same command again goes on. A row says where it
comes from; rows of models that are not asked for stay in the result as they are.
"""

from benchmarks import candidates, harness, markdown, runner, sections
from vae_zoo import errors, recipes, registry, runs

FLAGS = harness.define(
    models=list,
    minutes=(5.0, "minutes of training of each model"),
    num_images=1000,
    num_samples=500,
    data_dir=str,
    output_dir="runs/zoo",
    smoke=False,
)

GRIDS = harness.RESULTS / "zoo"  # of samples, a picture for each row
_BATCH, _SMALL_BATCH = 128, 32
_FEW_STEPS = 2000  # fewer of the large batch in the time: the small one
_WARMUP = 0.2  # of the training
_MARGIN = 0.95  # of the time: validation and checkpoints take the rest
_EXTRA = [("vdm", "mnist", "none")]  # model, data set, binarisation; after the default ones
_FIGURES = ("elbo", "rate", "distortion", "nll", "nll_stderr", "bits_per_dim", "is_bound",
            "active_units", "rate_per_layer", "num_images", "num_samples",
            "effective_sample_size", "given_label", "binarization")  # fmt: skip
_OF_TRAINING = ("minutes", "cpu_minutes", "epochs", "images_per_second", "parameters", "skipped",
                "codebook_perplexity")  # fmt: skip


def run():
    """Trains every model for some minutes on binarised MNIST and records figures and samples."""
    names = harness.models(FLAGS.models)
    if FLAGS.minutes <= 0:
        raise errors.UserError(f"--minutes={FLAGS.minutes}: expected a number above 0.")
    rows = []
    with runner.directory(FLAGS) as place:
        for name, dataset, binarization in _plan(names):
            rows.append(row(name, dataset, binarization, place / f"{name}-{dataset}"))
            print(markdown.line(sections.ZOO, rows[-1]), flush=True)
            harness.write_rows("zoo", rows, ("model", "dataset"), FLAGS.smoke)


def row(name, dataset, binarization, directory):
    """Returns the figures of one model on a data set, from its run, which is made or finished."""
    asked = {key: FLAGS[key].value for key in ("minutes", "num_images", "num_samples")}
    pictures = {} if FLAGS.smoke else {"samples.png": GRIDS / f"{name}-{dataset}.png"}
    figures = runner.row(
        directory, asked, lambda: _measure(name, dataset, binarization, directory), pictures
    )
    config = runner.read(directory / runs.CONFIG)
    return {**figures, "batch_size": config["dataset"]["batch_size"]}


def _plan(names):
    conditional = {name for name in names if registry.model_class(name).needs_labels}
    plain = "digits" if FLAGS.smoke else "binarized_mnist"
    labelled = "digits" if FLAGS.smoke else "mnist"
    made = [(name, labelled if name in conditional else plain, None) for name in names]
    return made if FLAGS.smoke else [*made, *(each for each in _EXTRA if each[0] in names)]


def _measure(name, dataset, binarization, directory):
    given = ["--report_images=100", "--report_samples=10"]
    given += [f"--binarization={binarization}"] if binarization else []
    given += _schedule(name, dataset, binarization, directory)
    report = runner.train(name, dataset, directory, *given, data_dir=FLAGS.data_dir)
    evaluation = runner.evaluate(directory, FLAGS.num_images, FLAGS.num_samples, FLAGS.data_dir)
    return {
        "model": name,
        "dataset": dataset,
        **{key: evaluation[key] for key in _FIGURES if key in evaluation},
        **{key: report[key] for key in _OF_TRAINING if key in report},
    }


def _schedule(name, dataset, binarization, directory):
    """Returns the flags that fill the time; an interrupted run keeps those that it began with."""
    if (directory / runs.CONFIG).exists():
        config = runner.read(directory / runs.CONFIG)
        epochs, batch = config["training"]["epochs"], config["dataset"]["batch_size"]
        warmup = config["arguments"].get("warmup_steps", 0)
    else:
        epochs, batch, steps = _fitting(name, dataset, binarization)
        warm = recipes.recipe(name, dataset).arguments.get("warmup_steps", 0)
        warmup = int(_WARMUP * epochs * steps) if warm else 0
    return [f"--epochs={epochs}", f"--batch_size={batch}", f"--set=warmup_steps={warmup}"]


def _fitting(name, dataset, binarization):
    """Returns (epochs that fit into the time, batch size, steps of an epoch)."""
    for batch in (_BATCH, _SMALL_BATCH):
        speed, steps = harness.isolated(
            candidates.training_speed,
            name,
            batch,
            seconds=0.2 if FLAGS.smoke else 5.0,
            dataset=dataset,
            data_dir=FLAGS.data_dir,
            binarization=binarization,
            optimizer=recipes.recipe(name, dataset).optimizer,
        )
        epochs = max(1, round(_MARGIN * 60 * FLAGS.minutes * speed / (steps * batch)))
        if FLAGS.smoke or epochs * steps >= _FEW_STEPS:
            break
    return epochs, batch, steps
