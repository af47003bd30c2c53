"""From a name, a folder or a file to what is stored there."""

import os
import pathlib

from vae_zoo import errors
from vae_zoo.datasets import catalogue, own_files, prepared


def open_source(name, data_dir=None, manual_dir=None):
    """Returns the Source of a data set, prepared if need be.

    Args:
        name: of TFDS; or a path of a .npz file or of a folder of images.
        data_dir: where TFDS keeps prepared data.
        manual_dir: files downloaded by hand.

    Raises:
        UserError: where there is no such data, or it is broken.
    """
    if name.endswith(".npz"):
        return own_files.open_npz(pathlib.Path(name))
    if os.path.isdir(name):
        return own_files.open_folder(pathlib.Path(name))
    if os.sep in name and name.split("/")[0] not in catalogue.DATASETS and name[0] in "./~":
        raise errors.UserError(f"--dataset={name}: no such folder. Expected a folder of images.")
    return prepared.open_tfds(name, data_dir, manual_dir)
