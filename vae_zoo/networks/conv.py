"""Convolutional stacks: strided convolutions down, sub-pixel convolutions up."""

import math

from keras import layers

from vae_zoo.networks import common, sizes


def encoder(image_shape, hidden, blocks, dtype, activation):
    del blocks
    channels = common.stage_channels(hidden, sizes.halvings(image_shape))
    return [
        *sizes.pad(image_shape, dtype),
        *(_conv(n, dtype, activation, size=4, stride=2) for n in channels),
        _conv(_narrow(channels), dtype, activation),
        layers.Flatten(dtype=dtype),
        layers.Dense(256, activation=activation, dtype=dtype),
    ]


def decoder(image_shape, outputs, hidden, blocks, dtype, activation):
    del blocks
    channels = common.stage_channels(hidden, sizes.halvings(image_shape))[::-1]
    smallest = (*sizes.resolutions(image_shape)[-1], _narrow(channels[::-1]))
    return [
        layers.Dense(256, activation=activation, dtype=dtype),
        layers.Dense(math.prod(smallest), activation=activation, dtype=dtype),
        layers.Reshape(smallest, dtype=dtype),
        _conv(channels[0], dtype, activation),
        *(layer for n in channels[1:] for layer in _upsampled(n, dtype, activation)),
        *_upsampled(outputs, dtype, activation=None),
        *sizes.crop(image_shape, dtype),
    ]


def _conv(channels, dtype, activation, size=3, stride=1):
    return layers.Conv2D(
        channels, size, strides=stride, padding="same", activation=activation, dtype=dtype
    )


def _upsampled(channels, dtype, activation):
    """Returns the layers that double a map's sides: a convolution to four sub-pixels of each pixel.

    A transposed convolution takes three times as long on a phone's or a server's CPU, and eight
    times where an image has one channel.

    Source: Shi et al. (2016), "Real-time single image and video super-resolution using an
    efficient sub-pixel convolutional neural network", eq. 4.
    """
    return [_conv(4 * channels, dtype, activation), common.DepthToSpace(2, dtype=dtype)]


def _narrow(channels):
    """Returns the channels of the smallest map where a dense layer meets it.

    All of them would put most of the model's weights, and of a decoder's latency, in that layer.
    """
    return max(channels[-1] // 4, 4)
