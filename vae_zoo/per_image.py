"""What the commands that go through images one by one share: flags, checks, the loop."""

import pathlib
import tempfile

from absl import flags

from vae_zoo import cli, errors


def define_flags(flag_values):
    """Defines the flags that say which run, which images, and where the result goes."""
    texts = {
        "dataset": "data set instead of --images, by name",
        "output": "the file to write",
    }
    cli.define_run(flag_values)
    cli.define_data_dir(flag_values)
    for name, text in texts.items():
        flags.DEFINE_string(name, None, text, flag_values=flag_values)
    splits = ["test", "validation", "train"]
    flags.DEFINE_enum("split", "test", splits, "which images of --dataset", flag_values=flag_values)
    flags.DEFINE_integer("seed", 0, "seed of the noise", flag_values=flag_values)
    flags.DEFINE_integer(
        "label",
        None,
        "class of all images, a number; for a conditional model",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "batch_size",
        None,
        "images computed at once; it changes speed and memory, but no figure",
        flag_values=flag_values,
    )
    define_image_flags(flag_values)


def define_image_flags(flag_values):
    """Defines the flags that say which images of the user are read, and how."""
    flags.DEFINE_string(
        "images",
        None,
        "the images: a folder of image files, or of one folder for each class; a zip or tar file "
        "of one; an .npz or .npy file; or one image file",
        flag_values=flag_values,
    )
    texts = {
        "resize": "change the images as the training did: cut, resized, grey or colour",
        "skip_broken": "leave out image files that cannot be read, and say how many",
    }
    for name, text in texts.items():
        flags.DEFINE_bool(name, False, text, flag_values=flag_values)


def check_flags(given, suffixes):
    """Returns the folder of the run, and the output as a path.

    Args:
        given: FlagValues with the flags of `define_flags`.
        suffixes: that the output may have.

    Raises:
        UserError: for flags that make no sense.
    """
    directory, _ = cli.run_directory(given)
    if bool(given.images) == bool(given.dataset):
        raise errors.UserError(
            "expected one of --images (your own) and --dataset (by name, with --split), got "
            f"{'both' if given.images else 'neither'}."
        )
    cli.check_seed(given.seed)
    if given.batch_size is not None and given.batch_size < 1:
        raise errors.UserError(f"--batch_size={given.batch_size}: expected at least 1.")
    if not given.output:
        raise errors.UserError(f"--output is missing: expected a file, {' or '.join(suffixes)}.")
    return directory, check_output(given.output, suffixes, given.images)


def check_output(output, suffixes, images=None):
    """Returns the file that will be written as a path.

    Args:
        output: what the user gave.
        suffixes: that it may have.
        images: the user's own images, among which it may not lie; or None.

    Raises:
        UserError: where it cannot be written.
    """
    given, output = output, pathlib.Path(output).expanduser()
    if output.suffix.lower() not in suffixes:
        wanted = " or ".join(suffixes)
        raise errors.UserError(f"--output={given}: expected a file that ends in {wanted}.")
    if output.is_dir():
        raise errors.UserError(f"--output={given}: it is a folder. Expected a file.")
    place = output.resolve()
    if images and pathlib.Path(images).expanduser().resolve() in (place, *place.parents):
        raise errors.UserError(
            f"--output={given} is the images, or lies among them. Expected a file elsewhere."
        )
    try:
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        raise errors.UserError(
            f"--output={given} cannot be written ({error.strerror}). Expected a file in a "
            "folder that is there and that you may write to."
        ) from error
    return output


def open_images(given, directory, config):
    """Returns the images that the flags name: ListedImages, or SplitImages of a data set.

    Args:
        given: FlagValues with images, seed, resize, skip_broken; dataset, split and data_dir.
        directory: of the run.
        config: of the run.
    """
    if given.images:
        return open_own(given.images, config, given.seed, given.resize, given.skip_broken)

    from vae_zoo import runs
    from vae_zoo.datasets import listed

    splits = runs.load_splits(directory, name=given.dataset, data_dir=given.data_dir)
    return listed.SplitImages(splits, given.split)


def open_own(name, config, seed, resize, skip_broken):
    """Returns the ListedImages of a path, to be seen by a run's model.

    Args:
        name: the path.
        config: of the run.
        seed: of binarisation, where it is drawn.
        resize: whether images are fitted as in the training.
        skip_broken: leave out image files that cannot be read.
    """
    from vae_zoo.datasets import DATASETS, catalogue, fitting, listed

    shape, dataset = tuple(config["arguments"]["image_shape"]), config["dataset"]
    fit = None
    if resize:
        spec = DATASETS.get(dataset["name"].split("/")[0].split(":")[0], catalogue.OTHER)
        crop = dataset.get("crop")
        fit = fitting.Fit(name, shape[:2], crop, shape[2], spec.invert)
    treatment = listed.Treatment(shape, fit, config["binarization"], seed)
    return listed.open_images(name, treatment, skip_broken)


def class_numbers(images, model, config, label=None):
    """Returns the class of each image for a conditional model, int32 [N]; None for another.

    Args:
        images: ListedImages or SplitImages.
        model: a VAE.
        config: of the run, which names the classes.
        label: the class of all images, or None.

    Raises:
        UserError: where classes are not known, or not the run's, or the model wants none.
    """
    import numpy as np

    if label is not None:
        check_label(label, model)
        return np.full(len(images), label, np.int32)
    if not model.needs_labels:
        return None
    if images.labels is None:
        raise errors.UserError(
            f"{model.name} is conditional, and {images.name} has no classes. Expected a folder "
            "for each class, or --label."
        )
    names = config.get("label_names") or map(str, range(model.num_classes))
    number = {name: i for i, name in enumerate(names)}
    for name in images.labels:
        if name not in number:
            raise errors.UserError(
                f"{images.name} has a class {name!r} that the run was not trained on. Expected "
                f"some of {', '.join(number)}."
            )
    return np.array([number[name] for name in images.labels], np.int32)


def check_label(label, model):
    """Raises a UserError for a --label that is no class of a model."""
    if not model.needs_labels:
        raise errors.UserError(
            f"--label={label}: {model.name} is not conditional. Leave the flag out, or "
            "train a conditional model such as cvae."
        )
    if not 0 <= label < model.num_classes:
        raise errors.UserError(
            f"--label={label}: expected a class from 0 to {model.num_classes - 1}."
        )


def go_through(images, labels, function, output, key, width, dtype):
    """Returns the PartialRows of all images: those of an interrupted run, and the others.

    Args:
        images: ListedImages or SplitImages.
        labels: int32 [N], or None.
        function: of (image, key, label), for at most its `batch_size` images: [n, width].
        output: the file that will be written; the rows lie next to it.
        key: the fingerprint of all that the rows depend on.
        width: numbers of an image.
        dtype: of them.

    Raises:
        UserError: where no image can be read.
    """
    import numpy as np

    from vae_zoo import progress
    from vae_zoo.metrics import partial_results

    path, size = output.with_name(f"{output.name}.partial"), function.batch_size
    store = partial_results.PartialRows(path, key, width, size, dtype)
    bar = progress.Progress(len(images), "images")
    bar(store.done)
    while store.done < len(images):
        batch = images.read(range(store.done, min(store.done + size, len(images))))
        label = None if labels is None else labels[batch.index]
        some = len(batch.index) > 0
        values = function(batch.image, batch.key, label) if some else np.empty((0, width))
        store.add(batch.index, values)
        bar(min(store.done, len(images)))
    bar.close()
    if not len(store.rows()):
        store.delete()
        raise errors.UserError(f"{images.name}: no image can be read. Expected some that do.")
    return store


def fingerprint(images, labels, model, *settings):
    """Returns what the rows of images depend on, in hexadecimal."""
    from vae_zoo.metrics import partial_results

    return partial_results.fingerprint(model, images.identity, labels, *settings)


def said_of(images, count):
    """Returns the line that says how many images there are, and how many were left out."""
    left = len(images) - count
    return f"{count:,} images of {images.name}" + (f"; {left:,} broken ones left out" * bool(left))
