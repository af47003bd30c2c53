"""The SavedModel: what TF Serving, and any C or C++ loader, runs with nothing of ours installed."""

import contextlib
import os
import pathlib
import re

import keras

from export import serving, signatures, staging
from vae_zoo import errors
from vae_zoo.runs import files

MAX_BATCH_SIZE = 64
_NAME = re.compile(r"[a-zA-Z0-9_]+")  # what TF Serving takes as a label


def export_saved_model(model, directory, *, version=None, max_batch_size=MAX_BATCH_SIZE):
    """Writes a SavedModel with every signature of a model and its warm-up records.

    It is written next to its place and renamed in one step, because TF Serving polls the directory:
    a failed export leaves nothing behind.

    Args:
        model: a vae_zoo.VAE.
        directory: the model's base path; its last part is the model's name at the server.
        version: whole number; None is the next one.
        max_batch_size: the largest batch that the server forms; of the warm-up records.

    Returns:
        The version's directory, a pathlib.Path.

    Raises:
        UserError: for a model without signatures, a version that is there, a full disk.
    """
    directory = pathlib.Path(directory)
    found = signatures.signatures(model)
    version = next_version(directory) if version is None else version
    place = directory / str(version)
    if place.exists():
        raise errors.UserError(
            f"{place} exists. Expected a new version: leave the version out, or take "
            f"{next_version(directory)}."
        )
    with next_to(place) as written:
        checked = [signatures.checked(each, model.num_classes) for each in found.values()]
        write_archive(checked, written)
        serving.write_warmup(written, directory.name, model, found, max_batch_size)
    return place


def next_version(directory):
    """Returns the whole number after the highest version in a model's base path, or 1."""
    entries = [path.name for path in pathlib.Path(directory).glob("*") if path.is_dir()]
    return 1 + max((int(name) for name in entries if name.isdecimal()), default=0)


def check_name(name):
    """Returns a model's name at the server.

    Raises:
        UserError: for a name that TF Serving would not take.
    """
    if not _NAME.fullmatch(name):
        raise errors.UserError(
            f"{name!r} is no name for a served model: expected letters, digits and underscores."
        )
    return name


def write_archive(found, path, batches=(None,)):
    """Writes the signatures as a SavedModel, with each weight once.

    keras.export.ExportArchive finds the weights that its endpoints use. To track the model as well
    would store them twice; a tf.Module that tracks it gives a file that no C++ loader can read.

    Args:
        found: Signatures, the default one first.
        path: an empty directory.
        batches: fixed batch sizes, each a signature `name_size`; None is any size, `name`.
    """
    archive = keras.export.ExportArchive()
    for signature in found:
        for batch in batches:
            name = signature.name if batch is None else f"{signature.name}_{batch}"
            specs = signatures.input_specs(signature, batch)
            archive.add_endpoint(name, signature.function, input_signature=specs)
    archive.write_out(str(path), verbose=False)


@contextlib.contextmanager
def next_to(place):
    """Yields a directory next to `place` that takes its place when all went well."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with no_space_told(place), staging.folder(place.parent, ".writing-") as written:
        yield written
        written.chmod(0o755)
        files.sync_tree(written)
        os.rename(written, place)
        files.sync(place.parent)


@contextlib.contextmanager
def no_space_told(path):
    """Makes TensorFlow's error for a full disk the operating system's, which commands explain."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        if "No space left" in str(error) or isinstance(error, tf.errors.ResourceExhaustedError):
            raise OSError(28, "No space left on device", str(path)) from error
        raise


def read_signatures(version_dir):
    """Returns the signatures as the file says; see serving.describe_signatures."""
    from tensorflow.core.protobuf import saved_model_pb2

    content = (pathlib.Path(version_dir) / "saved_model.pb").read_bytes()
    graph = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0]
    return serving.describe_signatures(graph.signature_def)


def variable_bytes(version_dir):
    """Returns how many bytes the weights of a SavedModel take on disk, index included."""
    folder = pathlib.Path(version_dir) / "variables"
    return sum(path.stat().st_size for path in folder.glob("variables.*"))
