"""Quantisers other than the codebook of running means: finite scalar, lookup-free, stochastic.

    fsq   dimension d is moved into L_d levels: round(bounded(e_d)); codes are all combinations
    lfq   each dimension is its sign: code = sum_d 2^d [e_d > 0]
    stochastic   the code is drawn: p(code k) is proportional to exp(-||e - v_k||^2 / (2 s^2))

Mentzer, Minnen, Agustsson and Tschannen (2024), "Finite scalar quantization: VQ-VAE made simple",
section 3.1 and appendix A.1; Yu et al. (2024), "Language model beats diffusion: tokenizer is key to
visual generation", section 3.1, eq. 5 and 6; Takida et al. (2022), "SQ-VAE: variational Bayes on
discrete representation with self-annealed stochastic quantization", eq. 5 and section 3.2.
"""

import math

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from vae_zoo import replicas
from vae_zoo.probability.codebook import Use

_BEYOND = 1e-3  # of the reach of tanh, that it passes the outermost levels by
_DECAY = 0.99  # of the running counts


class CountingQuantizer(layers.Layer):
    """A quantiser that follows no encodings, and counts how often each code is used.

    Attributes:
        size: codes.
        dimension: D, of a code's vector.
    """

    def __init__(self, size, dimension, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.size, self.dimension = size, dimension
        self.counts = replicas.add_shared(self, "counts", (size,), "zeros")
        self.built = True

    def use_of(self, encoded, key):
        """Returns the Use by vectors [..., D] of this replica and of all others."""
        del key
        chosen = tf.one_hot(tf.reshape(self.nearest(encoded), [-1]), self.size)  # [M, codes]
        return Use(replicas.total(tf.reduce_sum(chosen, axis=0)), None, None)

    def follow(self, use, good=True):
        """Moves the running counts by a batch's Use, where `good`."""
        counts = _DECAY * self.counts.value + (1.0 - _DECAY) * use.counts
        self.counts.assign(tf.where(good, counts, self.counts.value))


@keras.saving.register_keras_serializable("vae_zoo")
class FiniteScalarQuantizer(CountingQuantizer):
    """Each dimension at one of a few levels, evenly spread over [-1, 1].

    Args:
        levels: L_d of each dimension.
    """

    def __init__(self, levels, **kwargs):
        super().__init__(math.prod(levels), len(levels), **kwargs)
        self.levels = tuple(levels)
        self._half_width = np.array([count // 2 for count in levels], np.float32)
        self._places = np.cumprod([1, *levels[:-1]]).astype(np.int32)

    def bounded(self, encoded):
        """Returns what is rounded, in a code's units: [..., D] in about [-1, 1]."""
        counts = np.array(self.levels, np.float32)
        reach = (counts - 1.0) * (1.0 + _BEYOND) / 2.0
        offset = np.where(counts % 2 == 0, 0.5, 0.0).astype(np.float32)
        shift = np.arctanh(offset / reach)
        return (tf.tanh(encoded + shift) * reach - offset) / self._half_width

    def nearest(self, encoded):
        """Returns the codes of vectors [..., D], int32 [...]."""
        levels = tf.round(self.bounded(encoded) * self._half_width) + self._half_width
        return tf.reduce_sum(tf.cast(levels, tf.int32) * self._places, axis=-1)

    def vectors_of(self, codes):
        """Returns the vectors of codes [...], float32 [..., D]."""
        levels = tf.math.floormod(codes[..., tf.newaxis] // self._places, self.levels)
        return tf.cast(levels, tf.float32) / self._half_width - 1.0

    def cost(self, encoded, vectors):
        """Returns zero for each image, [B]: no code is drawn to what chooses it."""
        del vectors
        return tf.zeros(tf.shape(encoded)[:1])

    def get_config(self):
        return {"levels": self.levels, "name": self.name}


@keras.saving.register_keras_serializable("vae_zoo")
class LookupFreeQuantizer(CountingQuantizer):
    """Each dimension's sign: 2^D codes.

    Args:
        dimension: D.
    """

    def __init__(self, dimension, **kwargs):
        super().__init__(2**dimension, dimension, **kwargs)

    def bounded(self, encoded):
        """Returns what the sign is taken of: [..., D]."""
        return encoded

    def nearest(self, encoded):
        """Returns the codes of vectors [..., D], int32 [...]."""
        bits = tf.cast(encoded > 0.0, tf.int32)
        return tf.reduce_sum(bits * 2 ** np.arange(self.dimension, dtype=np.int32), axis=-1)

    def vectors_of(self, codes):
        """Returns the vectors of codes [...], float32 [..., D] of -1 and 1."""
        places = 2 ** np.arange(self.dimension, dtype=np.int32)
        bits = tf.math.floormod(codes[..., tf.newaxis] // places, 2)
        return 2.0 * tf.cast(bits, tf.float32) - 1.0

    def cost(self, encoded, vectors):
        """Returns what makes codes sure and evenly used, in nats, [B]; with the commitment.

        For each place: H(p(code | e)) - H(mean of p(code | e)) + ||e - sg[v]||^2, p being the
        softmax of the codes' negative squared distances; the mean is that of the global batch.
        """
        axes = list(range(1, len(encoded.shape) - 1))  # of places
        every = self.vectors_of(tf.range(self.size))  # [size, D]
        log_share = tf.nn.log_softmax(2.0 * tf.tensordot(encoded, every, [[-1], [1]]))
        share = tf.exp(log_share)
        unsure = -tf.reduce_sum(share * log_share, axis=-1)
        mean = replicas.mean(tf.reduce_mean(share, axis=[0, *axes]))
        spread = -tf.reduce_sum(tf.math.xlogy(mean, mean))
        distance = tf.reduce_sum((encoded - tf.stop_gradient(vectors)) ** 2, axis=-1)
        return tf.reduce_sum(unsure - spread + distance, axis=axes)

    def get_config(self):
        return {"dimension": self.dimension, "name": self.name}


@keras.saving.register_keras_serializable("vae_zoo")
class StochasticCodebook(CountingQuantizer):
    """Vectors, learned by their gradient, of which each place draws one: the nearer, the likelier.

    How much nearer is learned too: 1 / s^2.

    Args:
        size: C, codes.
        dimension: D.
    """

    def __init__(self, size, dimension, **kwargs):
        super().__init__(size, dimension, **kwargs)
        normal = keras.initializers.RandomNormal(stddev=1.0)
        self.vectors = self._add("vectors", (size, dimension), normal)
        # At first the codes' logits differ by about 1: squared distances do by about sqrt(8 D).
        narrow = keras.initializers.Constant(-0.5 * math.log(8.0 * dimension))
        self.log_precision = self._add("log_precision", (), narrow)

    def _add(self, name, shape, initializer):
        return self.add_weight(name=name, shape=shape, initializer=initializer, autocast=False)

    def logits(self, encoded):
        """Returns log p(code | e) up to a constant, for vectors [..., D]: [..., C]."""
        vectors = tf.convert_to_tensor(self.vectors)
        product = tf.tensordot(encoded, vectors, [[-1], [1]])
        near = 2.0 * product - tf.reduce_sum(vectors**2, axis=-1)
        return tf.exp(self.log_precision) * near

    def nearest(self, encoded):
        """Returns the codes of vectors [..., D], int32 [...]."""
        return tf.argmax(self.logits(encoded), axis=-1, output_type=tf.int32)

    def vectors_of(self, codes):
        """Returns the vectors of codes [...], float32 [..., D]."""
        return tf.gather(tf.convert_to_tensor(self.vectors), codes)

    def drawn(self, one_hots):
        """Returns the vectors of codes as one-hot vectors [..., C], with a gradient to these."""
        return tf.tensordot(one_hots, tf.convert_to_tensor(self.vectors), 1)

    def cost(self, encoded, vectors):
        """Returns zero for each image, [B]: the rate is what holds encodings to their codes."""
        del vectors
        return tf.zeros(tf.shape(encoded)[:1])

    def get_config(self):
        return {"size": self.size, "dimension": self.dimension, "name": self.name}
