"""The training images that a model starts at: its likelihood, its principal components."""

import math

import keras
import numpy as np
import tensorflow as tf

IMAGES = 5000
_NUMBERS = 2**26  # of all of them together, at most: 256 MB


def evenly_spaced(splits):
    """Returns some IMAGES training images out of all classes, float32 [N, H, W, C] in [0, 1]."""
    return _some_of(splits.raw("train")) / np.float32(255)


def first_images(x, read):
    """Returns some IMAGES of what `fit` trains on, float32 [N, H, W, C] in [0, 1].

    None, [], of what can be read once, such as a generator.

    Args:
        x: {"image": array}, or a tf.data.Dataset of batches.
        read: a function inputs -> (images, labels), a model's check_inputs.
    """
    if isinstance(x, dict):
        return np.asarray(read({**x, "image": _some_of(np.asarray(x["image"]))})[0])
    found, count = [], 0
    for batch in x if isinstance(x, tf.data.Dataset) else ():
        found.append(np.asarray(read(keras.utils.unpack_x_y_sample_weight(batch)[0])[0]))
        count += len(found[-1])
        if count >= IMAGES:
            break
    return np.concatenate(found) if found else found


def _some_of(images):
    most = min(IMAGES, max(_NUMBERS // math.prod(images.shape[1:]), 1))
    rows = np.linspace(0, len(images) - 1, min(most, len(images))).astype(np.int64)
    return images[rows]
