"""Data: load(name) gives Splits. Importing this imports no TensorFlow."""

import os

from vae_zoo.datasets.catalogue import BINARIZATIONS, DATASETS, DatasetSpec

__all__ = ["BINARIZATIONS", "DATASETS", "DatasetSpec", "load"]


def load(name, **arguments):
    """Returns the Splits of a data set; see splits.load for the arguments.

    Example: load("digits", batch_size=64).train
    """
    from vae_zoo import errors
    from vae_zoo.datasets import splits

    if not isinstance(name, (str, os.PathLike)):
        raise errors.UserError(
            f"load_dataset of {type(name).__name__}: expected a name or a path. Arrays go to "
            "model.fit(images); or np.savez('images.npz', image=images, label=labels), and that "
            "file's path."
        )
    return splits.load(os.fspath(name), **arguments)
