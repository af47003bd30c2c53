"""Noise as a function of its key, never a state.

Two generators, both counter-based (Salmon et al., 2011, "Parallel random numbers: as easy as
1, 2, 3"):

* `normal` is portable: Threefry-2x32-20 and Box-Muller in int32 and float32 operations that also
  exist in TFLite, so that one row of seed gives one image on a server, a phone and in a browser.
* `standard_normal` with one key for the whole batch uses TensorFlow's Philox: fast, the same with
  and without XLA. The counter says which image of the global batch a number is for, so that each
  replica draws its own rows alone, and any number of workers sees the noise of one.
"""

import math

import numpy as np
import tensorflow as tf

from vae_zoo import replicas

EVALUATION_STEP = 2**31 - 1  # the key of a validation pass: no training step reaches it
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_STREAMS = 4096  # streams a step: layers of a hierarchy, codes of a sampler
_OF_DATA = 2**60  # where the uses begin that are no model's
_PHILOX = 1  # TensorFlow's number of the algorithm


def generator(seed):
    """Returns NumPy's generator of an int32 seed, below 0 too."""
    return np.random.default_rng(seed % 2**32)


def rows(seed, count, start=0):
    """Returns the seed rows of a run of images: row i is [seed, start + i].

    Args:
        seed: int32 run seed.
        count: number of rows.
        start: index of the first row.

    Returns:
        int32 [count, 2].
    """
    return np.stack([np.full(count, seed), start + np.arange(count)], axis=1).astype(np.int32)


def threefry2x32(key, counter):
    """Returns the 64 random bits of Threefry-2x32-20 for each (key, counter).

    Unsigned words travel in int32: addition and multiplication wrap, and a left shift is a
    multiplication, because TFLite has no unsigned arithmetic and no left shift.

    Args:
        key: pair of int32 tensors, broadcastable with the counter.
        counter: pair of int32 tensors.

    Returns:
        Pair of int32 tensors.

    Source: Salmon et al. (2011), section 4.3; known answers in Random123's kat_vectors.
    """
    schedule = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    first, second = counter[0] + schedule[0], counter[1] + schedule[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            first = first + second
            second = _rotate_left(second, rotation) ^ first
        first = first + schedule[(group + 1) % 3]
        second = second + schedule[(group + 2) % 3] + (group + 1)
    return first, second


def _rotate_left(word, bits):
    return (word * (1 << bits)) ^ _shift_right(word, 32 - bits)


def _shift_right(word, bits):
    unsigned = tf.bitcast(word, tf.uint32)
    return tf.bitcast(tf.bitwise.right_shift(unsigned, tf.constant(bits, tf.uint32)), tf.int32)


def _random_words(seed, pairs, stream):
    seed = tf.convert_to_tensor(seed, tf.int32)
    index = tf.range(pairs, dtype=tf.int32)[tf.newaxis]  # [1, pairs]
    zero = tf.zeros_like(seed[:, :1])  # [N, 1], broadcasts the counter to every row
    return threefry2x32((seed[:, :1], seed[:, 1:]), (index + zero, zero + stream))


def _unit_interval(words):
    return tf.cast(_shift_right(words, 8), tf.float32) * 2.0**-24  # [0, 1)


def uniform(seed, shape, stream=0):
    """Returns portable uniforms in [0, 1), one row of seed for each result.

    Args:
        seed: int32 [N, 2].
        shape: static shape of one result.
        stream: int32; results of different streams are independent.

    Returns:
        float32 [N, *shape].
    """
    size = math.prod(shape)
    words = _random_words(seed, (size + 1) // 2, stream)
    return tf.reshape(_unit_interval(tf.concat(words, axis=1))[:, :size], [-1, *shape])


def normal(seed, shape, stream=0):
    """Returns portable standard normals, one row of seed for each result.

    Args:
        seed: int32 [N, 2].
        shape: static shape of one result.
        stream: int32; results of different streams (layers, steps) are independent.

    Returns:
        float32 [N, *shape].

    Source: Box and Muller (1958) on Threefry's bits; |normal| is at most 5.77.
    """
    size = math.prod(shape)
    first, second = _random_words(seed, (size + 1) // 2, stream)
    return tf.reshape(_box_muller(first, second)[:, :size], [-1, *shape])


def _box_muller(first, second):
    """Returns the normals of pairs of words, [..., n] each: [..., 2 n]."""
    radius = tf.sqrt(-2.0 * tf.math.log(1.0 - _unit_interval(first)))
    angle = (2.0 * np.pi) * _unit_interval(second)
    return tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=-1)


def standard_normal(seed, num_samples, batch_size, shape, stream=0):
    """Returns the noise of a reparameterised sample.

    Args:
        seed: int32 [2], one key for the whole (global) batch; or int32 [batch_size, 2], one key
            for each image, portable and independent of the batch.
        num_samples: K, samples an image.
        batch_size: B, images on this replica.
        shape: static shape of one latent variable.
        stream: the layer; layers are independent.

    Returns:
        float32 [K, B, *shape].
    """
    seed = tf.convert_to_tensor(seed, tf.int32)
    if seed.shape.rank == 2:
        draws = normal(seed, [num_samples, *shape], stream)  # [B, K, ...]
        return tf.transpose(draws, [1, 0, *range(2, 2 + len(shape))])
    return philox_normal(seed, num_samples, batch_size, shape, stream)


def philox_normal(seed, num_samples, batch_size, shape, stream=0):
    """Returns [K, B, *shape] normals of one key: this replica's rows of the global batch."""
    size = num_samples * math.prod(shape)
    _, index = replicas.replica()
    pairs = words(*_key(seed, stream), batch_size, size, index * batch_size)
    halves = tf.unstack(tf.reshape(pairs, [batch_size, 2, pairs.shape[1] // 2]), axis=1)
    draws = tf.reshape(_box_muller(*halves)[:, :size], [batch_size, num_samples, *shape])
    return tf.transpose(draws, [1, 0, *range(2, 2 + len(shape))])


def philox_uniform(seed, batch_size, shape=(), stream=0, whole=False):
    """Returns uniforms in [0, 1) of one key, [B, *shape]: this replica's rows of the whole batch.

    Args:
        seed: int32 [2].
        batch_size: B, images on this replica.
        shape: static shape of what an image gets.
        stream: the use that is made of them; streams are independent.
        whole: True: the rows of all replicas, on each of them.
    """
    count, index = replicas.replica()
    rows, first = (batch_size * count, 0) if whole else (batch_size, batch_size * index)
    draws = uniform_rows(*_key(seed, stream), rows, math.prod(shape), first)
    return tf.reshape(draws, [rows, *shape])


def shared_uniform(seed, shape, stream=0):
    """Returns uniforms in [0, 1) of one key, float32 [*shape], the same on every replica."""
    return tf.reshape(uniform_rows(*_key(seed, stream), 1, math.prod(shape)), shape)


def spread_uniform(seed, num_samples, batch_size, stream=0):
    """Returns numbers uniform on [0, 1), evenly spread over an image's samples, and over a batch.

    One draw shifts an even grid over the samples of the global batch, so that means over them vary
    little and yet each number is uniform by itself.

    Args:
        seed: int32 [2], one key for the whole (global) batch; or int32 [batch_size, 2], one key
            for each image, whose grids are then independent.
        num_samples: K, numbers an image, 1 / K apart.
        batch_size: B, images on this replica.
        stream: the use that is made of them; streams are independent.

    Returns:
        float32 [K, B].

    Source: Kingma et al. (2021), appendix I.1.
    """
    seed = tf.convert_to_tensor(seed, tf.int32)
    apart = tf.range(num_samples, dtype=tf.float32)[:, tf.newaxis] / num_samples  # [K, 1]
    if seed.shape.rank == 2:
        return tf.math.floormod(tf.transpose(uniform(seed, [1], stream)) + apart, 1.0)
    count, index = replicas.replica()
    row = tf.range(batch_size) + index * batch_size
    grid = tf.cast(row, tf.float32) / tf.cast(batch_size * count, tf.float32)  # [B]
    shift = shared_uniform(seed, [], stream)
    return tf.math.floormod(shift + apart + grid / num_samples, 1.0)


def words(seed, use, rows, size, first=0, dtype=tf.int32):
    """Returns the random words of a run of images, each a function of (seed, use, image, place).

    Philox4x32-10: the seed is its key, the use the high half of its counter. The low half counts
    the places: an image takes as many numbers of 128 bits as its words fill.

    Args:
        seed: int64 scalar, of the run.
        use: int64 scalar; what different uses get is independent.
        rows: B, images.
        size: words an image, static.
        first: number of the first image.
        dtype: tf.int32 or tf.uint64. (XLA makes other floats of a counter, but the same integers.)

    Returns:
        [B, size, rounded up to whole numbers of 128 bits].
    """
    together = 16 // dtype.size
    numbers = -(-size // together)
    counter = tf.stack([tf.cast(first, tf.int64) * numbers, tf.cast(use, tf.int64)])
    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[rows, numbers * together],
        key=tf.bitcast(tf.reshape(tf.cast(seed, tf.int64), [1]), tf.uint64),
        counter=tf.bitcast(counter, tf.uint64),
        alg=_PHILOX,
        dtype=dtype,
    )


def uniform_rows(seed, use, rows, size, first=0):
    """Returns uniforms in [0, 1), float32 [B, size], of the rows that `words` gives."""
    return _unit_interval(words(seed, use, rows, size, first)[:, :size])


def data_use(step, number):
    """Returns the use of words that make a training batch: those of no model's noise.

    Args:
        step: int64 tensor, of the batch.
        number: below 16, of what is drawn for it.
    """
    return _OF_DATA + 16 * step + number


def _key(seed, stream):
    """Returns the (seed, use) of the words of a noise key, int32 [2], and a stream."""
    run, step = tf.unstack(tf.cast(seed, tf.int64))
    return run, step * _STREAMS + stream
