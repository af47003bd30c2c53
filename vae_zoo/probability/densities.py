"""Densities of grey values in [0, 1]: for comparison with others' results, never bits/dim."""

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

_BIN_VARIANCE = 1.0 / 12.0 / 255.0**2  # of a uniform over a grey level's bin, in pixel values
_NEAR = 0.1  # logits below which the formulas of continuous_bernoulli become series


class DequantizedNormal(tfd.Normal):
    """A normal over grey values to which uniform noise of one level's width was added.

    The log-density is its expectation over that noise, in closed form. So a scale of zero is not
    rewarded; without the noise it would be. The log-density minus log(255) nats for each number is
    a lower bound of the log-probability of the 8-bit image.

    Source: Theis, van den Oord and Bethge (2016), "A note on the evaluation of generative models",
    section 3.1.
    """

    def _log_prob(self, image):
        return super()._log_prob(image) - 0.5 * _BIN_VARIANCE / tf.square(self.scale)

    def draw(self, uniforms):
        """Returns pixels, moved into [0, 1], of two uniforms for each, [..., 2]: the second one."""
        value = self.loc + self.scale * tf.math.ndtri(uniforms[..., 1])
        return tf.clip_by_value(value, 0.0, 1.0)

    def _mean(self):
        """The mean, moved into [0, 1], where pixels are."""
        return tf.clip_by_value(super()._mean(), 0.0, 1.0)


class ContinuousBernoulli(tfd.ContinuousBernoulli):
    """TFP's, log-density and mean written from the logits l: finite for any, smooth about zero.

        log p(x) = l x - max(l, 0) - log((1 - exp(-|l|)) / |l|)
        E[x] = 1 / (1 - exp(-l)) - 1 / l

    Source: Loaiza-Ganem and Cunningham (2019), "The continuous Bernoulli: fixing a pervasive error
    in variational autoencoders", eqs. 6 and 8.
    """

    def _log_prob(self, event):
        logits = self.logits_parameter()
        size = tf.abs(logits)
        far = tf.maximum(size, _NEAR)
        exact = tf.math.log(far / -tf.math.expm1(-far))
        series = 0.5 * size - size**2 / 24.0 + size**4 / 2880.0
        return logits * event - tf.nn.relu(logits) + tf.where(size < _NEAR, series, exact)

    def draw(self, uniforms):
        """Returns pixels in [0, 1], of two uniforms for each, [..., 2]: the second one.

        By the inverse of the cumulative distribution, of the distance from the likelier end.
        """
        logits, uniform = self.logits_parameter(), uniforms[..., 1]
        size = tf.maximum(tf.abs(logits), 1e-3)  # below it, next to uniform
        far = -tf.math.log1p(uniform * tf.math.expm1(-size)) / size
        return tf.where(logits < 0.0, far, 1.0 - far)

    def _mean(self):
        logits = self.logits_parameter()
        size = tf.abs(logits)
        far = tf.maximum(size, _NEAR)
        exact = -1.0 / tf.math.expm1(-far) - 1.0 / far - 0.5
        series = size / 12.0 - size**3 / 720.0
        return 0.5 + tf.sign(logits) * tf.where(size < _NEAR, series, exact)
