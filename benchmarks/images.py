"""Pictures in colour: what a model makes of them after some minutes of the training command.

For each data set, model and time one training, with the command's own defaults and `--minutes`.
A row has bits a dimension, how near the test images' reconstructions are, completeness, active
units and speed, and its samples as a grid. What is done stays in the output directory: the same
command again goes on. Rows that are not asked for stay in the result as they are.
"""

import pathlib
import shutil

from absl import flags

from benchmarks import harness, runner
from vae_zoo import errors, registry, runs

FLAGS = flags.FlagValues()
flags.DEFINE_list(
    "models",
    "conv_vae,resnet_vae,ladder_vae,spatial_vae,vq_vae,vdm",
    "which models",
    flag_values=FLAGS,
)
flags.DEFINE_list(
    "datasets", "shapes,shapes/large", "names, or places of own images", flag_values=FLAGS
)
flags.DEFINE_list("minutes", "5,20", "of training, a run for each", flag_values=FLAGS)
flags.DEFINE_integer("num_images", 500, "test images of the bound", flag_values=FLAGS)
flags.DEFINE_integer("num_samples", 100, "importance samples of an image", flag_values=FLAGS)
flags.DEFINE_string("data_dir", None, "prepared TFDS data", flag_values=FLAGS)
flags.DEFINE_string("output_dir", "runs/images", "where the runs go", flag_values=FLAGS)
flags.DEFINE_bool("smoke", False, "seconds; nothing is kept", flag_values=FLAGS)

GRIDS = harness.RESULTS / "images"  # of samples, a picture a row
_KEPT = ("minutes", "epochs", "steps", "images_per_second", "parameters", "elbo", "rate", "nll",
         "nll_stderr", "bits_per_dim", "is_bound", "active_units", "codebook_perplexity",
         "reconstruction", "completeness", "num_images", "num_samples", "skipped",
         "restarts")  # fmt: skip


def run():
    """Trains models on pictures in colour for some minutes and records figures and samples."""
    minutes = harness.numbers("minutes", FLAGS.minutes, float)
    for name in FLAGS.models:
        registry.spec(name)  # an unknown one is refused before anything is trained
    if not FLAGS.datasets:
        raise errors.UserError("--datasets is empty: expected a name, or a folder of images.")
    rows = []
    with runner.directory(FLAGS) as place:
        for mark in minutes:
            for dataset in FLAGS.datasets:
                for name in FLAGS.models:
                    rows.append(row(name, dataset, mark, place))
                    print(line(rows[-1]), flush=True)
                    harness.write(
                        "images", rows if FLAGS.smoke else _with_others(rows), smoke=FLAGS.smoke
                    )


def row(name, dataset, minutes, place):
    """Returns the figures of one model on a data set after some minutes.

    Args:
        name: of the model.
        dataset: a name, or the place of own images.
        minutes: of training.
        place: the directory of the runs.
    """
    title = pathlib.PurePath(dataset).stem if dataset.endswith((".npz", ".npy")) else dataset
    key = f"{name}-{title.strip('/').replace('/', '-')}-{minutes:g}"
    directory = pathlib.Path(place) / key
    asked = {"num_images": FLAGS.num_images, "num_samples": FLAGS.num_samples}
    figures = runner.recorded(directory / "row.json", asked)
    if figures is None:
        figures = {"model": name, "dataset": title, "mark": minutes}
        figures |= _measure(name, dataset, minutes, directory)
        figures["origin"] = harness.origin()
        runner.record(directory / "row.json", asked, figures)
    if not FLAGS.smoke:
        GRIDS.mkdir(parents=True, exist_ok=True)
        shutil.copy(directory / "samples.png", GRIDS / f"{key}.png")
        shutil.copy(directory / "reconstructions.png", GRIDS / f"{key}-reconstructions.png")
    return {**figures, "picture": f"{key}.png"}


def _measure(name, dataset, minutes, directory):
    given = [f"--model={name}", f"--dataset={dataset}", f"--output_dir={directory}"]
    given += [f"--report_images={FLAGS.num_images}", f"--report_samples={FLAGS.num_samples}"]
    given += ["--epochs=1"] if FLAGS.smoke else [f"--minutes={minutes:g}"]
    runner.command("vae_zoo.train", *given, data_dir=FLAGS.data_dir)
    report = runner.read(directory / runs.REPORT)
    return {key: report[key] for key in _KEPT if key in report}


def _with_others(rows):
    """Returns the rows, and the recorded ones of other models, data sets and times, in order."""
    recorded = harness.RESULTS / "images.json"
    others = harness.read(recorded)["figures"] if recorded.exists() else []
    found = {(row["dataset"], row["mark"], row["model"]): row for row in [*others, *rows]}
    order = registry.model_names()
    return sorted(
        found.values(), key=lambda row: (row["dataset"], row["mark"], order.index(row["model"]))
    )


def line(figures):
    """Returns a row's figures in one line."""
    near, complete = figures["reconstruction"], figures["completeness"]
    share = complete.get("share")
    return (
        f"{figures['model']} on {figures['dataset']}: {figures['minutes']:.1f} minutes, "
        f"{figures.get('bits_per_dim', float('nan')):.2f} bits/dim, {near['psnr']:.1f} dB (mean "
        f"colour {near['psnr_mean_colour']:.1f}), completeness "
        f"{'absent' if share is None else f'{100 * share:.0f}%'}, "
        f"{figures['images_per_second']:,.0f} images/s"
    )
