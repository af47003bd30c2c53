"""The sphere of D dimensions: von Mises-Fisher posteriors, and the uniform law as their prior.

    q(z | x) = exp(k m.z) / c(k),   ||z|| = ||m|| = 1,   p(z) = 1 / area

A sample is z = cos(a) m + sin(a) v, v uniform across m, and the angle a of the density
exp(k cos a) sin(a)^(D - 2). The sum of that density over a grid is inverted, so that a sample is a
function of normal noise, with a gradient, and nothing is rejected.

Davidson, Falorsi, De Cao, Kipf and Tomczak (2018), "Hyperspherical variational auto-encoders",
section 3, with the inversion in the place of algorithm 1.
"""

import math

import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo import errors
from vae_zoo.probability.stable import softplus

tfd = tfp.distributions

_CELLS = 256  # of the grid of angles
_MOST = 1e4  # of k: beyond it, k m.z has no digits left in float32
_EDGE = 1e-6  # of the uniforms
_LEAST_SQUARE = 1e-30  # of what is scaled to the length 1


class VonMisesFisher(tfd.VonMisesFisher):
    """The von Mises-Fisher law, with samples as a function of noise."""

    def reparameterized(self, normals):
        """Returns samples [..., D] of standard normals [..., D]."""
        size = self.event_shape[0]
        uniform = tfd.Normal(0.0, 1.0).cdf(normals[..., 0])
        angle = _angle(self.concentration, size, tf.clip_by_value(uniform, _EDGE, 1.0 - _EDGE))
        across = tf.math.l2_normalize(normals[..., 1:], axis=-1, epsilon=_LEAST_SQUARE)
        angle = angle[..., tf.newaxis]
        z = tf.concat([tf.cos(angle), tf.sin(angle) * across], axis=-1)  # about the first axis
        turned = tf.one_hot(0, size) - self.mean_direction  # a reflection takes that axis to m
        along = tf.reduce_sum(z * turned, axis=-1, keepdims=True)
        return z - 2.0 * turned * tf.math.divide_no_nan(
            along, tf.reduce_sum(turned**2, axis=-1, keepdims=True)
        )

    def _log_normalization(self, concentration=None):
        """Log c(k), by way of float64: in float32 its last digit differs from call to call."""
        given = self.concentration if concentration is None else concentration
        direction = tf.cast(self.mean_direction, tf.float64)
        wide = tfd.VonMisesFisher(direction, tf.cast(given, tf.float64))
        return tf.cast(wide._log_normalization(), self.dtype)

    def _stddev(self):
        """The root of the covariance's diagonal, in operations that TFLite has."""
        mean, direction = self.mean(), self.mean_direction
        length = tf.reduce_sum(mean * direction, axis=-1, keepdims=True)  # A(k)
        across = length / self.concentration[..., tf.newaxis]
        along = 1.0 - self.event_shape[0] * across - length**2
        return tf.sqrt(tf.maximum(across + direction**2 * along, 0.0))


class UniformOnSphere(tfd.SphericalUniform):
    """The uniform law, with samples as a function of noise."""

    def reparameterized(self, normals):
        """Returns samples [..., D] of standard normals [..., D]."""
        return tf.math.l2_normalize(normals, axis=-1, epsilon=_LEAST_SQUARE)


def _angle(concentration, size, uniforms):
    """Returns the angles [..., B] at which the distribution function has the values `uniforms`.

    Args:
        concentration: k, [B].
        size: D.
        uniforms: [..., B].
    """
    tail = 0.5 * (size + 8.0 * math.sqrt(size) + 40.0)  # k (1 - cos a) beyond this has no mass
    reach = math.pi * tf.minimum(1.0, tf.sqrt(0.5 * tail / concentration))[:, tf.newaxis]  # [B, 1]
    middle = reach * (tf.range(_CELLS, dtype=tf.float32) + 0.5) / _CELLS  # [B, cells]
    log_density = -2.0 * concentration[:, tf.newaxis] * tf.sin(0.5 * middle) ** 2
    mass = tf.nn.softmax(log_density + (size - 2.0) * tf.math.log(tf.sin(middle)))
    below = tf.cumsum(mass, axis=-1, exclusive=True)
    passed = tf.cast(below <= uniforms[..., tf.newaxis], tf.int32)  # [..., B, cells]
    cell = tf.reduce_sum(passed, axis=-1) - 1
    chosen = tf.one_hot(cell, _CELLS)
    left = uniforms - tf.reduce_sum(chosen * below, axis=-1)
    share = tf.clip_by_value(left / tf.reduce_sum(chosen * mass, axis=-1), 0.0, 1.0)
    return reach[:, 0] * (tf.cast(cell, tf.float32) + share) / _CELLS


class VonMisesFisherPosterior:
    """A von Mises-Fisher law; see the module. It goes with the prior "sphere" alone.

    Attributes:
        parameters: numbers that it takes from the encoder: a direction, and k.
        analytic_kl: whether KL(q || p) has a closed form, p being uniform.

    Args:
        latent_size: D, at least 2.
    """

    analytic_kl = True

    def __init__(self, latent_size, flow_steps=None):
        del flow_steps
        errors.at_least("latent_size", latent_size, 2)
        self.parameters = latent_size + 1

    def distribution(self, encoded):
        """Returns q(z | x), batch [B], of the encoder's [B, parameters]."""
        encoded = tf.cast(encoded, tf.float32)
        direction = tf.math.l2_normalize(encoded[..., :-1], axis=-1)
        concentration = 1.0 + softplus(encoded[..., -1])
        return VonMisesFisher(direction, tf.minimum(concentration, _MOST))


class SpherePrior:
    """The uniform law on the sphere of D dimensions.

    Args:
        latent_size: D.
    """

    analytic_kl = True
    posteriors = ("vmf",)

    def __init__(self, latent_size):
        self.latent_size = latent_size

    def distribution(self, posterior, label=None):
        """Returns p(z), event shape [D]."""
        del posterior, label
        return UniformOnSphere(self.latent_size)
