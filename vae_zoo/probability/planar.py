"""Planar and radial flows as posteriors: steps whose parameters the encoder gives for each image.

    planar:  z -> z + u tanh(w.z + b),                  log |det| = log(1 + u.w (1 - tanh^2))
    radial:  z -> z + beta h (z - c),  h = 1 / (a + r), r = ||z - c||,
             log |det| = (D - 1) log(1 + beta h) + log(1 + a beta h^2)

Rezende and Mohamed (2015), "Variational inference with normalizing flows", eqs. 10 to 14 and
appendix A: a step can be inverted where u.w > -1, and where beta > -a.
"""

import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo.probability import distributions
from vae_zoo.probability.stable import softplus

tfd, tfb = tfp.distributions, tfp.bijectors

_LEAST = 1e-3  # of 1 + u.w and of 1 + beta / a: the inverse stays exact in float32
_ZERO = 0.53974  # _above_minus_one is 0 at 0: steps that are told nothing are the identity
_HALVINGS = 32  # of the interval that the inverse of a planar step lies in


def _above_minus_one(x):
    """Returns x bent so that it is above -1: the m(x) of appendix A.1, moved to be 0 at 0."""
    return softplus(x + _ZERO) - 1.0 + _LEAST


class PlanarStep(tfb.Bijector):
    """One planar step; its inverse has no closed form, and is found on an interval of one number.

    Args:
        parameters: u, w and b, float32 [B, 2 D + 1].
    """

    def __init__(self, parameters):
        super().__init__(
            forward_min_event_ndims=1, parameters={"parameters": parameters}, name="planar_step"
        )
        size = (parameters.shape[-1] - 1) // 2
        u, self.w, self.b = tf.split(parameters, [size, size, 1], axis=-1)
        dot = tf.reduce_sum(u * self.w, axis=-1, keepdims=True)
        norm = tf.reduce_sum(self.w**2, axis=-1, keepdims=True)
        self.u = u + tf.math.divide_no_nan(_above_minus_one(dot) - dot, norm) * self.w
        self.dot = tf.reduce_sum(self.u * self.w, axis=-1, keepdims=True)  # above -1

    @staticmethod
    def parameters_of(latent_size):
        """Returns how many numbers a step takes."""
        return 2 * latent_size + 1

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, x):
        return x + self.u * tf.tanh(self._along(x))

    def _inverse(self, y):
        along = self._along(y)  # of x, it lies within |dot| of this
        low, high = along - tf.abs(self.dot), along + tf.abs(self.dot)
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            beyond = middle + self.dot * tf.tanh(middle) > along
            low, high = tf.where(beyond, low, middle), tf.where(beyond, middle, high)
        return y - self.u * tf.tanh(0.5 * (low + high))

    def _forward_log_det_jacobian(self, x):
        slope = 1.0 - tf.tanh(self._along(x)) ** 2
        return tf.math.log1p(self.dot * slope)[..., 0]

    def _along(self, z):
        return tf.reduce_sum(self.w * z, axis=-1, keepdims=True) + self.b


class RadialStep(tfb.Bijector):
    """One radial step about a centre c.

    Args:
        parameters: c, and a and beta / a before they are bounded, float32 [B, D + 2].
    """

    def __init__(self, parameters):
        super().__init__(
            forward_min_event_ndims=1, parameters={"parameters": parameters}, name="radial_step"
        )
        sizes = [parameters.shape[-1] - 2, 1, 1]
        self.centre, radius, strength = tf.split(parameters, sizes, axis=-1)
        self.radius = softplus(radius) + _LEAST
        self.beta = self.radius * _above_minus_one(strength)

    @staticmethod
    def parameters_of(latent_size):
        """Returns how many numbers a step takes."""
        return latent_size + 2

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, x):
        return x + self.beta / (self.radius + self._distance(x)) * (x - self.centre)

    def _inverse(self, y):
        distance = self._distance(y)
        half = 0.5 * (distance - self.radius - self.beta)
        before = half + tf.sqrt(half**2 + self.radius * distance)  # r^2 - 2 half r = a distance
        return self.centre + (y - self.centre) / (1.0 + self.beta / (self.radius + before))

    def _forward_log_det_jacobian(self, x):
        h = 1.0 / (self.radius + self._distance(x))
        others = x.shape[-1] - 1.0
        along = tf.math.log1p(self.radius * self.beta * h**2)
        return (others * tf.math.log1p(self.beta * h) + along)[..., 0]

    def _distance(self, z):
        squared = tf.reduce_sum((z - self.centre) ** 2, axis=-1, keepdims=True)
        return tf.sqrt(tf.maximum(squared, 1e-12))  # its gradient is finite at the centre


class AmortizedFlow:
    """A diagonal normal carried through T steps, all parameters from the encoder.

    Attributes:
        parameters: numbers that it takes from the encoder.
        analytic_kl: False: KL(q || p) has no closed form.
        step: the bijector of a step.

    Args:
        latent_size: D.
        flow_steps: T.
    """

    analytic_kl = False

    def __init__(self, latent_size, flow_steps):
        self.sizes = [2 * latent_size] + [self.step.parameters_of(latent_size)] * flow_steps
        self.parameters, self.steps = sum(self.sizes), flow_steps

    def distribution(self, encoded):
        """Returns q(z | x), batch [B], of the encoder's [B, parameters]."""
        normal, *steps = tf.split(tf.cast(encoded, tf.float32), self.sizes, axis=-1)
        chain = tfb.Chain([self.step(parameters) for parameters in reversed(steps)])
        return tfd.TransformedDistribution(distributions.diagonal_normal(normal), chain)


class PlanarFlow(AmortizedFlow):
    """Planar steps; see the module."""

    step = PlanarStep


class RadialFlow(AmortizedFlow):
    """Radial steps; see the module."""

    step = RadialStep
