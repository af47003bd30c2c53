"""A codebook: vectors that follow the means of what chooses them, and how they are used.

van den Oord, Vinyals and Kavukcuoglu (2017), "Neural discrete representation learning", appendix
A.1; codes out of use are reset as in Dhariwal et al. (2020), "Jukebox", section 3.1.
"""

from typing import NamedTuple

import keras
import tensorflow as tf
from keras import layers

from vae_zoo import replicas
from vae_zoo.probability import noise

_RESET = 0  # noise stream: which vectors of the batch take the places of dead codes
_ALIVE = 0.01  # of an even share of the vectors: the use below which a code is dead


class Use(NamedTuple):
    """How a global batch uses the codebook.

    Attributes:
        counts: vectors that chose each code, [C].
        sums: of those vectors, [C, D].
        spare: a vector of the batch for each code, should it be dead, [C, D].
    """

    counts: tf.Tensor
    sums: tf.Tensor
    spare: tf.Tensor


@keras.saving.register_keras_serializable("vae_zoo")
class Codebook(layers.Layer):
    """Vectors that follow the running mean of what chooses them; none of it has a gradient.

    It starts without use: the first step takes every vector from its batch.

    Args:
        size: C, codes.
        dimension: D.
        decay: of the running counts and means.
    """

    def __init__(self, size, dimension, decay, **kwargs):
        super().__init__(dtype="float32", trainable=False, **kwargs)
        self.size, self.dimension, self.decay = size, dimension, decay
        self.vectors = replicas.add_shared(self, "vectors", (size, dimension), "random_normal")
        self.counts = replicas.add_shared(self, "counts", (size,), "zeros")
        self.built = True

    def bounded(self, encoded):
        """Returns what the nearest vector is taken of: [..., D]."""
        return encoded

    def cost(self, encoded, vectors):
        """Returns the squared distance of the encodings to their vectors, summed, [B]."""
        distance = encoded - tf.stop_gradient(vectors)
        return tf.reduce_sum(distance**2, axis=list(range(1, len(encoded.shape))))

    def nearest(self, encoded):
        """Returns the codes of vectors [..., D], int32 [...]."""
        vectors = self.vectors.value
        product = tf.matmul(tf.reshape(encoded, [-1, self.dimension]), vectors, transpose_b=True)
        distance = tf.reduce_sum(vectors**2, axis=-1) - 2.0 * product
        codes = tf.argmin(distance, axis=-1, output_type=tf.int32)
        return tf.reshape(codes, tf.shape(encoded)[:-1])

    def vectors_of(self, codes):
        """Returns the vectors of codes [...], float32 [..., D]."""
        return tf.gather(self.vectors.value, codes)

    def use_of(self, encoded, key):
        """Returns the Use by vectors [..., D] of this replica and of all others.

        Args:
            encoded: float32 [..., D].
            key: int32 [2], of the noise.
        """
        encoded = tf.reshape(tf.stop_gradient(encoded), [-1, self.dimension])
        chosen = tf.one_hot(self.nearest(encoded), self.size)  # [M, C]
        spare = _spare(encoded, noise.shared_uniform(key, [self.size], _RESET))
        parts = (tf.reduce_sum(chosen, 0), tf.matmul(chosen, encoded, transpose_a=True), spare)
        return Use(*(replicas.total(part) for part in parts))

    def follow(self, use, good=True):
        """Moves the running means by a batch's Use, where `good`; resets dead codes.

        Source: van den Oord et al. (2017), eq. 6 to 8 of appendix A.1.
        """
        kept = self.decay * self.counts.value
        counts = kept + (1.0 - self.decay) * use.counts
        sums = kept[:, tf.newaxis] * self.vectors.value + (1.0 - self.decay) * use.sums
        even = tf.reduce_sum(use.counts) / self.size
        alive = counts >= _ALIVE * even
        vectors = tf.where(
            alive[:, tf.newaxis], tf.math.divide_no_nan(sums, counts[:, tf.newaxis]), use.spare
        )
        counts = tf.where(alive, counts, even)
        self.vectors.assign(tf.where(good, vectors, self.vectors.value))
        self.counts.assign(tf.where(good, counts, self.counts.value))

    def get_config(self):
        config = {"size": self.size, "dimension": self.dimension, "decay": self.decay}
        return {**super().get_config(), **config}


def straight_through(encoded, vectors):
    """Returns the vectors, with the gradient of the encoding."""
    return encoded + tf.stop_gradient(vectors - encoded)


def perplexity(counts):
    """Returns exp(entropy) of how often each code is used: as many codes, evenly used, say."""
    share = counts / tf.maximum(tf.reduce_sum(counts), 1e-12)
    return tf.exp(-tf.reduce_sum(tf.math.xlogy(share, share)))


def _spare(encoded, uniforms):
    """Returns the rows of the global batch at `uniforms` of its length; zero where another has it.

    Args:
        encoded: this replica's rows, [M, D].
        uniforms: the same on every replica, [C].
    """
    count, replica = replicas.replica()
    rows = tf.shape(encoded)[0]
    index = tf.cast(uniforms * tf.cast(rows * count, tf.float32), tf.int32) - replica * rows
    ours = (index >= 0) & (index < rows)
    found = tf.gather(encoded, tf.clip_by_value(index, 0, rows - 1))
    return tf.where(ours[:, tf.newaxis], found, 0.0)
