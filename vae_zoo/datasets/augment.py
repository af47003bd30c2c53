"""Training images changed at random: a function of seed, step and place in the batch alone."""

from vae_zoo import errors

_SHIFT = 8  # a shift is at most 1/8 of a side
_SMALLEST = 0.8  # of the sides, that a crop keeps
_COLOUR = 0.2  # largest relative change of brightness, contrast and saturation
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601


def check(names):
    """Returns the names of augmentations as a tuple; a UserError for one that is not known."""
    names = tuple(names or ())
    for name in names:
        if name not in AUGMENTATIONS:
            raise errors.unknown("augmentation", name, AUGMENTATIONS)
    return tuple(name for name in AUGMENTATIONS if name in names)


def apply(names, image, seed, step, first=0):
    """Returns a batch of images, changed at random.

    Args:
        names: of AUGMENTATIONS.
        image: uint8 [B, H, W, C], of a fixed shape.
        seed: of the run, int.
        step: int64 tensor, of the batch.
        first: int64 tensor, the place of the first image in the whole batch.
    """
    from vae_zoo.probability import noise

    for name in names:
        use = noise.data_use(step, list(AUGMENTATIONS).index(name) + 1)  # 0 is the binarisation's
        draw = noise.uniform_rows(seed, use, image.shape[0], 3, first)  # [B, 3]
        image = AUGMENTATIONS[name](image, draw)
    return image


def _flip(image, draw):
    """Returns images, half of them mirrored left to right."""
    import tensorflow as tf

    return tf.where(draw[:, 0, None, None, None] < 0.5, image[:, :, ::-1], image)


def _shift(image, draw):
    """Returns images moved by up to 1/8 of a side; the pixels of the edge fill the gap."""
    import tensorflow as tf

    for axis in (1, 2):
        side = image.shape[axis]
        most = side // _SHIFT
        by = tf.cast(tf.floor(draw[:, axis, None] * (2 * most + 1)), tf.int32) - most  # [B, 1]
        rows = tf.clip_by_value(tf.range(side) + by, 0, side - 1)  # [B, side]
        image = tf.gather(image, rows, axis=axis, batch_dims=1)
    return image


def _crop(image, draw):
    """Returns parts of images, 80 to 100% of the sides, resized to the whole."""
    import tensorflow as tf

    kept = _SMALLEST + (1 - _SMALLEST) * draw[:, 0]
    top, left = (1 - kept) * draw[:, 1], (1 - kept) * draw[:, 2]
    boxes = tf.stack([top, left, top + kept, left + kept], axis=1)  # [B, 4]
    count, height, width, _ = image.shape
    resized = tf.image.crop_and_resize(image, boxes, tf.range(count), (height, width))
    return _to_bytes(resized)


def _colour(image, draw):
    """Returns images of another brightness, contrast and, in colour, saturation: up to 20%."""
    import tensorflow as tf

    factor = 1 + _COLOUR * (2 * draw - 1)
    brightness, contrast, saturation = (factor[:, i, None, None, None] for i in range(3))
    values = tf.cast(image, tf.float32) * brightness
    mean = tf.reduce_mean(values, axis=(1, 2, 3), keepdims=True)
    values = mean + contrast * (values - mean)
    if image.shape[-1] == 3:
        grey = tf.reduce_sum(values * tf.constant(_GREY), axis=-1, keepdims=True)
        values = grey + saturation * (values - grey)
    return _to_bytes(values)


def _to_bytes(values):
    import tensorflow as tf

    return tf.cast(tf.round(tf.clip_by_value(values, 0, 255)), tf.uint8)


AUGMENTATIONS = {"flip": _flip, "shift": _shift, "crop": _crop, "colour": _colour}
