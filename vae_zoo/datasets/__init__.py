"""Data: load(name) gives Splits. Importing this imports no TensorFlow."""

import os

from vae_zoo.datasets.catalogue import BINARIZATIONS, DATASETS, DatasetSpec

__all__ = ["BINARIZATIONS", "DATASETS", "DatasetSpec", "load", "load_like"]


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


def load_like(policy, name, **arguments):
    """Returns the Splits of data that a model of other data is to see, under a policy like its own.

    Binary images are what they are; where the model's are binary and these are grey, ink begins at
    one half.

    Args:
        policy: of the data that the model was trained on; None is not known.
        name, **arguments: see `load`; a binarization among them is passed over.
    """
    found = load(name, **{**arguments, "binarization": None})
    if found.binarization in (policy, "static") or policy is None:
        return found
    policy = "threshold" if policy == "static" else policy
    return load(name, **{**arguments, "binarization": policy})
