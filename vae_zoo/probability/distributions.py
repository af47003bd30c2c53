"""Posteriors and priors as TFP distributions, from network outputs."""

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

LOG_SCALE = (-7.0, 4.0)  # of posteriors and learned priors


def bounded(value, low, high):
    """Returns value squeezed smoothly into (low, high), with a gradient everywhere.

    It may be above `high`, by log(1 + exp(low - high)) at most.
    """
    return low + tf.nn.softplus(high - low - tf.nn.softplus(high - value))


def diagonal_normal(parameters, event_rank=1):
    """Returns a diagonal normal, log-scale bounded to (-7, 4).

    Args:
        parameters: [..., 2 * D]; the first half of the last axis is the mean, the second the
            unbounded log standard deviation.
        event_rank: how many of the last axes are one latent variable.
    """
    mean, log_scale = tf.split(tf.cast(parameters, tf.float32), 2, axis=-1)
    scale = tf.exp(bounded(log_scale, *LOG_SCALE))
    return tfd.Independent(tfd.Normal(mean, scale), event_rank)


def standard_normal(shape):
    """Returns N(0, 1) over latents of the given static shape."""
    return tfd.Independent(tfd.Normal(tf.zeros(shape), tf.ones(shape)), len(shape))


def reparameterize(distribution, noise):
    """Returns a differentiable sample: the distribution's own noise carried through its parameters.

    Args:
        distribution: a normal, a bijection of a diagonal one, or one with `reparameterized`.
        noise: standard normals, broadcastable with [*batch, *event].

    Source: Kingma and Welling (2014), section 2.4.
    """
    if hasattr(distribution, "reparameterized"):
        return distribution.reparameterized(noise)
    if isinstance(distribution, tfd.MultivariateNormalLinearOperator):
        return distribution.bijector.forward(noise)
    if hasattr(distribution, "bijector"):
        return distribution.bijector.forward(reparameterize(distribution.distribution, noise))
    normal = distribution.distribution
    return normal.loc + normal.scale * noise


def has_mean(distribution):
    """Returns whether the mean is known in closed form: of all laws but flows."""
    known = (tfd.Independent, tfd.MultivariateNormalLinearOperator, tfd.VonMisesFisher)
    return isinstance(distribution, known)


def centre(distribution):
    """Returns the mean; of a flow, whose mean has no closed form, the base's carried through it.

    On a sphere, where the mean is no point, it is the mean's direction.
    """
    if isinstance(distribution, tfd.VonMisesFisher):
        return distribution.mode()
    if not has_mean(distribution):
        return distribution.bijector.forward(centre(distribution.distribution))
    return distribution.mean()
