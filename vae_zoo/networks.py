"""Encoder and decoder stacks, apart from the models: mlp, conv and resnet.

`build_encoder` gives image [B, H, W, C] -> features [B, F]; `build_decoder` gives
z [N, D] -> likelihood parameters [N, H, W, P]. Stacks are built at once and serialise with
the model that owns them.
"""

import contextlib
import math
import random

import keras
from keras import layers

from vae_zoo import errors

# Default sizes: units of each layer for mlp; channels at each resolution for conv and resnet.
DEFAULT_HIDDEN = {"mlp": (500, 500), "conv": (32, 64, 64), "resnet": (128, 128)}
_SMALLEST = 8  # maps are halved until a side is at most this
# Where TensorFlow fuses a convolution, a bias, a sum and LeakyReLU for oneDNN, as it does by itself
# on AVX-512 servers, it takes this slope whatever was asked for.
_SLOPE = 0.2


def build_encoder(network, image_shape, hidden=None, blocks=2, dtype=None):
    """Returns a built stack image [B, H, W, C] -> features [B, F].

    Args:
        network: "mlp", "conv" or "resnet".
        image_shape: (H, W, C).
        hidden: widths; see DEFAULT_HIDDEN. None is the default of the network.
        blocks: residual blocks at each resolution, resnet only.
        dtype: dtype policy of the layers.

    Raises:
        UserError: for an unknown network, or an image that the stack cannot divide.
    """
    hidden = check_hidden(network, hidden)
    stack = _ENCODERS[network](image_shape, hidden, blocks, dtype)
    encoder = keras.Sequential([layers.Input(image_shape), *stack], name="encoder")
    return encoder


def build_decoder(network, latent_size, image_shape, outputs, hidden=None, blocks=2, dtype=None):
    """Returns a built stack z [N, D] -> likelihood parameters [N, H, W, outputs].

    Args:
        network: "mlp", "conv" or "resnet".
        latent_size: D, with whatever is joined to z.
        image_shape: (H, W, C).
        outputs: numbers for each pixel.
        hidden: widths, as for the encoder; the decoder mirrors it.
        blocks: residual blocks at each resolution, resnet only.
        dtype: dtype policy of the layers.

    Raises:
        UserError: for an unknown network, or an image that the stack cannot divide.
    """
    hidden = check_hidden(network, hidden)
    stack = _DECODERS[network](image_shape, outputs, hidden, blocks, dtype)
    return keras.Sequential([layers.Input((latent_size,)), *stack], name="decoder")


def build_mlp(inputs, units, outputs, dtype=None, name=None, activation="relu"):
    """Returns a built stack [N, inputs] -> [N, outputs] rectified layers of `units` between."""
    stack = [layers.Dense(n, activation=activation, dtype=dtype) for n in units]
    return keras.Sequential(
        [layers.Input((inputs,)), *stack, layers.Dense(outputs, dtype=dtype)], name=name
    )


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


def build_map_encoder(image_shape, channels, hidden, blocks, dtype=None):
    """Returns a built resnet image [B, H, W, C] -> map [B, h, w, channels], h, w at most 8.

    Args:
        image_shape: (H, W, C).
        channels: of the map.
        hidden: channels at each resolution.
        blocks: residual blocks at each resolution.
        dtype: dtype policy of the layers.

    Raises:
        UserError: for an image that the stack cannot divide.
    """
    *stack, _ = _resnet_encoder(image_shape, hidden, blocks, dtype)
    head = layers.Conv2D(channels, 1, dtype=dtype)
    return keras.Sequential([layers.Input(image_shape), *stack, head], name="encoder")


def build_map_decoder(image_shape, channels, hidden, blocks, dtype, outputs):
    """Returns a built resnet, flat map [N, h * w * channels] -> parameters [N, H, W, outputs].

    The arguments are those of build_map_encoder, which it mirrors, and numbers for each pixel.
    """
    height, width = resolutions(image_shape)[-1]
    _, _, *stack = _resnet_decoder(image_shape, outputs, hidden, blocks, dtype)
    top = layers.Conv2D(hidden[-1], 3, padding="same", dtype=dtype)
    map_shape = (height, width, channels)
    start = [layers.Input((math.prod(map_shape),)), layers.Reshape(map_shape, dtype=dtype), top]
    return keras.Sequential([*start, *stack], name="decoder")


def resolutions(image_shape):
    """Returns the map sizes from the image's down: halved until a side is at most 8.

    Args:
        image_shape: (H, W, C).

    Raises:
        UserError: where a side is odd before that.
    """
    height, width = image_shape[:2]
    sizes = [(height, width)]
    while min(sizes[-1]) > _SMALLEST:
        height, width = sizes[-1]
        if height % 2 or width % 2:
            raise errors.UserError(
                f"Images of {image_shape[0]} x {image_shape[1]} cannot be halved down to "
                f"{_SMALLEST} x {_SMALLEST} or less ({height} x {width} is odd). Expected sides "
                "such as 28, 32 or 64; resize with --image_size, or take --set network=mlp."
            )
        sizes.append((height // 2, width // 2))
    return sizes


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


def check_hidden(network, hidden, defaults=None):
    """Returns the widths of a network: `hidden`, or the default where it is None.

    Args:
        network: a key of the defaults.
        hidden: widths, or None.
        defaults: {network: widths}; None is DEFAULT_HIDDEN.

    Raises:
        UserError: for an unknown network, or widths that make none.
    """
    defaults = DEFAULT_HIDDEN if defaults is None else defaults
    if network not in defaults:
        raise errors.unknown("network", network, defaults)
    return defaults[network] if hidden is None else check_widths("hidden", hidden)


def check_widths(name, widths):
    """Returns the widths of a stack as a tuple; a UserError names an argument that is none."""
    listed = isinstance(widths, (tuple, list)) and len(widths) > 0
    if not listed or not all(type(n) is int and n > 0 for n in widths):
        raise errors.UserError(
            f"{name}={widths!r}: expected a positive whole number for each layer: (500, 500)."
        )
    return tuple(widths)


def stage_channels(hidden, stages):
    """Returns channels for `stages` resolutions, the last of `hidden` repeated as needed."""
    return [hidden[min(i, len(hidden) - 1)] for i in range(stages)]


def _mlp_encoder(image_shape, hidden, blocks, dtype):
    del image_shape, blocks
    return [
        layers.Flatten(dtype=dtype),
        *(layers.Dense(n, activation="relu", dtype=dtype) for n in hidden),
    ]


def _mlp_decoder(image_shape, outputs, hidden, blocks, dtype):
    del blocks
    pixels = (*image_shape[:2], outputs)
    return [
        *(layers.Dense(n, activation="relu", dtype=dtype) for n in reversed(hidden)),
        layers.Dense(math.prod(pixels), dtype=dtype),
        layers.Reshape(pixels, dtype=dtype),
    ]


def _conv(channels, dtype, size=3, stride=1, activation="relu"):
    return layers.Conv2D(
        channels, size, strides=stride, padding="same", activation=activation, dtype=dtype
    )


def _upsampled(channels, dtype, activation="relu"):
    """Returns the layers that double a map's sides: a convolution to four sub-pixels of each pixel.

    A transposed convolution takes three times as long on a phone's or a server's CPU, and eight
    times where an image has one channel.

    Source: Shi et al. (2016), "Real-time single image and video super-resolution using an
    efficient sub-pixel convolutional neural network", eq. 4.
    """
    return [_conv(4 * channels, dtype, activation=activation), DepthToSpace(2, dtype=dtype)]


def _narrow(channels):
    """Returns the channels of the smallest map where a dense layer meets it.

    All of them would put most of the model's weights, and of a decoder's latency, in that layer.
    """
    return max(channels[-1] // 4, 4)


def _halvings(image_shape):
    """Returns how many times to halve an image; a UserError where there is nothing to halve."""
    count = len(resolutions(image_shape)) - 1
    if not count:
        raise errors.UserError(
            f"Images of {image_shape[0]} x {image_shape[1]} are too small for convolutions that "
            f"halve them. Expected sides above {_SMALLEST}; resize with --image_size, or take "
            "--set network=mlp."
        )
    return count


def _conv_encoder(image_shape, hidden, blocks, dtype):
    del blocks
    channels = stage_channels(hidden, _halvings(image_shape))
    return [
        *(_conv(n, dtype, size=4, stride=2) for n in channels),
        _conv(_narrow(channels), dtype),
        layers.Flatten(dtype=dtype),
        layers.Dense(256, activation="relu", dtype=dtype),
    ]


def _conv_decoder(image_shape, outputs, hidden, blocks, dtype):
    del blocks
    channels = stage_channels(hidden, _halvings(image_shape))[::-1]
    smallest = (*resolutions(image_shape)[-1], _narrow(channels[::-1]))
    return [
        layers.Dense(256, activation="relu", dtype=dtype),
        layers.Dense(math.prod(smallest), activation="relu", dtype=dtype),
        layers.Reshape(smallest, dtype=dtype),
        _conv(channels[0], dtype),
        *(layer for n in channels[1:] for layer in _upsampled(n, dtype)),
        *_upsampled(outputs, dtype, activation=None),
    ]


def _factors(image_shape):
    """Returns by how much each stage of a resnet divides the image: 4 first, where it can."""
    halvings = _halvings(image_shape)
    return [4] + [2] * (halvings - 2) if halvings > 1 else [2] * halvings


def _resnet_encoder(image_shape, hidden, blocks, dtype):
    factors = _factors(image_shape)
    stack = []
    for stage, channels in enumerate(stage_channels(hidden, len(factors))):
        stack += [
            SpaceToDepth(factors[stage], dtype=dtype),
            layers.Conv2D(channels, 1 if stage else 3, padding="same", dtype=dtype),
            *(PreActivationBlock(channels, dtype=dtype) for _ in range(blocks)),
        ]
    return [*stack, leaky_relu(dtype), layers.Flatten(dtype=dtype)]


def _resnet_decoder(image_shape, outputs, hidden, blocks, dtype):
    factors = _factors(image_shape)[::-1]
    channels = stage_channels(hidden, len(factors))[::-1]
    smallest = (*resolutions(image_shape)[-1], channels[0])
    stack = [layers.Dense(math.prod(smallest), dtype=dtype), layers.Reshape(smallest, dtype=dtype)]
    for stage, (here, above) in enumerate(zip(channels, [*channels[1:], outputs], strict=True)):
        last = stage == len(factors) - 1
        stack += [
            *(PreActivationBlock(here, dtype=dtype) for _ in range(blocks)),
            leaky_relu(dtype),
            layers.Conv2D(
                factors[stage] ** 2 * above, 3 if last else 1, padding="same", dtype=dtype
            ),
            DepthToSpace(factors[stage], dtype=dtype),
        ]
    return stack


_ENCODERS = {"mlp": _mlp_encoder, "conv": _conv_encoder, "resnet": _resnet_encoder}
_DECODERS = {"mlp": _mlp_decoder, "conv": _conv_decoder, "resnet": _resnet_decoder}
