"""The Poincare ball: hyperbolic space in D dimensions, and normals wrapped onto it.

    distance(m, z) = 2 artanh ||-m (+) z||,   dM(z) = l(z)^D dz,   l(z) = 2 / (1 - ||z||^2)
    z = exp_m(v / l(m)) = m (+) tanh(||v|| / 2) v / ||v||,   v ~ N(0, S)

(+) is Moebius addition, the ball's curvature is -1. ||v|| is the distance of z to m, and all
densities here are next to dz: log |dz / dv| = (D - 1) log(sinh ||v|| / ||v||) - D log l(z).
Distances grow towards the rim, and the room at a distance grows as the leaves of a tree do.

Mathieu, Le Lan, Maddison, Tomioka and Teh (2019), "Continuous hierarchical representations with
Poincare variational auto-encoders", section 2, eq. 6 and appendix B.
"""

import math

import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo.probability import distributions

tfd, tfb = tfp.distributions, tfp.bijectors

_FARTHEST = 6.0  # of a posterior's centre, from the ball's: float32 has no digits left beyond 16
_LOG_SCALE = (-7.0, 0.0)
_RIM = 1.0 - 1e-6
_SMALL = 1e-12  # of squared lengths: their roots have a gradient
_NEAR = 0.1  # lengths below which log(sinh r / r) is its series


def add(x, y):
    """Returns the Moebius sum x (+) y of points [..., D] of the ball; eq. 1."""
    xy, xx, yy = (_dot(*pair) for pair in ((x, y), (x, x), (y, y)))
    return ((1 + 2 * xy + yy) * x + (1 - xx) * y) / (1 + 2 * xy + xx * yy)


def distance(x, y):
    """Returns the hyperbolic distance of points [..., D] of the ball, [...]."""
    return 2.0 * tf.atanh(tf.minimum(_length(add(-x, y)), _RIM))[..., 0]


def log_volume(z):
    """Returns log dM / dz, the log volume element at points [..., D] of the ball, [...]."""
    return z.shape[-1] * (math.log(2.0) - tf.math.log1p(-tf.reduce_sum(z**2, axis=-1)))


def exp_origin(v):
    """Returns the points of the ball at tangents v [..., D] of its centre: distance ||v||."""
    length = _length(v)
    return tf.tanh(0.5 * length) / length * v


class ExpMap(tfb.Bijector):
    """Tangents v [..., D] -> points of the ball at the distance ||v|| from a point m.

    Args:
        centre: m, [..., D].
    """

    def __init__(self, centre):
        parameters = {"centre": centre}
        super().__init__(forward_min_event_ndims=1, parameters=parameters, name="exp_map")
        self.centre = centre

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, x):
        return add(self.centre, exp_origin(x))

    def _inverse(self, y):
        moved = add(-self.centre, y)
        length = _length(moved)
        return 2.0 * tf.atanh(tf.minimum(length, _RIM)) / length * moved

    def _forward_log_det_jacobian(self, x):
        size, length = x.shape[-1], _length(x)[..., 0]
        safe = tf.maximum(length, _NEAR)
        far = safe + tf.math.log1p(-tf.exp(-2.0 * safe)) - tf.math.log(2.0 * safe)
        near = length**2 / 6.0 - length**4 / 180.0
        stretch = tf.where(length < _NEAR, near, far)  # log(sinh r / r)
        return (size - 1.0) * stretch - size * self._log_factor(x, length)

    def _log_factor(self, x, length):
        """Returns log l(z) of z = m (+) exp_0(x), without the digits that 1 - ||z||^2 loses."""
        inner, m = exp_origin(x), self.centre
        bottom = 1.0 + 2.0 * _dot(m, inner) + _dot(m, m) * _dot(inner, inner)
        left = tf.math.log1p(-_dot(m, m)) - tf.math.log(bottom)  # of log(1 - ||z||^2)
        half = 0.5 * length
        rest = -2.0 * (half + tf.math.log1p(tf.exp(-2.0 * half)) - math.log(2.0))
        return math.log(2.0) - left[..., 0] - rest


def _dot(x, y):
    return tf.reduce_sum(x * y, axis=-1, keepdims=True)


def _length(x):
    return tf.sqrt(tf.maximum(_dot(x, x), _SMALL))


class WrappedNormalPosterior:
    """A diagonal normal wrapped onto the ball; it goes with the prior "ball" alone.

    Attributes:
        parameters: numbers that it takes from the encoder: the centre, as a tangent of the ball's
            centre, and log-scales.
        analytic_kl: False: KL(q || p) has no closed form.

    Args:
        latent_size: D.
    """

    analytic_kl = False

    def __init__(self, latent_size, flow_steps=None):
        del flow_steps
        self.parameters = 2 * latent_size

    def distribution(self, encoded):
        """Returns q(z | x), batch [B], of the encoder's [B, parameters]."""
        tangent, log_scale = tf.split(tf.cast(encoded, tf.float32), 2, axis=-1)
        length = _length(tangent)
        centre = exp_origin(_FARTHEST * tf.tanh(length / _FARTHEST) / length * tangent)
        scale = tf.exp(distributions.bounded(log_scale, *_LOG_SCALE))
        normal = tfd.Independent(tfd.Normal(tf.zeros_like(scale), scale), 1)
        return tfd.TransformedDistribution(normal, ExpMap(centre))


class BallPrior:
    """The standard normal wrapped onto the ball of D dimensions, at its centre.

    Args:
        latent_size: D.
    """

    analytic_kl = False
    posteriors = ("wrapped",)

    def __init__(self, latent_size):
        self.latent_size = latent_size

    def distribution(self, posterior, label=None):
        """Returns p(z), event shape [D]."""
        del posterior, label
        normal = distributions.standard_normal([self.latent_size])
        return tfd.TransformedDistribution(normal, ExpMap(tf.zeros([self.latent_size])))
