"""Parts of the networks: residual blocks, changes of resolution, channels of the stages."""

import contextlib
import random

import keras
from keras import layers

from vae_zoo import errors

# Where TensorFlow fuses a convolution, a bias, a sum and LeakyReLU for oneDNN, as it does by itself
# on AVX-512 servers, it takes this slope whatever was asked for.
_SLOPE = 0.2


def over_samples(network, inputs, event_rank=1):
    """Returns network(inputs) for inputs [..., *event] with any leading axes, [..., *outputs].

    Args:
        network: a layer or stack, [N, *event] -> [N, *outputs].
        inputs: samples of an image, images, or both.
        event_rank: how many of the last axes are one input of the network.
    """
    shape = keras.ops.shape(inputs)
    outputs = network(keras.ops.reshape(inputs, (-1, *shape[-event_rank:])))
    return keras.ops.reshape(outputs, (*shape[:-event_rank], *outputs.shape[1:]))


@keras.saving.register_keras_serializable("vae_zoo")
class PreActivationBlock(layers.Layer):
    """Pre-activation residual bottleneck: x + 1x1(3x3(1x1(x))), a rectifier before each.

    The last convolution starts at zero, so that a deep stack starts as the identity.

    Args:
        channels: channels in and out; a quarter of them between.
        size: of the convolution in the middle; 1 for maps of 1 x 1.

    Source: He et al. (2016), "Identity mappings in deep residual networks", fig. 4e.
    """

    def __init__(self, channels, size=3, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.size = channels, size
        narrow = max(channels // 4, 4)
        policy = self.dtype_policy
        self.convolutions = [
            layers.Conv2D(narrow, 1, dtype=policy),
            layers.Conv2D(narrow, size, padding="same", dtype=policy),
            layers.Conv2D(channels, 1, kernel_initializer="zeros", dtype=policy),
        ]

    def build(self, input_shape):
        shape = tuple(input_shape)
        for convolution in self.convolutions:
            convolution.build(shape)
            shape = (*shape[:-1], convolution.filters)

    def call(self, inputs):
        x = inputs
        for convolution in self.convolutions:
            x = convolution(keras.ops.leaky_relu(x, _SLOPE))
        return inputs + x

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "channels": self.channels, "size": self.size}


@keras.saving.register_keras_serializable("vae_zoo")
class DepthToSpace(layers.Layer):
    """Trades channels for resolution: [B, H, W, f * f * C] -> [B, f * H, f * W, C].

    Args:
        factor: f.
    """

    def __init__(self, factor=2, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs):
        import tensorflow as tf

        return tf.nn.depth_to_space(inputs, self.factor)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return batch, self.factor * height, self.factor * width, channels // self.factor**2

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("vae_zoo")
class SpaceToDepth(DepthToSpace):
    """Trades resolution for channels: [B, f * H, f * W, C] -> [B, H, W, f * f * C].

    Args:
        factor: f.
    """

    def call(self, inputs):
        import tensorflow as tf

        return tf.nn.space_to_depth(inputs, self.factor)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return batch, height // self.factor, width // self.factor, channels * self.factor**2


def leaky_relu(dtype=None):
    """Returns a LeakyReLU layer of the slope that every kernel of TensorFlow agrees about."""
    return layers.LeakyReLU(_SLOPE, dtype=dtype)


@contextlib.contextmanager
def initial_weights_of(seed):
    """Makes Keras's initializers, which draw their seeds from `random`, a function of the seed."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def check_widths(name, widths):
    """Returns the widths of a stack as a tuple; a UserError names an argument that is none."""
    listed = isinstance(widths, (tuple, list)) and len(widths) > 0
    if not listed or not all(type(n) is int and n > 0 for n in widths):
        raise errors.UserError(
            f"{name}={widths!r}: expected a positive whole number for each layer: (500, 500)."
        )
    return tuple(widths)


def check_one_width(model, hidden):
    """Returns C of hidden=(C,); a UserError where a model has no widths of their own elsewhere."""
    widths = check_widths("hidden", hidden)
    if len(widths) > 1:
        raise errors.UserError(
            f"hidden={hidden!r}: one number decides the channels of all maps of {model}. Expected "
            "one, such as (64,)."
        )
    return widths[0]


def stage_channels(hidden, stages):
    """Returns channels for `stages` resolutions, the last of `hidden` repeated as needed."""
    return [hidden[min(i, len(hidden) - 1)] for i in range(stages)]


def stage_of_layers(layers_of_stages, stages):
    """Returns the stage of each layer: (2, 1) gives [0, 0, 1]; the last number is repeated."""
    counts = stage_channels(layers_of_stages, stages)
    return [stage for stage, count in enumerate(counts) for _ in range(count)]


def each_output(stages, x):
    """Returns the output of each of some stages, which follow one another."""
    outputs = []
    for stage in stages:
        x = stage(x)
        outputs.append(x)
    return outputs
