"""8-bit pixels as discretised logistics: probabilities and gradients in closed form.

A logistic of mean m and scale s gives the grey level k the probability of its bin,

    P(k) = sigmoid(u) - sigmoid(l),   u = (k + 1/2 - m) / s,   l = (k - 1/2 - m) / s,

and level 0 and level 255 the whole tail below and above. With u - l = 1 / s,

    log P(k) = -softplus(-u) - softplus(l) + log(1 - exp(-1 / s)),

in which nothing is subtracted that is nearly equal. Kingma et al. (2016), "Improved variational
inference with inverse autoregressive flow", appendix C.1 (one logistic for each channel of each
pixel); Salimans et al. (2017), "PixelCNN++", eq. 2 (mixtures) and section 2.2 (colour).
"""

import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo.probability import stable
from vae_zoo.probability.distributions import bounded

tfd = tfp.distributions

LEVELS = 256
HALF = (LEVELS - 1) / 2  # grey levels from mid-grey to white
LEVEL_LOG_SCALE = (-3.0, 6.0)  # of logistics, in grey levels


def level_log_scale(log_scale):
    """Returns the log scale in grey levels, bounded, of one whose 0 is from mid-grey to white."""
    return bounded(log_scale + math.log(HALF), *LEVEL_LOG_SCALE)


@tf.custom_gradient
def log_probability(level, location, log_scale):
    """Returns log P(level) in nats, of the shape of `location`.

    Args:
        level: 0 to 255, broadcastable with `location`; it gets no gradient.
        location: means in grey levels.
        log_scale: log scales in grey levels, broadcastable with `location`.
    """
    inverse = tf.exp(-log_scale)
    upper = (level + 0.5 - location) * inverse
    lower = upper - inverse
    is_black, is_white = level < 0.5, level > LEVELS - 1.5
    is_tail = is_black | is_white
    above = tf.where(is_white, 0.0, stable.softplus(-upper))
    below = tf.where(is_black, 0.0, stable.softplus(lower))
    bin_width = tf.where(is_tail, 0.0, tf.math.log(-tf.math.expm1(-inverse)))

    def gradient(upstream):
        rise = tf.where(is_white, 0.0, tf.sigmoid(-upper))
        fall = tf.where(is_black, 0.0, tf.sigmoid(lower))
        of_width = tf.where(is_tail, 0.0, inverse / tf.math.expm1(inverse))
        of_location = upstream * inverse * (fall - rise)
        of_log_scale = upstream * (lower * fall - upper * rise - of_width)
        return None, _summed_to(of_location, location), _summed_to(of_log_scale, log_scale)

    return bin_width - above - below, gradient


def _summed_to(gradient, like):
    """Returns a gradient summed over the axes along which `like` was broadcast."""
    if gradient.shape.is_fully_defined() and gradient.shape == like.shape:
        return gradient
    shape = tf.shape(like)
    axes = tf.raw_ops.BroadcastGradientArgs(s0=shape, s1=tf.shape(gradient)).r0
    return tf.reshape(tf.reduce_sum(gradient, axes), shape)


def to_level(value):
    """Returns real numbers of grey levels as pixels in [0, 1]: the nearest of the levels."""
    return tf.clip_by_value(tf.round(value), 0.0, LEVELS - 1.0) / (LEVELS - 1)


class DiscretizedLogistic(tfd.Distribution):
    """One logistic for each channel of each pixel in [0, 1], discretised to its 256 levels.

    Args:
        location: means, [...]; 0 is mid-grey, -1 black, 1 white.
        log_scale: unbounded log scales, broadcastable; at 0 a scale is from mid-grey to white.
    """

    def __init__(self, location, log_scale, name="DiscretizedLogistic"):
        parameters = {"location": location, "log_scale": log_scale}
        self._location = HALF * (1.0 + tf.convert_to_tensor(location))  # in grey levels
        self._log_scale = level_log_scale(tf.convert_to_tensor(log_scale))
        super().__init__(
            dtype=self._location.dtype,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=False,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        del dtype, num_classes
        return {name: tfp.util.ParameterProperties() for name in ("location", "log_scale")}

    def _event_shape(self):
        return tf.TensorShape([])

    def _event_shape_tensor(self):
        return tf.constant([], tf.int32)

    def _log_prob(self, image):
        level = tf.round(tf.convert_to_tensor(image) * (LEVELS - 1))
        return log_probability(level, self._location, self._log_scale)

    def _sample_n(self, n, seed=None):
        shape = tf.concat([[n], self.batch_shape_tensor(), [2]], 0)
        low = np.finfo(np.float32).tiny
        seed = tfp.random.sanitize_seed(seed)
        return self.draw(tf.random.stateless_uniform(shape, seed, minval=low))

    def draw(self, uniforms):
        """Returns pixels of the 256 levels, of two uniforms for each, [..., 2]: the second one."""
        where = tf.math.log(uniforms[..., 1]) - tf.math.log1p(-uniforms[..., 1])
        return to_level(self._location + tf.exp(self._log_scale) * where)

    def _mean(self):
        """The mean pixel in [0, 1]: the integral of the survival function over the clipped range.

        Equal to the mean of the discretised pixel to within half a level.
        """
        top, scale = LEVELS - 1.0, tf.exp(self._log_scale)
        black = tf.math.log1p(tf.exp(-tf.abs(self._location) / scale))
        white = tf.math.log1p(tf.exp(-tf.abs(self._location - top) / scale))
        mean = tf.clip_by_value(self._location, 0.0, top) + scale * (black - white)
        return tf.clip_by_value(mean / top, 0.0, 1.0)


def discretized_logistic_mixture(logits, location, log_scale):
    """Returns a mixture of M discretised logistics for each channel of each pixel.

    Args:
        logits: of the components, [..., M].
        location, log_scale: as of DiscretizedLogistic, [..., M].
    """
    components = DiscretizedLogistic(location, log_scale)
    return DiscretizedLogisticMixture(tfd.Categorical(logits=logits), components)


class DiscretizedLogisticMixture(tfd.MixtureSameFamily):
    """A mixture of discretised logistics; see discretized_logistic_mixture."""

    def draw(self, uniforms):
        """Returns pixels of the 256 levels, of two uniforms for each, [..., 2]: which, where."""
        ends = tf.cumsum(self._weights(), axis=-1)[..., :-1]
        place = tf.reduce_sum(tf.cast(uniforms[..., :1] >= ends, tf.int32), axis=-1)
        each = self.components_distribution.draw(uniforms[..., tf.newaxis, :])  # [..., M]
        chosen = tf.one_hot(place, each.shape[-1])
        return tf.reduce_sum(chosen * each, axis=-1)

    def _weights(self):
        # No softmax: oneDNN has none for more than five axes.
        return tf.exp(tf.nn.log_softmax(self.mixture_distribution.logits))

    def _mean(self):
        return tf.reduce_sum(self._weights() * self.components_distribution.mean(), -1)


class LinearColour(tfd.Distribution):
    """Colours of a pixel, green given red and blue given both: the locations move in proportion.

        m_green + a (red - m_red),   m_blue + b (red - m_red) + c (green - m_green)

    a, b and c are the hyperbolic tangents of what the decoder gives. The mean is that of
    independent channels, as long as few values lie beyond black or white.

    Args:
        pixels: a function locations [..., C] or [..., C, M] -> the distribution of each channel.
        location: [..., C] or [..., C, M], C being 3; 0 is mid-grey, -1 black, 1 white.
        slopes: of a, b and c before the tangent, of the shape of `location`.
        axis: of the channels, from the end: -1, or -2 where there is an M.

    Source: Salimans et al. (2017), eq. 3, where red and green are not less their locations.
    """

    def __init__(self, pixels, location, slopes, axis, name="LinearColour"):
        self._pixels, self._location, self._axis = pixels, location, axis
        self._slopes = tf.tanh(slopes)
        super().__init__(
            dtype=location.dtype,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=False,
            parameters={"pixels": pixels, "location": location, "slopes": slopes, "axis": axis},
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        del dtype, num_classes
        return {}

    def _batch_shape(self):
        return self._location.shape[: self._axis]

    def _batch_shape_tensor(self):
        return tf.shape(self._location)[: self._axis]

    def _event_shape(self):
        return tf.TensorShape([3])

    def _event_shape_tensor(self):
        return tf.constant([3], tf.int32)

    def _given(self, image):
        """Returns the distribution of each channel, given those before it in the image."""
        value = 2.0 * tf.convert_to_tensor(image) - 1.0
        if self._axis == -2:
            value = value[..., tf.newaxis]
        red, green, _ = tf.unstack(value, axis=self._axis)
        m_red, m_green, m_blue = tf.unstack(self._location, axis=self._axis)
        a, b, c = tf.unstack(self._slopes, axis=self._axis)
        off_red, off_green = red - m_red, green - m_green
        moved = [m_red + tf.zeros_like(off_red), m_green + a * off_red]
        moved.append(m_blue + b * off_red + c * off_green)
        return self._pixels(tf.stack(moved, axis=self._axis))

    def _log_prob(self, image):
        return tf.reduce_sum(self._given(image).log_prob(image), axis=-1)

    def _mean(self):
        return self._pixels(self._location).mean()

    def _sample_n(self, n, seed=None):
        shape = tf.concat([[n], self.batch_shape_tensor(), [3, 2]], 0)
        low = np.finfo(np.float32).tiny
        seed = tfp.random.sanitize_seed(seed)
        return self.draw(tf.random.stateless_uniform(shape, seed, minval=low))

    def draw(self, uniforms):
        """Returns pixels of the 256 levels, [..., 3], of two uniforms for each channel of each."""
        image = self._pixels(self._location).draw(uniforms)
        for _ in range(2):  # red is drawn; green after the first pass, and blue after the second
            image = self._given(image).draw(uniforms)
        return image
