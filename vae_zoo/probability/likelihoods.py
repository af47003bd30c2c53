"""Likelihoods of pixels: from a decoder's numbers to a TFP distribution over images."""

import math

import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo import errors
from vae_zoo.probability import noise, stable
from vae_zoo.probability.distributions import bounded

tfd = tfp.distributions

LIKELIHOODS = ("bernoulli", "discretized_logistic")
LEVELS = 256
_LEVEL_LOG_SCALE = (-2.0, 5.0)  # of logistics, in grey levels
_COMPONENTS = 5
_PIXEL_STREAM = 2**30  # noise stream of drawn pixels: no layer or step of a sampler reaches it


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


def to_level(value):
    """Returns real numbers as pixels in [0, 1]: rounded up to one of the levels 0 to 255."""
    return tf.clip_by_value(tf.math.ceil(value), 0.0, LEVELS - 1.0) / (LEVELS - 1)


class DiscretizedLogisticMixture(tfd.MixtureSameFamily):
    """Mixture of quantised logistics of pixels in [0, 1]; see discretized_logistic_mixture."""

    def _log_prob(self, image):
        return super()._log_prob(tf.round(image * (LEVELS - 1)))

    def draw(self, uniforms):
        """Returns pixels of the 256 levels, of two uniforms for each, [..., 2]: which, and where.

        By the inverse of the cumulative distribution of the component that the first one chooses.
        """
        logistic = self.components_distribution.distribution
        ends = tf.cumsum(tf.nn.softmax(self.mixture_distribution.logits), axis=-1)[..., :-1]
        place = tf.reduce_sum(tf.cast(uniforms[..., :1] >= ends, tf.int32), axis=-1)
        chosen = tf.one_hot(place, _COMPONENTS)
        where = tf.math.log(uniforms[..., 1]) - tf.math.log1p(-uniforms[..., 1])
        location = tf.reduce_sum(chosen * logistic.loc, axis=-1)
        return to_level(location + tf.reduce_sum(chosen * logistic.scale, axis=-1) * where)

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
