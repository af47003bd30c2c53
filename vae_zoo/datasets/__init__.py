"""Data: load(name) gives Splits. Importing this imports no TensorFlow."""

from vae_zoo.datasets.catalogue import BINARIZATIONS, DATASETS, DatasetSpec

__all__ = ["BINARIZATIONS", "DATASETS", "DatasetSpec", "load"]


def load(name, **arguments):
    """Returns the Splits of a data set; see splits.load for the arguments.

    Example: load("digits", batch_size=64).train
    """
    from vae_zoo.datasets import splits

    return splits.load(name, **arguments)
