"""Noise as a function of its key, never a state.

Two generators, both counter-based (Salmon et al., 2011, "Parallel random numbers: as easy as
1, 2, 3"):

* `normal` is portable: Threefry-2x32-20 and Box-Muller in int32 and float32 operations that also
  exist in TFLite, so that one row of seed gives one image on a server, a phone and in a browser.
* `standard_normal` with one key for the whole batch uses TensorFlow's Philox: fast, the same with
  and without XLA. It draws for the global batch and slices out this replica's rows, so that any
  number of workers sees the noise of one.
"""

import math

import numpy as np
import tensorflow as tf

from vae_zoo import replicas

EVALUATION_STEP = 2**31 - 1  # the key of a validation pass: no training step reaches it
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_STREAMS = 4096  # streams a step: layers of a hierarchy, codes of a sampler


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
    return philox_normal(seed, [num_samples], batch_size, shape, stream)


def philox_normal(seed, leading, batch_size, shape, stream=0):
    """Returns [*leading, B, *shape] normals of one key, drawn for the global batch and sliced."""
    count, index = replicas.replica()
    whole = [*leading, batch_size * count, *shape]
    size = tf.reduce_prod(whole)
    first, second = tf.unstack(_philox_words(seed, stream, [2, (size + 1) // 2]))
    draws = tf.reshape(_box_muller(first, second)[:size], whole)
    start = [0] * len(leading) + [index * batch_size] + [0] * len(shape)
    return draws if count == 1 else tf.slice(draws, start, [*leading, batch_size, *shape])


def philox_uniform(seed, batch_size, shape=(), stream=0):
    """Returns [B, *shape] uniforms in [0, 1) of one key, drawn for the global batch and sliced."""
    count, index = replicas.replica()
    draws = _unit_interval(_philox_words(seed, stream, [batch_size * count, *shape]))
    start = [index * batch_size] + [0] * len(shape)
    return draws if count == 1 else tf.slice(draws, start, [batch_size, *shape])


def shared_uniform(seed, shape, stream=0):
    """Returns uniforms in [0, 1) of one key, float32 [*shape], the same on every replica."""
    return _unit_interval(_philox_words(seed, stream, shape))


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


def _philox_words(seed, stream, shape):
    """Returns random words as int32: XLA makes other floats of a key, but the same integers."""
    key = _philox_key(seed, stream)
    return tf.random.stateless_uniform(shape, key, None, None, tf.int32, alg="philox")


def _philox_key(seed, stream):
    run, step = tf.unstack(tf.cast(seed, tf.int64))
    return tf.stack([run, step * _STREAMS + stream])
