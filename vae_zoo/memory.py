"""How many images are computed at once, so that large ones fit into memory."""

import numpy as np

_PIXELS = 2**20  # of the images that are decoded at once; 32 x 32 pixels 1,024 times


def images_at_once(image_shape, most):
    """Returns how many images to compute at once: fewer of large ones.

    A decoder of 8-bit colour images gives tens of numbers for each pixel, and the likelihood
    holds several arrays of them: 2**20 pixels are some gigabytes.

    Args:
        image_shape: (H, W, ...).
        most: images at once where they are small.
    """
    return max(1, min(most, _PIXELS // (image_shape[0] * image_shape[1])))


def in_batches(function, *arrays, image_shape, most=250):
    """Returns function(*arrays), computed for a few rows at a time.

    Args:
        function: arrays [n, ...] -> array [n, ...], or a tuple of such.
        *arrays: of N rows each; or None, which stays None.
        image_shape: (H, W, ...) of the images that each row stands for.
        most: rows at once where images are small.
    """
    size = images_at_once(image_shape, most)
    parts = []
    for start in range(0, len(arrays[0]), size):
        rows = slice(start, start + size)
        found = function(*(None if a is None else a[rows] for a in arrays))
        several = isinstance(found, tuple)
        parts.append([np.asarray(part) for part in (found if several else (found,))])
    joined = tuple(np.concatenate(part) for part in zip(*parts, strict=True))
    return joined if several else joined[0]
