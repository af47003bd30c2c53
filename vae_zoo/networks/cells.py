"""Residual cells of NVAE.

Vahdat and Kautz (2020), "NVAE: a deep hierarchical variational autoencoder", section 3.1, figure 3.
Group normalisation stands for the paper's batch normalisation: what a model says of an image must
not depend on the batch that it is in.
"""

import math

import keras
from keras import layers

from vae_zoo.networks import common, very_deep

_BRANCH = 0.1  # factor of the branch, so that a deep stack starts near the identity
_GROUPS = 8  # of channels, at most, that are normalised apart


@keras.saving.register_keras_serializable("vae_zoo")
class ResidualCell(layers.Layer):
    """x + 0.1 SE(branch(x)), which may halve or double the resolution and change the channels.

    Args:
        channels: of the output.
        kind: "encoder", two 3x3 convolutions; "decoder", 1x1 to more channels, a depth-wise 5x5,
            1x1 back.
        change: "", "down" (half the resolution) or "up" (twice the resolution).
        expansion: how many times more channels the depth-wise convolution has.

    Source: Vahdat and Kautz (2020), figure 3; squeeze and excitation of Hu et al. (2018).
    """

    def __init__(self, channels, kind, change="", expansion=6, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.kind = channels, kind
        self.change, self.expansion = change, expansion

    def build(self, input_shape):
        inputs = input_shape[-1]
        make = self._encoder if self.kind == "encoder" else self._decoder
        self.branch = self._chain(input_shape, make(inputs))
        self.skip = self._chain(input_shape, self._skip(inputs))
        squeezed = (None, 1, 1, self.channels)
        few = self._made(layers.Conv2D, max(self.channels // 16, 4), 1, activation="relu")
        gate = self._made(layers.Conv2D, self.channels, 1, activation="sigmoid")
        self.excite = self._chain(squeezed, [few, gate])

    def call(self, inputs):
        branch = _run(self.branch, inputs)
        squeezed = keras.ops.mean(branch, axis=(1, 2), keepdims=True)
        return _run(self.skip, inputs) + _BRANCH * branch * _run(self.excite, squeezed)

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        if self.change == "up":
            height, width = 2 * height, 2 * width
        if self.change == "down":
            height, width = height // 2, width // 2
        return batch, height, width, self.channels

    def get_config(self):
        names = ("channels", "kind", "change", "expansion")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def _encoder(self, inputs):
        stride = 2 if self.change == "down" else 1
        first = self._made(layers.Conv2D, self.channels, 3, stride, padding="same")
        second = self._made(layers.Conv2D, self.channels, 3, padding="same")
        return [*self._normed(inputs), first, *self._normed(self.channels), second]

    def _decoder(self, inputs):
        more = self.expansion * inputs
        up = [self._made(very_deep.NearestUp, 2)] if self.change == "up" else []
        start = [*up, self._norm(inputs), self._made(layers.Conv2D, more, 1, use_bias=False)]
        depth_wise = self._made(layers.DepthwiseConv2D, 5, padding="same", use_bias=False)
        end = [self._made(layers.Conv2D, self.channels, 1, use_bias=False)]
        middle = [*self._normed(more), depth_wise, *self._normed(more)]
        return [*start, *middle, *end, self._norm(self.channels)]

    def _skip(self, inputs):
        if self.change == "down":
            folded = self._made(common.SpaceToDepth, 2)
            return [folded, self._made(layers.Conv2D, self.channels, 1)]
        project = [self._made(layers.Conv2D, self.channels, 1)] if inputs != self.channels else []
        return [*project, *([self._made(very_deep.NearestUp, 2)] if self.change == "up" else [])]

    def _normed(self, channels):
        return [self._norm(channels), self._made(layers.Activation, "silu")]

    def _norm(self, channels):
        return self._made(layers.GroupNormalization, math.gcd(channels, _GROUPS))

    def _made(self, kind, *args, **kwargs):
        return kind(*args, dtype=self.dtype_policy, **kwargs)

    def _chain(self, shape, chain):
        for layer in chain:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        return chain


def _run(chain, x):
    for layer in chain:
        x = layer(x)
    return x
