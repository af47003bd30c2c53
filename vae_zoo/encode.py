"""Latents of images: python -m vae_zoo.encode --run=RUN --images=FOLDER --output=latents.npz"""

from absl import flags

from vae_zoo import cli, per_image

FLAGS = flags.FlagValues()
per_image.define_flags(FLAGS)


def encode():
    """Writes the mean and the standard deviation of each image's posterior, as .npz or .csv.

    A vq_vae gives the codes, and a hierarchy the posterior of its top layer. Images are read a few
    at a time. After an interruption the same command goes on.
    """
    directory, output = per_image.check_flags(FLAGS, (".npz", ".csv"))

    from vae_zoo import runs

    config = runs.read_config(directory)
    model = runs.load_run(directory)

    from vae_zoo.metrics import encodings

    encoder = encodings.Encoder(model, FLAGS.seed, FLAGS.batch_size)
    images = per_image.open_images(FLAGS, directory, config)
    labels = per_image.class_numbers(images, model, config, FLAGS.label)
    width = sum(encoder.sizes.values())
    key = per_image.fingerprint(images, labels, model, "encode", FLAGS.seed, encoder.batch_size)
    store = per_image.go_through(images, labels, encoder, output, key, width, "<f4")
    rows = store.rows()
    write = _write_arrays if output.suffix.lower() == ".npz" else _write_table
    write(output, images, rows, encoder.sizes)
    store.delete()
    for note in (*images.notes, *encoder.notes):
        print(f"note: {note}")
    print(f"{per_image.said_of(images, len(rows))}: {_words(encoder.sizes)} of each")
    print(f"written to {output}")


def _words(sizes):
    return " and ".join(f"{name} [{size}]" for name, size in sizes.items())


def _write_arrays(output, images, rows, sizes):
    """Writes name, label (where there are classes), and an array for each name in `sizes`."""
    import numpy as np

    from vae_zoo import runs

    arrays, start = {"name": np.array([images.names[i] for i in rows["index"]])}, 0
    if images.labels is not None:
        arrays["label"] = np.array([images.labels[i] for i in rows["index"]])
    for name, size in sizes.items():
        part = rows["values"][:, start : start + size]
        arrays[name] = part.astype(np.int32) if name == "code" else part
        start += size
    with runs.atomic(output) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)


def _write_table(output, images, rows, sizes):
    """Writes a line for each image: name, label, mean_0, mean_1, ..., stddev_0, ..."""
    import csv

    from vae_zoo import runs

    columns = [f"{name}_{i}" for name, size in sizes.items() for i in range(size)]
    label = [] if images.labels is None else ["label"]
    number = int if "code" in sizes else "{:.7g}".format
    with (
        runs.atomic(output) as partial,
        open(partial, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["name", *label, *columns])
        for row in rows:
            name, kind = images.names[row["index"]], [images.labels[row["index"]]] if label else []
            writer.writerow([name, *kind, *map(number, row["values"])])


def main():
    """The command's entry point."""
    cli.run(encode, FLAGS)


if __name__ == "__main__":
    main()
