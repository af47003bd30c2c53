"""Scores of images: python -m vae_zoo.score --run=RUN --images=FOLDER --output=scores.csv"""

from absl import flags

from vae_zoo import cli, errors, per_image

FLAGS = flags.FlagValues()
per_image.define_flags(FLAGS)
flags.DEFINE_integer("num_samples", 100, "importance samples of each image", flag_values=FLAGS)
flags.DEFINE_integer(
    "worst",
    12,
    "how many of the least likely images the picture shows; 0: no picture",
    flag_values=FLAGS,
)
flags.DEFINE_list(
    "normal",
    None,
    "classes that are normal, separated by commas, such as 3 or good,new; all other classes are "
    "anomalies, and the AUROC says how well the NLL tells them apart",
    flag_values=FLAGS,
)
_MOST_PICTURED = 100


def score():
    """Writes NLL, ELBO, rate and distortion of each image in nats, the least likely image first.

    A picture of the least likely images is written next to the table. Images are read a few at a
    time. After an interruption the same command goes on.
    """
    directory, output = per_image.check_flags(FLAGS, (".csv",))
    _check_flags()

    from vae_zoo import runs

    config = runs.read_config(directory)
    model = runs.load_run(directory)
    images = per_image.open_images(FLAGS, directory, config)
    anomalous = _anomalous(images)
    labels = per_image.class_numbers(images, model, config, FLAGS.label)

    from vae_zoo.metrics import scores
    from vae_zoo.runs import report

    scorer = scores.Scorer(model, FLAGS.num_samples, FLAGS.seed, FLAGS.batch_size)
    settings = ("score", FLAGS.seed, scorer.num_samples, scorer.batch_size)
    key = per_image.fingerprint(images, labels, model, *settings)
    width = len(scores.COLUMNS)
    store = per_image.go_through(images, labels, scorer, output, key, width, "<f8")
    table = _table(model, store.rows(), report.is_bce(config))
    _write(output, images, table)
    for note in images.notes:
        print(f"note: {note}")
    kind = "a bound" if model.is_bound else f"{scorer.num_samples} importance samples"
    print(f"{per_image.said_of(images, len(table['index']))}, {kind}, least likely first")
    if anomalous is not None:
        _print_auroc(table, anomalous[table["index"]])
    print(f"written to {output}")
    if FLAGS.worst:
        _draw_worst(output, model, images, labels, table)
    store.delete()


def _check_flags():
    if FLAGS.num_samples < 1:
        raise errors.UserError(f"--num_samples={FLAGS.num_samples}: expected at least 1.")
    if not 0 <= FLAGS.worst <= _MOST_PICTURED:
        raise errors.UserError(f"--worst={FLAGS.worst}: expected from 0 to {_MOST_PICTURED}.")


def _anomalous(images):
    """Returns which images are of no class in --normal, bool [N]; None without the flag."""
    import numpy as np

    if not FLAGS.normal:
        return None
    if images.labels is None:
        raise errors.UserError(
            f"--normal={','.join(FLAGS.normal)}: {images.name} has no classes. Expected a folder "
            "for each class, or an array label."
        )
    for name in FLAGS.normal:
        if name not in images.labels:
            raise errors.unknown("class of --normal", name, images.labels)
    anomalous = ~np.isin(images.labels, FLAGS.normal)
    if not anomalous.any():
        raise errors.UserError(
            f"--normal={','.join(FLAGS.normal)}: all images are of these classes. Expected some "
            "others, to tell them apart."
        )
    return anomalous


def _table(model, rows, is_bce):
    """Returns {column: [N]}, the least likely image first, with the numbers of the images."""
    import numpy as np

    from vae_zoo.metrics import likelihood, scores

    columns = dict(zip(scores.COLUMNS, np.array(rows["values"]).T, strict=True))
    bits = likelihood.bits_per_dim(model, columns["nll"])
    if bits is not None:
        columns["bits_per_dim"] = bits
    if is_bce:  # of grey values: a cross-entropy, no likelihood
        columns = {
            "negative_bce_less_rate": columns["elbo"],
            "rate": columns["rate"],
            "bce": columns["distortion"],
        }
    columns["index"] = np.array(rows["index"])
    order = np.argsort(-columns["nll"] if "nll" in columns else next(iter(columns.values())))
    return {name: column[order] for name, column in columns.items()}


def _write(output, images, table):
    import csv

    from vae_zoo import runs

    names = [name for name in table if name != "index"]
    label = [] if images.labels is None else ["label"]
    with (
        runs.atomic(output) as partial,
        open(partial, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["name", *label, *names])
        for place, i in enumerate(table["index"]):
            kind = [images.labels[i]] if label else []
            figures = [f"{table[name][place]:.4f}" for name in names]
            writer.writerow([images.names[i], *kind, *figures])


def _print_auroc(table, anomalous):
    from vae_zoo.metrics import scores

    if anomalous.all() or not anomalous.any():
        raise errors.UserError("all images of one kind are broken: there is no AUROC.")
    first = "nll" if "nll" in table else "negative_bce_less_rate"
    sign = {"elbo": -1, "negative_bce_less_rate": -1}
    figures = {
        name: scores.auroc(sign.get(name, 1) * table[name], anomalous)
        for name in (first, "rate", "distortion", "bce")
        if name in table
    }
    words = ", ".join(f"{figure:.3f} by {name}" for name, figure in figures.items())
    print(f"AUROC {words} ({anomalous.sum():,} anomalies, {(~anomalous).sum():,} normal images)")


def _draw_worst(output, model, images, labels, table):
    import numpy as np

    from vae_zoo.runs import plots

    rows = table["index"][: FLAGS.worst]
    shown = np.concatenate([images.read([row]).image for row in rows])
    label = None if labels is None else labels[rows]
    again = np.asarray(model.reconstruct(shown, label))
    first = next(iter(table))
    unit = "NLL" if first == "nll" else "BCE + rate"
    values = np.abs(table[first][: FLAGS.worst])
    titles = [f"{images.names[i]}: {unit} {v:.1f} nats" for i, v in zip(rows, values, strict=True)]
    path = output.with_name(f"{output.stem}-worst.png")
    plots.errors_of(path, shown, again, titles)
    print(f"the {len(rows)} least likely are drawn in {path}")


def main():
    """The command's entry point."""
    cli.run(score, FLAGS)


if __name__ == "__main__":
    main()
