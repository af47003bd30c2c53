"""Residual stacks of pre-activation bottlenecks, and maps of latents on them."""

import math

import keras
from keras import layers

from vae_zoo.networks import common, sizes


def encoder(image_shape, hidden, blocks, dtype, activation=None, halvings=None):
    del activation  # the blocks have their own
    factors = _factors(image_shape, halvings)
    stack = sizes.pad(image_shape, dtype, halvings)
    for stage, channels in enumerate(common.stage_channels(hidden, len(factors))):
        stack += [
            common.SpaceToDepth(factors[stage], dtype=dtype),
            layers.Conv2D(channels, 1 if stage else 3, padding="same", dtype=dtype),
            *(common.PreActivationBlock(channels, dtype=dtype) for _ in range(blocks)),
        ]
    return [*stack, common.leaky_relu(dtype), layers.Flatten(dtype=dtype)]


def decoder(image_shape, outputs, hidden, blocks, dtype, activation=None, halvings=None):
    del activation
    factors = _factors(image_shape, halvings)[::-1]
    channels = common.stage_channels(hidden, len(factors))[::-1]
    smallest = (*sizes.resolutions(image_shape, halvings)[-1], channels[0])
    stack = [layers.Dense(math.prod(smallest), dtype=dtype), layers.Reshape(smallest, dtype=dtype)]
    for stage, (here, above) in enumerate(zip(channels, [*channels[1:], outputs], strict=True)):
        last = stage == len(factors) - 1
        stack += [
            *(common.PreActivationBlock(here, dtype=dtype) for _ in range(blocks)),
            common.leaky_relu(dtype),
            layers.Conv2D(
                factors[stage] ** 2 * above, 3 if last else 1, padding="same", dtype=dtype
            ),
            common.DepthToSpace(factors[stage], dtype=dtype),
        ]
    return stack + sizes.crop(image_shape, dtype, halvings)


def build_map_encoder(image_shape, channels, hidden, blocks, dtype=None, halvings=None):
    """Returns a built resnet image [B, H, W, C] -> map [B, h, w, channels].

    Args:
        image_shape: (H, W, C).
        channels: of the map.
        hidden: channels at each resolution.
        blocks: residual blocks at each resolution.
        dtype: dtype policy of the layers.
        halvings: of the image; None is until a side is at most 8.
    """
    *stack, _ = encoder(image_shape, hidden, blocks, dtype, halvings=halvings)
    head = layers.Conv2D(channels, 1, dtype=dtype)
    return keras.Sequential([layers.Input(image_shape), *stack, head], name="encoder")


def build_map_decoder(image_shape, channels, hidden, blocks, dtype, outputs, halvings=None):
    """Returns a built resnet, flat map [N, h * w * channels] -> parameters [N, H, W, outputs].

    The arguments are those of build_map_encoder, which it mirrors, and numbers for each pixel.
    """
    height, width = sizes.resolutions(image_shape, halvings)[-1]
    _, _, *stack = decoder(image_shape, outputs, hidden, blocks, dtype, halvings=halvings)
    stages = len(_factors(image_shape, halvings))
    lowest = common.stage_channels(hidden, stages)[-1]
    top = layers.Conv2D(lowest, 3, padding="same", dtype=dtype)
    map_shape = (height, width, channels)
    start = [layers.Input((math.prod(map_shape),)), layers.Reshape(map_shape, dtype=dtype), top]
    return keras.Sequential([*start, *stack], name="decoder")


def _factors(image_shape, halvings):
    """Returns by how much each stage of a resnet divides the image: 4 first, where it can."""
    halvings = halvings or sizes.halvings(image_shape)
    return [4] + [2] * (halvings - 2) if halvings > 1 else [2] * halvings
