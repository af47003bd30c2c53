"""Likelihoods p(x | z) as parts of a model: from a decoder's numbers to a distribution over images.

    bernoulli             binary pixels
    discretized_logistic  8-bit pixels; see vae_zoo.probability.discretized
    normal                a density of dequantised grey values
    continuous_bernoulli  a density of grey values

A part with a scale has two weights of its own: the mean of the training images, which is added to
the decoder's locations, and the log scale. The log scale is calibrated: it is learned with all
else. Rybkin, Daniilidis and Levine (2021), "Simple and effective VAE training with calibrated
decoders".
"""

import math

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo import errors
from vae_zoo.probability import densities, discretized, noise

tfd = tfp.distributions

SCALES = ("shared", "channel", "pixel")
_START = math.log(0.35)  # of the log scale, where no images say: 45 of the 256 levels
SPEED = 10.0  # an optimizer's step moves the log scale by so many learning rates
_LEAST_DEVIATION = 1.0 / 255.0
_PIXEL_STREAM = 2**30  # noise stream of drawn pixels: no layer or step of a sampler reaches it


class LogitPixels:
    """Pixels of one number each, its logit; no weights.

    Args:
        kind: a TFP distribution class that takes logits.
        image_shape: (H, W, C).

    Attributes:
        outputs: numbers that it takes from the decoder for each pixel.
        is_started: True: there is nothing to start at the training images.
    """

    is_started = True

    def __init__(self, kind, image_shape):
        self.kind, self.outputs = kind, image_shape[-1]

    def start_at(self, images):
        """Does nothing."""

    def distribution(self, parameters):
        """Returns p(x | z) over images in [0, 1], event shape [H, W, C].

        Args:
            parameters: a decoder's output, [..., H, W, outputs].
        """
        return tfd.Independent(self.kind(logits=tf.cast(parameters, tf.float32)), 3)


@keras.saving.register_keras_serializable("vae_zoo")
class ScaledPixels(keras.layers.Layer):
    """Pixels of a location and a scale for each channel; a subclass says of which distribution.

    Args:
        image_shape: (H, W, C).
        scale: "shared", one number for the model; "channel", one for each channel; "pixel", the
            shared number times what the network gives for each channel of each pixel.
        mixture_components: M, locations of each channel of each pixel.

    Attributes:
        outputs: numbers that it takes from the decoder for each pixel.
        pixel_mean: what is added to the decoder's locations, [H, W, C]; 0 is mid-grey, -1 black.
        log_scale: the log of the scale, divided by SPEED, [] or [C]. Adam moves all weights at
            about the same rate; the division lets the scale move faster than the decoder's.
    """

    deviation_of_scale = 1.0  # the standard deviation at a scale of 1

    def __init__(self, image_shape, scale="shared", mixture_components=1, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.image_shape, self.scale = tuple(image_shape), scale
        self.mixture_components = mixture_components

    @property
    def pieces(self):
        """What the decoder gives for each pixel: {name: numbers}."""
        each = self.image_shape[-1] * self.mixture_components
        pieces = {"location": each}
        if self.scale == "pixel":
            pieces["log_scale"] = each
        if self.mixture_components > 1:
            pieces["logits"] = each
        return pieces

    @property
    def outputs(self):
        return sum(self.pieces.values())

    def build(self, input_shape=None):
        self.pixel_mean = self._add("pixel_mean", self.image_shape, 0.0, trainable=False)
        shape = self.image_shape[-1:] if self.scale == "channel" else ()
        self.log_scale = self._add("log_scale", shape, _START / SPEED)

    def _add(self, name, shape, value, **kwargs):
        initial = keras.initializers.Constant(value)
        return self.add_weight(
            name=name, shape=shape, initializer=initial, autocast=False, **kwargs
        )

    @property
    def is_started(self):
        """Whether the weights are no longer those of the constructor."""
        moved = np.abs(self.log_scale.numpy() - _START / SPEED) > 1e-6
        return bool(np.any(self.pixel_mean.numpy()) or np.any(moved))

    def start_at(self, images):
        """Starts the locations at the images' mean, and the scale at their deviation from it.

        Args:
            images: float32 [N, H, W, C] in [0, 1].
        """
        mean = images.mean(axis=0, dtype=np.float64)
        squares = np.mean(np.square(images), axis=0, dtype=np.float64)
        self.pixel_mean.assign(2.0 * mean - 1.0)
        self.start_scale_at(4.0 * (squares - mean**2))

    def start_scale_at(self, variances):
        """Starts the scale at the mean squares of what the locations are off by, [H, W, C]."""
        axes = (0, 1) if self.scale == "channel" else None
        deviation = np.sqrt(np.maximum(variances.mean(axes), (2.0 * _LEAST_DEVIATION) ** 2))
        self.log_scale.assign(np.log(deviation / self.deviation_of_scale) / SPEED)

    def moved(self, parameters, distance):
        """Returns a decoder's output with other locations.

        Args:
            parameters: float32 [..., H, W, outputs].
            distance: what is added to the locations, [..., H, W, C].
        """
        each = tf.repeat(distance, self.mixture_components, axis=-1)
        locations, others = tf.split(parameters, [each.shape[-1], -1], axis=-1)
        return tf.concat([locations + each, others], axis=-1)

    def distribution(self, parameters):
        """Returns p(x | z) over images in [0, 1], event shape [H, W, C].

        Args:
            parameters: a decoder's output, [..., H, W, outputs].
        """
        given = self._split(tf.cast(parameters, tf.float32))
        mean, log_scale = (tf.convert_to_tensor(w) for w in (self.pixel_mean, self.log_scale))
        if self.mixture_components > 1:  # [..., C, M]
            mean = mean[..., tf.newaxis]
            log_scale = log_scale[..., tf.newaxis] if self.scale == "channel" else log_scale
        given["location"] += mean
        given["log_scale"] = SPEED * log_scale + given.get("log_scale", 0.0)
        return self.images(**given)

    def _split(self, parameters):
        """Returns {name: [..., H, W, C]} of the pieces; [..., H, W, C, M] where M is above 1."""
        parts = tf.split(parameters, list(self.pieces.values()), axis=-1)
        if self.mixture_components > 1:
            parts = [_with_components(part, self.mixture_components) for part in parts]
        return dict(zip(self.pieces, parts, strict=True))

    def images(self, **pieces):
        """Returns the distribution of images, event shape [H, W, C], of the pieces."""
        return tfd.Independent(self.pixels(**pieces), 3)

    def get_config(self):
        names = ("image_shape", "scale", "mixture_components", "name")
        return {name: getattr(self, name) for name in names}  # the dtype is no argument


@keras.saving.register_keras_serializable("vae_zoo")
class NormalPixels(ScaledPixels):
    """A normal for each channel of each pixel: a density of dequantised grey values."""

    def pixels(self, location, log_scale):
        """Returns the distribution of each channel of each pixel, batch [..., H, W, C]."""
        scale = tf.exp(discretized.level_log_scale(log_scale)) / (discretized.LEVELS - 1)
        return densities.DequantizedNormal(0.5 + 0.5 * location, scale)


@keras.saving.register_keras_serializable("vae_zoo")
class DiscretizedLogisticPixels(ScaledPixels):
    """A discretised logistic, or a mixture of M, for each channel of each pixel of 8 bits.

    Args:
        image_shape, scale, mixture_components: see ScaledPixels.
        channels: "independent" given z, or "linear": the location of green depends on red, that of
            blue on both; see discretized.LinearColour.
    """

    deviation_of_scale = math.pi / math.sqrt(3.0)

    def __init__(self, *args, channels="independent", **kwargs):
        super().__init__(*args, **kwargs)
        self.channels = channels

    @property
    def pieces(self):
        linear = {"slopes": 3 * self.mixture_components} if self.channels == "linear" else {}
        return {**super().pieces, **linear}

    def pixels(self, location, log_scale, logits=None):
        """Returns the distribution of each channel of each pixel, batch [..., H, W, C]."""
        if logits is None:
            return discretized.DiscretizedLogistic(location, log_scale)
        return discretized.discretized_logistic_mixture(logits, location, log_scale)

    def images(self, location, slopes=None, **others):
        if slopes is None:
            return super().images(location=location, **others)

        def pixels(location):
            return self.pixels(location=location, **others)

        axis = -1 if self.mixture_components == 1 else -2
        return tfd.Independent(discretized.LinearColour(pixels, location, slopes, axis), 2)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}


def _with_components(part, count):
    """Returns [..., N] as [..., N / count, count]."""
    end = [part.shape[-1] // count, count]
    return tf.reshape(part, tf.concat([tf.shape(part)[:-1], end], 0))


def draw(likelihood, seed):
    """Returns one image drawn from p(x | z) for each row of seed, [N, H, W, C] in [0, 1].

    Args:
        likelihood: of batch [N]: a tfd.Independent of pixels that know `draw`.
        seed: int32 [N, 2]; see noise.rows. Image i is a function of row i.
    """
    shape = [*likelihood.event_shape, 2]
    return likelihood.distribution.draw(noise.uniform(seed, shape, _PIXEL_STREAM))


class Bernoulli(tfd.Bernoulli):
    """Bernoulli whose log-probability is the plain cross-entropy.

    On grey values it is the expected log-probability over binarisations (BCE), not a likelihood.

    Args:
        logits: log-odds of 1, float32 [...].
        dtype: of events; an integer one would round NumPy's grey values.
        **kwargs: of tfd.Bernoulli.
    """

    def __init__(self, logits, dtype=tf.float32, **kwargs):
        super().__init__(logits=logits, dtype=dtype, **kwargs)

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return super()._parameter_properties(dtype, num_classes)

    def _log_prob(self, event):
        logits = self.logits
        event = tf.broadcast_to(tf.cast(event, logits.dtype), tf.shape(logits))
        return _negative_cross_entropy(logits, event)

    def draw(self, uniforms):
        """Returns ink, 0 or 1, of two uniforms for each pixel, [..., 2]."""
        return tf.cast(uniforms[..., 0] < tf.sigmoid(self.logits), tf.float32)


@tf.custom_gradient
def _negative_cross_entropy(logits, event):
    """Returns minus TensorFlow's cross-entropy; its own gradient reads memory a third as often."""

    def gradient(upstream):
        return upstream * (event - tf.sigmoid(logits)), upstream * logits

    return -tf.nn.sigmoid_cross_entropy_with_logits(labels=event, logits=logits), gradient


LIKELIHOODS = {
    "bernoulli": Bernoulli,
    "discretized_logistic": DiscretizedLogisticPixels,
    "normal": NormalPixels,
    "continuous_bernoulli": densities.ContinuousBernoulli,
}
CHANNELS = ("independent", "linear")
# Their log-likelihoods are of densities: they tell nothing in bits/dim of 8-bit images.
DENSITIES = ("normal", "continuous_bernoulli")


def check_likelihood(name):
    """Returns the name of a likelihood; a UserError where it is none of LIKELIHOODS."""
    if name not in LIKELIHOODS:
        raise errors.unknown("likelihood", name, LIKELIHOODS)
    return name


def build(name, image_shape, scale="shared", mixture_components=1, channels="independent"):
    """Returns a likelihood of a name, built.

    Args:
        name: one of LIKELIHOODS.
        image_shape: (H, W, C).
        scale, mixture_components, channels: see DiscretizedLogisticPixels.

    Raises:
        UserError: for values that are none, or that the likelihood does not combine with.
    """
    mixture_components = errors.at_least("mixture_components", mixture_components, 1, whole=True)
    _check(name, image_shape, scale, mixture_components, channels)
    kind = LIKELIHOODS[check_likelihood(name)]
    if not issubclass(kind, ScaledPixels):
        return LogitPixels(kind, image_shape)
    is_discretized = name == "discretized_logistic"
    extra = {"mixture_components": mixture_components, "channels": channels}
    part = kind(image_shape, scale, **(extra if is_discretized else {}))
    part.build()
    return part


def _check(name, image_shape, scale, mixture_components, channels):
    if scale not in SCALES:
        raise errors.unknown("scale", scale, SCALES)
    if channels not in CHANNELS:
        raise errors.unknown("value of channels", channels, CHANNELS)
    if channels == "linear" and image_shape[-1] != 3:
        raise errors.UserError(
            f"channels='linear' is for colour images, and image_shape is {tuple(image_shape)}. "
            "Expected channels='independent'."
        )
    if name == "discretized_logistic":
        return
    given = f"mixture_components={mixture_components}" if mixture_components > 1 else None
    given = "channels='linear'" if channels == "linear" else given
    if given is not None:
        raise errors.UserError(
            f"{given} does not combine with likelihood={name!r}. Expected "
            "likelihood='discretized_logistic' with it."
        )
    if scale != "shared" and name != "normal":
        raise errors.UserError(
            f"scale={scale!r} does not combine with likelihood={name!r}, which has no scale. "
            "Expected it left out, or likelihood='discretized_logistic' or 'normal'."
        )
