"""A small U-Net: image-sized inputs and a few numbers for each image -> image-sized outputs.

Ronneberger et al. (2015), "U-Net: convolutional networks for biomedical image segmentation", with
the residual blocks and the conditioning of Ho et al. (2020), appendix B. The first resolution is
half the image's: two pixels a side become channels, which costs nothing and saves most of the
arithmetic.
"""

import keras
from keras import layers

from vae_zoo.networks import common, sizes

DEFAULT_HIDDEN = (32, 64)  # channels at each resolution


def build_unet(image_shape, inputs, conditions, outputs, hidden=None, blocks=1, dtype=None):
    """Returns a built network ([N, H, W, inputs], [N, conditions]) -> [N, H, W, outputs].

    Its last convolution starts at zero: what it gives then is zero everywhere.

    Args:
        image_shape: (H, W, C); the sides are halved until one is at most 8, at least once.
        inputs: channels in.
        conditions: numbers for each image.
        outputs: channels out.
        hidden: channels at each resolution, from half the image's down; None is DEFAULT_HIDDEN.
        blocks: residual blocks at each resolution, on the way down and on the way up.
        dtype: dtype policy of the layers.

    Raises:
        UserError: for widths that make none.
    """
    hidden = common.check_widths("hidden", DEFAULT_HIDDEN if hidden is None else hidden)
    channels = common.stage_channels(hidden, sizes.halvings(image_shape))
    image = layers.Input((*image_shape[:2], inputs))
    condition = layers.Input((conditions,))
    embedding = layers.Dense(2 * channels[-1], activation="silu", dtype=dtype)(condition)
    x = _chain(image, sizes.pad(image_shape, dtype))
    x = _up(_down(x, embedding, channels, blocks, dtype), embedding, blocks, dtype)
    x = layers.Activation("silu", dtype=dtype)(x)
    x = _zero_convolution(4 * outputs, dtype)(x)
    x = common.DepthToSpace(2, dtype=dtype)(x)
    x = _chain(x, sizes.crop(image_shape, dtype))
    return keras.Model([image, condition], x, name="unet")


def _chain(x, stack):
    for layer in stack:
        x = layer(x)
    return x


def _down(x, embedding, channels, blocks, dtype):
    """Returns the maps of each resolution, the highest first."""
    maps = []
    for width in channels:
        x = common.SpaceToDepth(2, dtype=dtype)(x)
        x = layers.Conv2D(width, 3, padding="same", dtype=dtype)(x)
        for _ in range(blocks):
            x = _residual(x, embedding, dtype)
        maps.append(x)
    return maps


def _up(maps, embedding, blocks, dtype):
    """Returns the highest map, each having met what came up from below it."""
    x = None
    for skip in maps[::-1]:
        if x is not None:
            x = layers.Conv2D(4 * skip.shape[-1], 1, dtype=dtype)(x)
            skip = layers.Add(dtype=dtype)([common.DepthToSpace(2, dtype=dtype)(x), skip])
        x = skip
        for _ in range(blocks):
            x = _residual(x, embedding, dtype)
    return x


def _residual(x, embedding, dtype):
    """Returns x + conv(silu(conv(silu(x)) + condition)), the last convolution starting at zero."""
    channels = x.shape[-1]
    h = layers.Activation("silu", dtype=dtype)(x)
    h = layers.Conv2D(channels, 3, padding="same", dtype=dtype)(h)
    shift = layers.Dense(channels, dtype=dtype)(embedding)
    h = layers.Add(dtype=dtype)([h, layers.Reshape((1, 1, channels), dtype=dtype)(shift)])
    h = layers.Activation("silu", dtype=dtype)(h)
    return layers.Add(dtype=dtype)([x, _zero_convolution(channels, dtype)(h)])


def _zero_convolution(channels, dtype):
    return layers.Conv2D(channels, 3, padding="same", kernel_initializer="zeros", dtype=dtype)
