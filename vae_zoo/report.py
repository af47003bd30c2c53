"""One page on a trained model: python -m vae_zoo.report --run=runs/conv_vae-digits"""

import pathlib

from absl import flags

from vae_zoo import cli, errors, per_image

FLAGS = flags.FlagValues()
cli.define_run(FLAGS)
cli.define_prior(FLAGS)
flags.DEFINE_list(
    "compare",
    [],
    "more runs or presets to show next to this one, separated by commas",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "num_images",
    1000,
    "how many test images to measure, at most",
    flag_values=FLAGS,
)
flags.DEFINE_integer("num", 500, "how many draws from the prior to measure", flag_values=FLAGS)
flags.DEFINE_integer("seed", 0, "seed of all draws", flag_values=FLAGS)
cli.define_data_dir(FLAGS)
flags.DEFINE_string(
    "ood",
    None,
    "another data set, a name or a path: the page says how likely the model finds its images",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "output",
    None,
    "the page to write (default: report.html in the run)",
    flag_values=FLAGS,
)


def report():
    """Writes one page on a trained model, and its numbers as JSON next to it: where the nats go,
    what the codes are like, continuity, completeness, and what the model cannot do.

    The page is one file, and needs no network.
    """
    for name, least in (("num_images", 2), ("num", 8)):
        errors.at_least(f"--{name}", FLAGS[name].value, least)
    cli.check_seed(FLAGS.seed)
    directory, place = cli.run_directory(FLAGS)
    name = f"report-{FLAGS.prior}.html" if FLAGS.prior else "report.html"
    output = pathlib.Path(FLAGS.output or place / name)
    output = per_image.check_output(output, (".html",))
    others = [_place(reference) for reference in FLAGS.compare]

    from vae_zoo import progress, runs
    from vae_zoo.runs import examination, page, sections

    reports = {str(FLAGS.run or FLAGS.preset): runs.read_report(directory)}
    reports |= {name: runs.read_report(other) for name, other in others}
    config, model = runs.read_config(directory), runs.load_run(directory, FLAGS.prior, place)
    if FLAGS.prior:
        model.prior()  # one without density says so
    splits = runs.load_splits(directory, data_dir=FLAGS.data_dir)
    other = _other_data(model, splits)
    bar = progress.Progress(1, "examining")
    found = examination.examine(
        model,
        splits,
        num_images=FLAGS.num_images,
        num=FLAGS.num,
        seed=FLAGS.seed,
        other=other,
        progress=bar,
    )
    bar.close()
    rows = runs.read_rows(directory / runs.METRICS)
    parts = sections.sections(found, reports, rows)
    title = f"{config['model']} on {splits.name}"
    page.write(output, f"{title}, prior {FLAGS.prior}" if FLAGS.prior else title, parts)
    numbers = output.with_suffix(".json")
    if numbers.name == runs.REPORT and (numbers.parent / runs.CONFIG).exists():
        numbers = numbers.with_name("report_page.json")  # the run's own report stays
    runs.write_json(numbers, {"reports": reports, "prior": model.prior_name, **found.figures})
    print(f"written to {output} and {numbers}")


def _other_data(model, splits):
    """Returns the Splits of --ood, brought to the size, colours and policy of the run's data."""
    from vae_zoo import datasets

    if FLAGS.ood is None:
        return None
    if model.needs_labels:
        raise errors.UserError(
            f"--ood={FLAGS.ood}: {model.name} needs the class of each image, and images of another "
            "data set are of none. Expected a run of a model without labels."
        )
    height, width, channels = splits.image_shape
    settings = {"image_size": (height, width), "channels": channels, "data_dir": FLAGS.data_dir}
    return datasets.load_like(splits.binarization, FLAGS.ood, **settings)


def _place(reference):
    """Returns (name, folder) of a run or a preset."""
    from vae_zoo import presets

    folder = pathlib.Path(reference)
    if (folder / "config.json").is_file():
        return reference, folder
    return reference, presets.find(reference)


def main():
    """The command's entry point."""
    cli.run(report, FLAGS)


if __name__ == "__main__":
    main()
