"""Fully connected stacks."""

import math

import keras
from keras import layers

from vae_zoo import errors

_MOST_WEIGHTS = 10**8  # of one layer


def build_mlp(inputs, units, outputs, dtype=None, name=None, activation="relu"):
    """Returns a built stack [N, inputs] -> [N, outputs] rectified layers of `units` between."""
    stack = [layers.Dense(n, activation=activation, dtype=dtype) for n in units]
    return keras.Sequential(
        [layers.Input((inputs,)), *stack, layers.Dense(outputs, dtype=dtype)], name=name
    )


def encoder(image_shape, hidden, blocks, dtype, activation):
    del blocks
    _check_size(image_shape, image_shape[-1], hidden[0])
    return [
        layers.Flatten(dtype=dtype),
        *(layers.Dense(n, activation=activation, dtype=dtype) for n in hidden),
    ]


def decoder(image_shape, outputs, hidden, blocks, dtype, activation):
    del blocks
    pixels = (*image_shape[:2], outputs)
    _check_size(image_shape, outputs, hidden[0])
    return [
        *(layers.Dense(n, activation=activation, dtype=dtype) for n in reversed(hidden)),
        layers.Dense(math.prod(pixels), dtype=dtype),
        layers.Reshape(pixels, dtype=dtype),
    ]


def _check_size(image_shape, numbers, units):
    """Raises a UserError for a layer from or to all pixels that is larger than any use of it."""
    weights = math.prod(image_shape[:2]) * numbers * units
    if weights > _MOST_WEIGHTS:
        raise errors.UserError(
            f"network='mlp' joins {units} units to {numbers} numbers at each of "
            f"{image_shape[0]} x {image_shape[1]} pixels: {weights / 1e6:,.0f} million weights in "
            "one layer. Expected a convolutional network for such images, as conv_vae or "
            "resnet_vae have; or resize with --image_size."
        )
