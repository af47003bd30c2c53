"""Sizes of the maps of a stack, and how an image of any size comes to them.

A stack halves an image a whole number of times. Where the sides do not allow it, zeros are put
around the image before the first layer, and the last map is cropped to the image: 28 x 30 is
padded to 28 x 32, and halved to 14 x 16 and 7 x 8.
"""

from keras import layers

_SMALLEST = 8  # maps are halved until a side is at most this


def halvings(image_shape, least=1, smallest=_SMALLEST):
    """Returns how many times a stack halves an image: until a side is at most `smallest`.

    Args:
        image_shape: (H, W, C).
        least: halvings that are made even if a side is small enough already.
        smallest: pixels of the shorter side.
    """
    count, side = 0, min(image_shape[:2])
    while side > smallest or count < least:
        count, side = count + 1, (side + 1) // 2
    return count


def resolutions(image_shape, count=None):
    """Returns the map sizes [(height, width), ...] from the padded image's down.

    The first one is the image's own size where that can be halved so often.

    Args:
        image_shape: (H, W, C).
        count: halvings; None is `halvings` of the image.
    """
    count = halvings(image_shape) if count is None else count
    smallest = [-(-side // 2**count) for side in image_shape[:2]]  # rounded up
    return [tuple(side * 2**left for side in smallest) for left in range(count, -1, -1)]


def pad(image_shape, dtype=None, count=None):
    """Returns the layers that bring [N, H, W, P] to the first of `resolutions`: one, or none."""
    margins = _margins(image_shape, count)
    return [layers.ZeroPadding2D(margins, dtype=dtype)] if margins else []


def crop(image_shape, dtype=None, count=None):
    """Returns the layers that undo `pad`: one, or none where the image needs no padding."""
    margins = _margins(image_shape, count)
    return [layers.Cropping2D(margins, dtype=dtype)] if margins else []


def _margins(image_shape, count):
    """Returns ((top, bottom), (left, right)) in pixels; None where there is nothing to pad."""
    padded = resolutions(image_shape, count)[0]
    missing = [whole - side for whole, side in zip(padded, image_shape[:2], strict=True)]
    return tuple((n // 2, n - n // 2) for n in missing) if any(missing) else None
