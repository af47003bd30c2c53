"""A codebook: vectors that follow the means of what chooses them, and how they are used.

van den Oord, Vinyals and Kavukcuoglu (2017), "Neural discrete representation learning", appendix
A.1; codes out of use are reset as in Dhariwal et al. (2020), "Jukebox", section 3.1.
"""

from typing import NamedTuple

import keras
import tensorflow as tf
import tensorflow_probability as tfp
from keras import layers

from vae_zoo import replicas
from vae_zoo.probability import noise

tfd = tfp.distributions

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
        return {name: getattr(self, name) for name in ("size", "dimension", "decay", "name")}


class Codebooks(layers.Layer):
    """Several codebooks of one size; a subclass says what each of them is to code.

    Args:
        size: C, codes of each codebook.
        dimension: D.
        decay: of the running counts and means.
        num_quantizers: n, codebooks.
    """

    def __init__(self, size, dimension, decay, num_quantizers, **kwargs):
        super().__init__(dtype="float32", trainable=False, **kwargs)
        self.books = [Codebook(size, dimension, decay) for _ in range(num_quantizers)]
        self.built = True

    @property
    def counts(self):
        """How often each code is used, [n, C]."""
        return tf.stack([tf.convert_to_tensor(book.counts) for book in self.books])

    def bounded(self, encoded):
        """Returns what the nearest vectors are taken of: [..., D]."""
        return encoded

    def cost(self, encoded, vectors):
        """Returns the squared distance of the encodings to their vectors, summed, [B]."""
        return self.books[0].cost(encoded, vectors)

    def use_of(self, encoded, key):
        """Returns the Use of the codebooks, [n, ...] each; see Codebook.use_of."""
        uses = [book.use_of(part, key) for book, part in self._parts(encoded)]
        return Use(*(tf.stack(parts) for parts in zip(*uses, strict=True)))

    def follow(self, use, good=True):
        """Moves each codebook by its part of a batch's Use, where `good`."""
        for index, book in enumerate(self.books):
            book.follow(Use(*(part[index] for part in use)), good)

    def _parts(self, encoded):
        """Yields each codebook and the vectors that it is to code."""
        raise NotImplementedError

    def get_config(self):
        first = self.books[0].get_config()
        return {**{k: first[k] for k in ("size", "dimension", "decay")}, "name": self.name}


@keras.saving.register_keras_serializable("vae_zoo")
class ResidualCodebook(Codebooks):
    """Codebooks in a row, each of what those before it leave: a vector is the sum of one of each.

    Args:
        size: C, codes of each codebook.
        dimension: D.
        decay: of the running counts and means.
        num_quantizers: n, codebooks.

    Source: Zeghidour et al. (2021), "SoundStream: an end-to-end neural audio codec", algorithm 1.
    """

    def nearest(self, encoded):
        """Returns the codes of vectors [..., D], int32 [..., n]."""
        return tf.stack([book.nearest(left) for book, left in self._parts(encoded)], axis=-1)

    def vectors_of(self, codes):
        """Returns the vectors of codes [..., n], float32 [..., D]."""
        each = zip(self.books, tf.unstack(codes, axis=-1), strict=True)
        return sum(book.vectors_of(of_book) for book, of_book in each)

    def _parts(self, encoded):
        for book in self.books:
            yield book, encoded
            encoded = encoded - book.vectors_of(book.nearest(encoded))

    def get_config(self):
        return {**super().get_config(), "num_quantizers": len(self.books)}


@keras.saving.register_keras_serializable("vae_zoo")
class LevelCodebooks(Codebooks):
    """A codebook for each level of a hierarchy, whose places follow one another: [..., L, D].

    Args:
        size: C, codes of each codebook.
        dimension: D.
        decay: of the running counts and means.
        places: of each level; L is their sum.

    Source: Razavi, van den Oord and Vinyals (2019), "Generating diverse high-fidelity images with
    VQ-VAE-2", algorithm 1.
    """

    def __init__(self, size, dimension, decay, places, **kwargs):
        super().__init__(size, dimension, decay, len(places), **kwargs)
        self.places = tuple(places)

    def nearest(self, encoded):
        """Returns the codes of vectors [..., L, D], int32 [..., L]."""
        return tf.concat([book.nearest(part) for book, part in self._parts(encoded)], axis=-1)

    def vectors_of(self, codes):
        """Returns the vectors of codes [..., L], float32 [..., L, D]."""
        levels = zip(self.books, tf.split(codes, self.places, axis=-1), strict=True)
        return tf.concat([book.vectors_of(level) for book, level in levels], axis=-2)

    def _parts(self, encoded):
        yield from zip(self.books, tf.split(encoded, self.places, axis=-2), strict=True)

    def get_config(self):
        return {**super().get_config(), "places": self.places}


def straight_through(encoded, vectors):
    """Returns the vectors, with the gradient of the encoding."""
    return encoded + tf.stop_gradient(vectors - encoded)


def draw_one_hots(logits, normals, temperature):
    """Returns one-hot samples, with the gradient of the Gumbel-softmax.

    Args:
        logits: [..., C].
        normals: standard normals, broadcastable with the logits; their Gumbel noise is
            -log(-log Phi(n)).
        temperature: of the softmax.

    Source: Jang et al. (2017), eq. 1 and 2, and section 2.2.
    """
    perturbed = logits - tf.math.log(-tfd.Normal(0.0, 1.0).log_cdf(normals))
    hard = tf.one_hot(tf.argmax(perturbed, axis=-1), logits.shape[-1])
    return straight_through(tf.nn.softmax(perturbed / temperature), hard)


def perplexity(counts):
    """Returns exp(entropy) of how often each code is used: as many codes, evenly used, say.

    Args:
        counts: float32 [C]; or [n, C], of which it gives the mean.
    """
    share = counts / tf.maximum(tf.reduce_sum(counts, axis=-1, keepdims=True), 1e-12)
    return tf.reduce_mean(tf.exp(-tf.reduce_sum(tf.math.xlogy(share, share), axis=-1)))


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
