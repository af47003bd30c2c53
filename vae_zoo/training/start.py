"""The training images that a likelihood starts at."""

import keras
import numpy as np

IMAGES = 2000


def evenly_spaced(splits):
    """Returns up to IMAGES training images out of all classes, float32 [N, H, W, C] in [0, 1]."""
    raw = splits.raw("train")
    rows = np.linspace(0, len(raw) - 1, min(IMAGES, len(raw))).astype(np.int64)
    return raw[rows] / np.float32(255)


def first_images(iterator, strategy):
    """Returns the first images of Keras's epoch iterator, up to about IMAGES.

    Args:
        iterator: of `fit`. Where its data is cut into epochs by `steps_per_epoch`, these images
            are passed over in the training.
        strategy: of the training; under several replicas there are none, [], as each would have
            its own.
    """
    found, count = [], 0
    if strategy.num_replicas_in_sync > 1:
        return found
    for batch in iterator._distributed_dataset:
        inputs = keras.utils.unpack_x_y_sample_weight(batch)[0]
        image = inputs["image"] if isinstance(inputs, dict) else inputs
        found.append(np.asarray(image, np.float32))
        count += len(image)
        if count >= IMAGES:
            break
    return np.concatenate(found)
