"""What a diffusion is made of: its learned schedule, pixels read from noisy latents, their means.

    z_t = alpha_t x + sigma_t noise
    alpha_t^2 = sigmoid(-gamma(t)),   sigma_t^2 = sigmoid(gamma(t))

Images x are in [-1, 1]. Kingma et al. (2021), "Variational diffusion models", section 3.
"""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo.probability import discretized, distributions, stable

tfd = tfp.distributions

PRIOR_PARAMETERS = 5  # of an 8-bit pixel: weights of black, white and grey; mean and scale of grey
_PIECES = 16  # of the learned schedule
_LEAST_SHARE = 0.1  # of a piece's time, next to an even share


@keras.saving.register_keras_serializable("vae_zoo")
class NoiseSchedule(keras.layers.Layer):
    """A learned monotone gamma(t) on [0, 1]: straight in each of 16 pieces of equal height.

    Its ends are learned, and how much time each piece gets, so that the density of times
    over gamma is a histogram.

    Args:
        low, high: gamma(0) and gamma(1) at the start.
        shape_from_bound: whether gamma(t) itself, or only its density, has a gradient to the
            shares of time.
    """

    def __init__(self, low, high, shape_from_bound, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.shape_from_bound = shape_from_bound
        self.low = self._add("low", (), low)
        self.height = self._add("height", (), high - low)
        self.logits = self._add("logits", (_PIECES,), 0.0)
        self.built = True

    def _add(self, name, shape, value):
        initial = keras.initializers.Constant(value)
        return self.add_weight(name=name, shape=shape, initializer=initial, autocast=False)

    def gamma(self, time):
        """Returns gamma(t), of the shape of `time`."""
        return self(tf.convert_to_tensor(time, tf.float32))[0]

    def call(self, time):
        """Returns (gamma, its slope, log density of times at gamma), of the shape of `time`."""
        shares = _LEAST_SHARE / _PIECES + (1.0 - _LEAST_SHARE) * tf.nn.softmax(self.logits)
        log_density = tf.math.log(shares)
        shares = shares if self.shape_from_bound else tf.stop_gradient(shares)
        ends = tf.cumsum(shares)
        piece = tf.reduce_sum(tf.cast(time[..., tf.newaxis] >= ends[:-1], tf.int32), axis=-1)
        share = tf.gather(shares, piece)
        within = (time - tf.gather(ends, piece)) / share + 1.0  # of the piece's time
        height = stable.softplus(self.height) / _PIECES
        gamma = self.low + height * (tf.cast(piece, tf.float32) + within)
        return gamma, height / share, tf.gather(log_density, piece)


class QuantizedPixel(tfd.QuantizedDistribution):
    """An 8-bit pixel read from its latent: a normal around it, quantised to the 256 levels.

    Args:
        location: in [-1, 1].
        scale: of the normal, likewise.
    """

    def __init__(self, location, scale):
        half = discretized.HALF
        self._location = location
        # Quantisation rounds up: half a level less makes it round to the nearest.
        normal = tfd.Normal(half * (1.0 + location) - 0.5, half * scale)
        super().__init__(normal, low=0.0, high=discretized.LEVELS - 1.0)

    def _log_prob(self, image):
        return super()._log_prob(tf.round(image * (discretized.LEVELS - 1)))

    def draw(self, uniforms):
        """Returns pixels of the 256 levels, of two uniforms for each, [..., 2]: the second one."""
        normal = self.distribution
        level = normal.loc + 0.5 + normal.scale * tf.math.ndtri(uniforms[..., 1])
        return discretized.to_level(level)

    def _mean(self):
        return tf.clip_by_value(0.5 + 0.5 * self._location, 0.0, 1.0)  # to within half a level


def expected_pixel(value, scale, black, white, grey, mean, log_scale):
    """Returns E[x | value] of pixels in [-1, 1] that are seen as x + scale * noise.

    A pixel's prior is black (-1) or white (1) to the bit, or a normal N(mean, exp(log_scale)^2)
    over the grey levels.

    Args:
        value: what is seen, [..., H, W, C].
        scale: of the noise, broadcastable.
        black, white, grey: log-weights, [..., H, W, C].
        mean, log_scale: of grey.
    """
    spread = tf.exp(2.0 * distributions.bounded(log_scale, -5.0, 1.0))
    variance = scale**2
    total = spread + variance
    logits = tf.stack(
        [
            black - 0.5 * tf.math.log(variance) - 0.5 * (value + 1.0) ** 2 / variance,
            white - 0.5 * tf.math.log(variance) - 0.5 * (value - 1.0) ** 2 / variance,
            grey - 0.5 * tf.math.log(total) - 0.5 * (value - mean) ** 2 / total,
        ],
        axis=-1,
    )
    weights = tf.unstack(tf.nn.softmax(logits), axis=-1)
    middle = (mean * variance + value * spread) / total
    level = expected_level(middle, tf.sqrt(spread * variance / total))
    return weights[1] - weights[0] + weights[2] * level


def expected_level(mean, scale):
    """Returns the mean of a normal over [-1, 1] restricted to the five grey levels around it.

    Beyond a scale of 0.6 levels it is the normal's own, to within a thousandth of a level.
    """
    half = discretized.HALF
    position, scale = half * (1.0 + mean), half * scale
    narrow = tf.minimum(scale, 0.6)[..., tf.newaxis]
    near = tf.round(position)[..., tf.newaxis] + tf.range(-2.0, 3.0)
    weights = tf.nn.softmax(-0.5 * ((position[..., tf.newaxis] - near) / narrow) ** 2)
    level = tf.reduce_sum(weights * near, axis=-1)
    return tf.where(scale < 0.6, level, position) / half - 1.0


def diffuse(x, gamma, normals):
    """Returns z_t = alpha_t x + sigma_t noise."""
    return alpha(gamma) * x + sigma(gamma) * normals


def alpha(gamma):
    """Returns how much of the image is left in z_t."""
    return tf.sqrt(tf.sigmoid(-gamma))


def sigma(gamma):
    """Returns how much noise is in z_t."""
    return tf.sqrt(tf.sigmoid(gamma))


def evidence(z, gamma):
    """Returns log p(z_t | x = 1) - log p(z_t | x = -1)."""
    return 2.0 * z * alpha(gamma) / tf.sigmoid(gamma)
