"""Likelihoods of pixels: from a decoder's numbers to a TFP distribution over images."""

import math

import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo import errors
from vae_zoo.probability import stable
from vae_zoo.probability.distributions import bounded

tfd = tfp.distributions

LIKELIHOODS = ("bernoulli", "discretized_logistic")
LEVELS = 256
_LEVEL_LOG_SCALE = (-2.0, 5.0)  # of logistics, in grey levels
_COMPONENTS = 5


def check_likelihood(name):
    """Returns the name of a likelihood; a UserError where it is none of LIKELIHOODS."""
    if name not in LIKELIHOODS:
        raise errors.unknown("likelihood", name, LIKELIHOODS)
    return name


def output_channels(likelihood, channels):
    """Returns how many numbers a decoder gives for each pixel.

    Args:
        likelihood: one of LIKELIHOODS.
        channels: image channels.
    """
    return channels if likelihood == "bernoulli" else 3 * _COMPONENTS * channels


def pixel_likelihood(name, parameters, channels):
    """Returns p(x | z) over images in [0, 1].

    Args:
        name: "bernoulli" or "discretized_logistic".
        parameters: a decoder's output, [..., H, W, output_channels(name, channels)].
        channels: image channels C.

    Returns:
        A distribution of event shape [H, W, C] with `log_prob` and `mean`.
    """
    parameters = tf.cast(parameters, tf.float32)
    if name == "bernoulli":
        return tfd.Independent(Bernoulli(logits=parameters), 3)
    shape = [*parameters.shape[:-1], channels, 3, _COMPONENTS]
    shape = [-1 if size is None else size for size in shape]
    if shape.count(-1) > 1:
        shape = tf.concat([tf.shape(parameters)[:-1], [channels, 3, _COMPONENTS]], 0)
    logits, location, log_scale = tf.unstack(tf.reshape(parameters, shape), axis=-2)
    return tfd.Independent(discretized_logistic_mixture(logits, location, log_scale), 3)


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

    def _log_prob(self, event):
        logits = self.logits
        event = tf.broadcast_to(tf.cast(event, logits.dtype), tf.shape(logits))
        return _negative_cross_entropy(logits, event)


@tf.custom_gradient
def _negative_cross_entropy(logits, event):
    """Returns TensorFlow's, with the gradient in closed form: a third of the passes over memory."""

    def gradient(upstream):
        return upstream * (event - tf.sigmoid(logits)), upstream * logits

    return -tf.nn.sigmoid_cross_entropy_with_logits(labels=event, logits=logits), gradient


def discretized_logistic_mixture(logits, location, log_scale):
    """Returns a mixture of quantised logistics over the 256 levels of 8-bit pixels in [0, 1].

    Colour channels are independent given z: each channel of each pixel has its own mixture.
    A mixture of quantised logistics, never a quantised mixture, whose tail gives NaN.

    Args:
        logits: mixture logits, [..., M].
        location: means, [..., M]; 0 is mid-grey, -1 black, 1 white.
        log_scale: unbounded log scales, [..., M]; 0 is about 45 of the 256 levels.

    Source: Salimans et al. (2017), "PixelCNN++", eq. 2.
    """
    half = (LEVELS - 1) / 2
    scale = tf.exp(bounded(log_scale + math.log(half / 2), *_LEVEL_LOG_SCALE))
    # Quantisation rounds up: half a level less makes it round to the nearest.
    logistic = tfd.Logistic(half * (1 + location) - 0.5, scale)
    return DiscretizedLogisticMixture(
        tfd.Categorical(logits=logits),
        tfd.QuantizedDistribution(logistic, low=0.0, high=LEVELS - 1.0),
    )


class DiscretizedLogisticMixture(tfd.MixtureSameFamily):
    """Mixture of quantised logistics of pixels in [0, 1]; see discretized_logistic_mixture."""

    def _log_prob(self, image):
        return super()._log_prob(tf.round(image * (LEVELS - 1)))

    def _mean(self):
        """The mean pixel in [0, 1]: the integral of the survival function over the clipped range.

        Equal to the mean of the quantised pixel to within half a level.
        """
        logistic = self.components_distribution.distribution
        top = LEVELS - 1.0
        above_black = stable.softplus((logistic.loc + 0.5) / logistic.scale)
        above_white = stable.softplus((logistic.loc + 0.5 - top) / logistic.scale)
        # No softmax: oneDNN has none for more than five axes.
        weights = tf.exp(tf.nn.log_softmax(self.mixture_distribution.logits))
        mean = tf.reduce_sum(weights * logistic.scale * (above_black - above_white), -1)
        return tf.clip_by_value(mean / top, 0.0, 1.0)
