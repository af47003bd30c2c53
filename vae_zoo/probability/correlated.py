"""Normal posteriors whose latent dimensions are correlated, with KL(q || p) in closed form.

    full:         z = m + L e,  L lower triangular with a positive diagonal
    householder:  z = H_T ... H_1 (m + s e),  H_t = I - 2 v_t v_t' / ||v_t||^2

Kingma and Welling (2019), "An introduction to variational autoencoders", section 2.5.1; Tomczak and
Welling (2016), "Improving variational auto-encoders using Householder flow", eq. 9 to 11. The
reflections turn the axes of a diagonal normal: T = D of them reach any covariance.
"""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo.probability import distributions

tfd = tfp.distributions


class CorrelatedNormal(tfd.MultivariateNormalLinearOperator):
    """A normal z = loc + scale e, scale a tf.linalg.LinearOperator."""

    def _variance(self):
        return tf.reduce_sum(self.scale.to_dense() ** 2, axis=-1)

    def _stddev(self):
        return tf.sqrt(self._variance())


@tfd.RegisterKL(CorrelatedNormal, tfd.Independent)
def _kl_to_diagonal(posterior, prior, name=None):
    """Returns KL(q || p) in nats, [B], p being a diagonal normal."""
    normal = prior.distribution
    if not isinstance(normal, tfd.Normal):
        raise NotImplementedError(f"KL of a correlated normal and {normal.name}")
    diagonal = tfd.MultivariateNormalDiag(normal.loc, normal.scale)
    return tfd.kl_divergence(posterior, diagonal, name=name)


@tfd.RegisterKL(tfd.Independent, CorrelatedNormal)
def _kl_of_diagonal(posterior, prior, name=None):
    """Returns KL(q || p) in nats, [B], q being a diagonal normal."""
    normal = posterior.distribution
    diagonal = tfd.MultivariateNormalDiag(normal.loc, normal.scale)
    return tfd.kl_divergence(diagonal, prior, name=name)


def covariance(mean, scale=None):
    """Returns the covariance of the mixture of diagonal normals, [D, D].

    Args:
        mean: [B, D].
        scale: standard deviations [B, D]; None: those of points.
    """
    deviation = mean - tf.reduce_mean(mean, axis=0)
    count = tf.cast(tf.shape(mean)[0], mean.dtype)
    between = tf.matmul(deviation, deviation, transpose_a=True) / count
    return between if scale is None else between + tf.linalg.diag(tf.reduce_mean(scale**2, axis=0))


class FullNormal:
    """A normal of any covariance, of D (D - 1) / 2 numbers more than a diagonal one.

    Attributes:
        parameters: numbers that it takes from the encoder.
        analytic_kl: whether KL(q || p) has a closed form, p being a diagonal normal.

    Args:
        latent_size: D.
    """

    analytic_kl = True

    def __init__(self, latent_size, flow_steps=None):
        del flow_steps
        below = np.tril(np.ones((latent_size, latent_size), bool), -1)
        self.sizes = [2 * latent_size, int(below.sum())]
        self.parameters = sum(self.sizes)
        # Where the numbers below the diagonal go; all other places take a zero behind them.
        self.places = np.where(below, np.cumsum(below).reshape(below.shape) - 1, self.sizes[1])

    def distribution(self, encoded):
        """Returns q(z | x), batch [B], of the encoder's [B, parameters]."""
        diagonal, below = tf.split(tf.cast(encoded, tf.float32), self.sizes, axis=-1)
        normal = distributions.diagonal_normal(diagonal).distribution
        with_zero = tf.concat([below, tf.zeros_like(diagonal[..., :1])], axis=-1)
        scale = tf.linalg.diag(normal.scale) + tf.gather(with_zero, self.places, axis=-1)
        return CorrelatedNormal(normal.loc, tf.linalg.LinearOperatorLowerTriangular(scale))


class HouseholderNormal:
    """A diagonal normal turned by T reflections.

    Attributes:
        parameters: numbers that it takes from the encoder.
        analytic_kl: whether KL(q || p) has a closed form, p being a diagonal normal.

    Args:
        latent_size: D.
        flow_steps: T.
    """

    analytic_kl = True

    def __init__(self, latent_size, flow_steps):
        self.sizes = [2 * latent_size] + [latent_size] * flow_steps
        self.parameters = sum(self.sizes)

    def distribution(self, encoded):
        """Returns q(z | x), batch [B], of the encoder's [B, parameters]."""
        diagonal, *vectors = tf.split(tf.cast(encoded, tf.float32), self.sizes, axis=-1)
        normal = distributions.diagonal_normal(diagonal).distribution
        turns = [tf.linalg.LinearOperatorHouseholder(vector) for vector in reversed(vectors)]
        mean = tf.linalg.LinearOperatorComposition(turns).matvec(normal.loc)
        scale = tf.linalg.LinearOperatorDiag(normal.scale, is_non_singular=True)
        return CorrelatedNormal(mean, tf.linalg.LinearOperatorComposition([*turns, scale]))
