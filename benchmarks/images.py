"""Pictures in colour: what a model makes of them after some minutes of the training command.

For each data set, model and time one training, with the command's own defaults and `--minutes`.
A row has bits a dimension, how near the test images' reconstructions are, completeness, active
units and speed, and its samples as a grid. What is done stays in the output directory: the same
command again goes on. Rows that are not asked for stay in the result as they are.

A model may have flags of the training command behind it:
--models="conv_vae --set=principal=True --augment=flip"
"""

import itertools
import pathlib
import re

from benchmarks import harness, markdown, runner, sections
from vae_zoo import errors

FLAGS = harness.define(
    models=["conv_vae", "resnet_vae", "ladder_vae", "spatial_vae", "vq_vae", "vdm"],
    datasets=(["shapes", "shapes/large"], "names of data sets, or paths of your own images"),
    minutes=(["5", "20"], "minutes of training, one number or several: one run for each"),
    num_images=500,
    num_samples=100,
    data_dir=str,
    output_dir="runs/images",
    smoke=False,
)

GRIDS = harness.RESULTS / "images"  # of samples, a picture for each row
_KEPT = ("minutes", "epochs", "steps", "images_per_second", "parameters", "elbo", "rate", "nll",
         "nll_stderr", "bits_per_dim", "is_bound", "active_units", "codebook_perplexity",
         "reconstruction", "completeness", "num_images", "num_samples", "skipped",
         "restarts")  # fmt: skip


def run():
    """Trains models on pictures in colour for some minutes and records figures and samples."""
    minutes = harness.numbers("minutes", FLAGS.minutes, float)
    models = FLAGS.models or harness.models([])
    harness.models([name.partition(" ")[0] for name in models])
    if not FLAGS.datasets:
        raise errors.UserError("--datasets is empty: expected a name, or a folder of images.")
    rows = []
    with runner.directory(FLAGS) as place:
        for mark, dataset, name in itertools.product(minutes, FLAGS.datasets, models):
            rows.append(row(name, dataset, mark, place))
            print(markdown.line(sections.IMAGES, rows[-1]), flush=True)
            harness.write_rows("images", rows, ("dataset", "mark", "model"), FLAGS.smoke)


def row(name, dataset, minutes, place):
    """Returns the figures of one model on a data set after some minutes.

    Args:
        name: of the model, and flags of its training.
        dataset: a name, or the place of own images.
        minutes: of training.
        place: the directory of the runs.
    """
    title = pathlib.PurePath(dataset).stem if dataset.endswith((".npz", ".npy")) else dataset
    model, *flags = name.split()
    key = "-".join([*re.findall(r"[\w.]+", name), *title.strip("/").split("/"), f"{minutes:g}"])
    directory = pathlib.Path(place) / key
    length = "--epochs=1" if FLAGS.smoke else f"--minutes={minutes:g}"
    asked = {"num_images": FLAGS.num_images, "num_samples": FLAGS.num_samples}
    report = (f"--report_images={FLAGS.num_images}", f"--report_samples={FLAGS.num_samples}")
    names = {"samples.png": f"{key}.png", "reconstructions.png": f"{key}-reconstructions.png"}

    def measure():
        more = (*report, length, *flags)
        found = runner.train(model, dataset, directory, *more, data_dir=FLAGS.data_dir)
        figures = {key: found[key] for key in _KEPT if key in found}
        return {"model": name, "dataset": title, "mark": minutes, **figures}

    pictures = {} if FLAGS.smoke else {name: GRIDS / copy for name, copy in names.items()}
    return {**runner.row(directory, asked, measure, pictures), "picture": f"{key}.png"}
