"""Parts of very deep top-down paths: pre-scaled residual bottlenecks, nearest-neighbour upsampling.

Child (2021), "Very deep VAEs generalize autoregressive models and can outperform them on images",
section 3 and figure 3.
"""

import keras
from keras import layers

from vae_zoo.networks import common


def gelu(x):
    """Returns x sigmoid(1.702 x), of what every runtime has (Hendrycks and Gimpel, 2016)."""
    return x * keras.ops.sigmoid(1.702 * x)


def convolution(channels, size=1, gain=1.0, dtype=None):
    """Returns a convolution whose first weights are uniform, of variance gain**2 / (3 fan_in).

    Args:
        channels: of the output.
        size: of the kernel.
        gain: factor of the first weights; 0 starts at zero.
        dtype: dtype policy.
    """
    start = "zeros"
    if gain:
        start = keras.initializers.VarianceScaling(gain**2 / 3, "fan_in", "uniform")
    return layers.Conv2D(channels, size, padding="same", kernel_initializer=start, dtype=dtype)


@keras.saving.register_keras_serializable("vae_zoo")
class Bottleneck(layers.Layer):
    """1x1, two of `size`, 1x1: convolutions with a GELU before each; residual, or a head.

    Args:
        channels: of the output.
        middle: channels between.
        size: of the two convolutions in the middle; 1 for maps of 1 x 1.
        residual: whether the input is added.
        gain: factor of the last convolution's first weights: 1 / sqrt(depth) of a deep path.

    Source: Child (2021), figure 3.
    """

    def __init__(self, channels, middle, size=3, residual=False, gain=1.0, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.middle, self.size = channels, middle, size
        self.residual, self.gain = residual, gain
        self.convolutions = [
            convolution(middle, dtype=self.dtype_policy),
            convolution(middle, size, dtype=self.dtype_policy),
            convolution(middle, size, dtype=self.dtype_policy),
            convolution(channels, gain=gain, dtype=self.dtype_policy),
        ]

    def build(self, input_shape):
        shape = tuple(input_shape)
        for layer in self.convolutions:
            layer.build(shape)
            shape = (*shape[:-1], layer.filters)

    def call(self, inputs):
        x = inputs
        for layer in self.convolutions:
            x = layer(gelu(x))
        return inputs + x if self.residual else x

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.channels)

    def get_config(self):
        names = ("channels", "middle", "size", "residual", "gain")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("vae_zoo")
class NearestUp(common.DepthToSpace):
    """Nearest-neighbour upsampling, [B, H, W, C] -> [B, f * H, f * W, C], as TFLite can have it.

    Args:
        factor: f.
    """

    def call(self, inputs):
        return super().call(keras.ops.tile(inputs, (1, 1, 1, self.factor**2)))

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return batch, self.factor * height, self.factor * width, channels


@keras.saving.register_keras_serializable("vae_zoo")
class LearnedMap(layers.Layer):
    """Adds a learned map [H, W, C], zero at first; a map of 1 x 1 is spread over all places.

    Args:
        size: (H, W).
    """

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = tuple(size)

    def build(self, input_shape):
        shape = (*self.size, input_shape[-1])
        self.map = self.add_weight(shape=shape, initializer="zeros", name="map")

    def call(self, inputs):
        return inputs + keras.ops.cast(self.map, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.size, input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "size": self.size}
