"""The importance-weighted bound as a stream: chunk by chunk, in memory of a constant size."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from vae_zoo.probability.elbo import log_weights


class Stream(NamedTuple):
    """Running sums over an image's samples, float64: a streaming log-sum-exp and two means.

    Attributes:
        peak: largest log-weight yet, [B].
        total: sum of exp(log-weight - peak), [B].
        squares: sum of exp(2 (log-weight - peak)), [B].
        log_likelihood: sum, [B].
        rate: sum, [B, L].
    """

    peak: tf.Tensor
    total: tf.Tensor
    squares: tf.Tensor
    log_likelihood: tf.Tensor
    rate: tf.Tensor

    @classmethod
    def empty(cls, size, layers):
        """Returns the stream before the first sample."""
        zero = tf.zeros([size], tf.float64)
        lowest = tf.fill([size], tf.constant(-np.inf, tf.float64))
        return cls(lowest, zero, zero, zero, tf.zeros([size, layers], tf.float64))

    def add(self, terms, counted):
        """Returns the stream after a chunk of ElboTerms [B, K], of which `counted` [K] count."""
        weights = tf.cast(tf.where(counted, log_weights(terms), -np.inf), tf.float64)
        peak = tf.maximum(self.peak, tf.reduce_max(weights, axis=1))
        shift = tf.where(tf.math.is_finite(peak), peak, 0.0)  # where all weights are zero
        old = tf.exp(self.peak - shift)
        new = tf.exp(weights - shift[:, tf.newaxis])
        kept = tf.cast(counted, tf.float64)
        rate = tf.cast(terms.rate, tf.float64) * kept[:, tf.newaxis]
        return Stream(
            peak,
            self.total * old + tf.reduce_sum(new, axis=1),
            self.squares * old**2 + tf.reduce_sum(new**2, axis=1),
            self.log_likelihood + tf.linalg.matvec(tf.cast(terms.log_likelihood, tf.float64), kept),
            self.rate + tf.reduce_sum(rate, axis=1),
        )

    def merged(self, other):
        """Returns the stream of the samples of both."""
        peak = tf.maximum(self.peak, other.peak)
        shift = tf.where(tf.math.is_finite(peak), peak, 0.0)
        ours, theirs = tf.exp(self.peak - shift), tf.exp(other.peak - shift)
        return Stream(
            peak,
            self.total * ours + other.total * theirs,
            self.squares * ours**2 + other.squares * theirs**2,
            self.log_likelihood + other.log_likelihood,
            self.rate + other.rate,
        )

    def results(self, exact, count):
        """Returns [B, 4 + L], the columns of likelihood.evaluate_block.

        Args:
            exact: a rate of each layer that replaces the sampled one, or None.
            count: samples.
        """
        count = tf.cast(count, tf.float64)
        sampled = tf.unstack(self.rate / count, axis=1)
        rates = [s if e is None else e for s, e in zip(sampled, exact, strict=True)]
        log_likelihood = self.log_likelihood / count
        bound = self.peak + tf.math.log(self.total / count)
        effective = self.total**2 / self.squares
        elbo = log_likelihood - tf.add_n(rates)
        return tf.stack([log_likelihood, bound, effective, elbo, *rates], axis=1)
