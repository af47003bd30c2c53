"""From a name, a folder or a file to what is stored there."""

import os
import pathlib

from vae_zoo import errors
from vae_zoo.datasets import archives, arrays, catalogue, folders, prepared


def open_source(name, data_dir=None, manual_dir=None, skip_broken=False):
    """Returns the Source of a data set, prepared if need be.

    Args:
        name: of TFDS; or a path: of a folder of images, of a zip or tar of one, or of a .npz or
            .npy file.
        data_dir: where TFDS keeps prepared data.
        manual_dir: files downloaded by hand.
        skip_broken: leave out image files that cannot be read.

    Raises:
        UserError: where there is no such data, or it is broken.
    """
    if "://" in name:
        raise errors.UserError(
            f"--dataset={name}: addresses are not supported. Expected a local folder or file: "
            "copy the data first."
        )
    path = pathlib.Path(os.path.expanduser(name))
    if name.lower().endswith((".npz", ".npy")) and not path.is_dir():
        return arrays.open_arrays(path)
    if path.is_dir() or (name.lower().endswith(archives.SUFFIXES) and path.exists()):
        return folders.open_folder(path, skip_broken)
    if path.is_file():
        raise errors.UserError(
            f"--dataset={name}: a file of an unknown kind. Expected .npz, .npy, or one of "
            f"{', '.join(archives.SUFFIXES)}."
        )
    if _meant_as_path(name):
        raise errors.UserError(
            f"--dataset={name}: no such folder or file. Expected a folder of images, an archive "
            "of one, or a .npz file."
        )
    return prepared.open_tfds(name, data_dir, manual_dir)


def _meant_as_path(name):
    if name.startswith((".", "~", os.sep)) or name.lower().endswith(archives.SUFFIXES):
        return True
    first = name.split("/")[0].split(":")[0]
    if "/" not in name or first in catalogue.DATASETS:
        return False
    import tensorflow_datasets as tfds

    return first not in tfds.list_builders()
