"""Evaluates a run: python -m vae_zoo.evaluate --run=runs/conv_vae-digits"""

from absl import flags

from vae_zoo import cli, errors, per_image

FLAGS = flags.FlagValues()
cli.define_run(FLAGS)
cli.define_prior(FLAGS)
flags.DEFINE_integer("num_samples", 1000, "importance samples of each image", flag_values=FLAGS)
flags.DEFINE_string(
    "num_images",
    "all",
    "how many images to evaluate, the first ones; or all",
    flag_values=FLAGS,
)
flags.DEFINE_enum(
    "split", "test", ["test", "validation", "train"], "which images to evaluate", flag_values=FLAGS
)
flags.DEFINE_string(
    "dataset",
    None,
    "data set to evaluate (default: that of the run)",
    flag_values=FLAGS,
)
cli.define_data_dir(FLAGS)
flags.DEFINE_integer("seed", 0, "seed of the importance samples", flag_values=FLAGS)
flags.DEFINE_string(
    "output",
    None,
    "the JSON file to write (default: evaluation.json in the run; with --prior=gmm, "
    "evaluation-gmm.json)",
    flag_values=FLAGS,
)


def evaluate():
    """Measures a run's ELBO, rate, distortion and importance-weighted NLL, in nats.

    It first says how long it will take. After an interruption the same command goes on.
    """
    directory, place = cli.run_directory(FLAGS)
    count = _count(FLAGS.num_images)
    _check_numbers()
    stem = f"evaluation-{FLAGS.prior}" if FLAGS.prior else "evaluation"
    output = place / f"{stem}.json"
    if FLAGS.output:
        output = per_image.check_output(FLAGS.output, (".json",))

    from vae_zoo import progress, runs

    config = runs.read_config(directory)  # before TensorFlow: damage is told at once

    from vae_zoo.metrics import likelihood
    from vae_zoo.runs import report, summary

    model = runs.load_run(directory, FLAGS.prior, place)
    if FLAGS.prior:
        model.prior()  # one without density says so
    splits = runs.load_splits(directory, name=FLAGS.dataset, data_dir=FLAGS.data_dir)
    images = splits.images(FLAGS.split, count)
    labels = _labels(splits, model, config, len(images))
    seconds = likelihood.estimate_seconds(model, images, labels, num_samples=FLAGS.num_samples)
    samples = likelihood.samples_of_use(model, FLAGS.num_samples)
    print(
        f"{len(images):,} {FLAGS.split} images of {splits.name}, {samples:,} samples "
        f"each: about {progress.duration(seconds)}",
        flush=True,
    )
    bar = progress.Progress(1, "evaluating")
    evaluation = likelihood.evaluate(
        model,
        images,
        labels,
        num_samples=FLAGS.num_samples,
        seed=FLAGS.seed,
        progress=bar,
        resume_file=place / f"{stem}.partial.npz",
    )
    bar.close()
    figures = {
        "model": config["model"],
        "prior": model.prior_name,
        **_of_data(splits),
        **report.likelihood_figures(evaluation, {**config, "binarization": splits.binarization}),
        "versions": runs.versions(),
    }
    print("\n".join(summary.likelihood_lines(figures)), flush=True)
    runs.write_json(output, figures)
    print(f"written to {output}")


def _labels(splits, model, config, count):
    """Returns the run's number of each image's class, for a conditional model; or None."""
    from vae_zoo.datasets import listed

    if not model.needs_labels:
        return None
    if splits.label_names is None:
        raise errors.UserError(
            f"--dataset={FLAGS.dataset}: {model.name} needs labels, and it has none. Expected a "
            "labelled data set."
        )
    named = listed.SplitImages(splits, FLAGS.split)
    return per_image.class_numbers(named, model, config)[:count]


def _check_numbers():
    if not 1 <= FLAGS.num_samples <= 10**9:
        raise errors.UserError(
            f"--num_samples={FLAGS.num_samples}: expected a number from 1 to 1,000,000,000."
        )
    cli.check_seed(FLAGS.seed)


def _of_data(splits):
    """Returns what the figures say of the images that were evaluated."""
    return {
        "dataset": splits.name,
        "split": FLAGS.split,
        "binarization": splits.binarization,
        "seed": FLAGS.seed,
        "notes": splits.notes,
    }


def _count(text):
    if text == "all":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10) or int(text) < 1:
        raise errors.UserError(
            f"--num_images={text:.40}: expected all, or a number from 1 to 999,999,999."
        )
    return int(text)


def main():
    """The command's entry point."""
    cli.run(evaluate, FLAGS)


if __name__ == "__main__":
    main()
