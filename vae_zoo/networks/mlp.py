"""Fully connected stacks."""

import math

import keras
from keras import layers


def build_mlp(inputs, units, outputs, dtype=None, name=None, activation="relu"):
    """Returns a built stack [N, inputs] -> [N, outputs] rectified layers of `units` between."""
    stack = [layers.Dense(n, activation=activation, dtype=dtype) for n in units]
    return keras.Sequential(
        [layers.Input((inputs,)), *stack, layers.Dense(outputs, dtype=dtype)], name=name
    )


def encoder(image_shape, hidden, blocks, dtype):
    del image_shape, blocks
    return [
        layers.Flatten(dtype=dtype),
        *(layers.Dense(n, activation="relu", dtype=dtype) for n in hidden),
    ]


def decoder(image_shape, outputs, hidden, blocks, dtype):
    del blocks
    pixels = (*image_shape[:2], outputs)
    return [
        *(layers.Dense(n, activation="relu", dtype=dtype) for n in reversed(hidden)),
        layers.Dense(math.prod(pixels), dtype=dtype),
        layers.Reshape(pixels, dtype=dtype),
    ]
