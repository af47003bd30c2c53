"""The terms of the evidence lower bound, and the bounds made of them. Everything in nats."""

import math
from typing import Any, NamedTuple

import tensorflow as tf


class Latent(NamedTuple):
    """One stochastic layer of a model, inferred for a batch.

    Attributes:
        posterior: q(z | x, ...), a tfd.Distribution of batch [B], or [K, B] below the top of a
            hierarchy.
        prior: p(z | ...), a tfd.Distribution, or an object with `log_prob` and `sample`.
        z: the samples, float32 [K, B, ...].
        features: what the layers below and the likelihood see of this layer and those above it,
            [K, B, ...], in a hierarchy; else None.
    """

    posterior: Any
    prior: Any
    z: tf.Tensor
    features: Any = None


class ElboTerms(NamedTuple):
    """What the forward pass of every model returns; nats, batch-major.

    Attributes:
        log_likelihood: log p(x | z), [B, K]; its negative is the distortion.
        rate: log q(z | x) - log p(z) or its expectation KL(q || p), [B, K, L], a column for
            each stochastic layer.
        penalty: what the training objective adds, [B, K].
        loss: what is minimised, [B].
    """

    log_likelihood: tf.Tensor
    rate: tf.Tensor
    penalty: tf.Tensor
    loss: tf.Tensor


def log_weights(terms):
    """Returns log p(x, z) - log q(z | x), [B, K].

    Analytic terms have KL(q || p) in the place of log q(z | x) - log p(z). Its mean is the same,
    but the result is then no importance weight.
    """
    return terms.log_likelihood - tf.reduce_sum(terms.rate, axis=-1)


def elbo(terms):
    """Returns the evidence lower bound in nats, [B]: the mean over K of -distortion - rate.

    Source: Kingma and Welling (2014), eq. 3 (and eq. 2 with sampled rates).
    """
    return tf.reduce_mean(log_weights(terms), axis=1)


def importance_weighted_bound(weights, axis=1):
    """Returns log (1/K sum_k w_k) in nats, [B], for log-weights [B, K]; or of K in another axis.

    Source: Burda et al. (2016), eq. 8. Its gradient weighs each sample by its normalised weight,
    so the best sample counts most.
    """
    return tf.reduce_logsumexp(weights, axis=axis) - math.log(weights.shape[axis])
