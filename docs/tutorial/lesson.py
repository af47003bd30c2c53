"""What the pages of the tutorial share: source code by name, digits, short trainings."""

import functools
import inspect
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # pages show results, not TensorFlow's notes

import numpy as np  # noqa: E402
from absl import logging  # noqa: E402

import vae_zoo  # noqa: E402

logging.set_verbosity(logging.ERROR)
_data = functools.cache(lambda: vae_zoo.load_dataset("digits", batch_size=32))


def source(*objects):
    """Prints the source of functions and classes, as it is in the installed package."""
    print("\n\n".join(inspect.getsource(each).rstrip() for each in objects))


def digits(split="test", count=None):
    """Returns binary images of the digits that ship, float32 [N, 28, 28, 1]."""
    return _data().images(split, count)


def labels(split="test", count=None):
    """Returns the classes of these images, int32 [N]."""
    return _data().labels(split, count)


def trained(name, epochs=15, **arguments):
    """Returns a small model, trained on the digits for some seconds.

    Args:
        name: of a registered model.
        epochs: passes over the 1,439 training images.
        **arguments: of the model's constructor.
    """
    model = vae_zoo.create_model(name, image_shape=(28, 28, 1), seed=0, **arguments)
    model.compile("adam")
    model.fit(_data().train, epochs=epochs, verbose=0)
    return model


def mean(values):
    """Returns the mean of a tensor as a float."""
    return float(np.mean(values))
