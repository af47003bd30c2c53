"""Binarisation: from 8-bit values to what is trained on, by one of four policies.

"static": the images are binary; "dynamic": a grey value is the probability of ink; "threshold": ink
from one half on; "none": the 8-bit values.
"""

import numpy as np

from vae_zoo import errors

_INK = 0  # the use of the noise; an augmentation has a number above it


def choose(raw, name, wanted, own):
    """Returns the policy for images, or a UserError where the wanted one does not fit.

    Args:
        raw: uint8 [N, H, W, C].
        name: of the data set.
        wanted: what the user asked for, or None.
        own: the data set's, or "" for what suits the images.
    """
    binary = all_binary(raw)
    policy = wanted or own or ("static" if binary else "none")
    if policy == "static" and not binary:
        raise errors.UserError(
            f"binarization=static: the images of {name} have grey values. Expected "
            "dynamic, threshold or none."
        )
    if policy != "static" and binary and policy != "threshold":
        raise errors.UserError(
            f"binarization={policy}: the images of {name} are binary already. "
            "Expected static."
        )
    return policy


def all_binary(raw):
    """Returns whether the first 1,000 images, uint8 [N, H, W, C], hold 0 and 255 alone."""
    return all(bool(((image == 0) | (image == 255)).all()) for image in raw[:1000])


def drawn(image, seed, step, first=0):
    """Returns ink with probability image / 255, to within 2^-16: four pixels a random word.

    Black and white are certain. The ink of an image is a function of the seed, the step and its
    place in the batch.

    Args:
        image: uint8 tensor [B, H, W, C], of a fixed shape.
        seed: of the run, int.
        step: int64 tensor, of the batch.
        first: int64 tensor, the place of the first image in the whole batch.
    """
    import tensorflow as tf

    from vae_zoo.probability import noise

    pixels = int(np.prod(image.shape[1:]))
    use = noise.data_use(step, _INK)
    words = noise.words(seed, use, image.shape[0], -(-pixels // 4), first, tf.uint64)
    # Even numbers: all of them lie below the threshold of white, which is 65535.
    words = tf.bitwise.bitwise_and(words, tf.constant(0xFFFEFFFEFFFEFFFE, tf.uint64))
    draw = tf.reshape(tf.bitcast(words, tf.uint16), [image.shape[0], -1])[:, :pixels]
    threshold = tf.cast(image, tf.uint16) * 257
    return tf.cast(tf.reshape(draw, tf.shape(image)) < threshold, tf.float32)


def drawn_by_row(image, rows, seed, number):
    """Returns ink with probability image / 255, each image's a function of its row.

    Args:
        image: uint8 array [N, H, W, C].
        rows: their numbers in the split, [N].
        seed: int.
        number: of the split.
    """
    image = image.astype(np.float32)
    for i, row in enumerate(rows):
        bits = np.random.Philox(key=seed % 2**64, counter=[0, 0, int(row), number])
        draw = np.random.Generator(bits).random(image.shape[1:], dtype=np.float32)
        image[i] = draw * 255.0 < image[i]
    return image


def deterministic(image, policy):
    """Returns 8-bit values as floats: in [0, 1] under "none", or binary above one half."""
    if policy == "none":
        return _to_float(image) / 255
    return _to_float(image > 127)


def _to_float(image):
    if isinstance(image, np.ndarray):
        return image.astype(np.float32)
    import tensorflow as tf

    return tf.cast(image, tf.float32)
