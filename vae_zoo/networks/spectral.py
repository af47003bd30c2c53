"""Spectral norms of weights: their largest singular values, with a gradient.

Yoshida and Miyato (2017), "Spectral norm regularization for improving the generalizability of deep
learning", algorithm 1; of NVAE's kernels: Vahdat and Kautz (2020), section 3.2.
"""

import numpy as np
import tensorflow as tf

_SQUARINGS = 5  # of M'M: 32 steps of power iteration


def spectral_norms(kernels):
    """Returns the largest singular values of kernels, float32 [number of kernels].

    They come from power iteration from a fixed start, so they are a little too small; the gradient
    goes to the kernels through u' M v alone. The order is not that of the kernels.

    Args:
        kernels: tensors [..., outputs]; all axes but the last are one side of the matrix M.
    """
    stacks = {}
    for kernel in kernels:
        matrix = tf.cast(tf.reshape(kernel, [-1, kernel.shape[-1]]), tf.float32)
        stacks.setdefault(tuple(matrix.shape), []).append(matrix)
    return tf.concat([_largest_values(tf.stack(stack)) for stack in stacks.values()], axis=0)


def _largest_values(matrices):
    """Returns the largest singular values [N] of matrices [N, R, C].

    The matrix of the iteration is squared: few operations stand for many of its steps.
    """
    fixed = tf.stop_gradient(matrices)
    power = tf.matmul(fixed, fixed, transpose_a=True)
    for _ in range(_SQUARINGS):
        power = tf.math.l2_normalize(power, axis=(1, 2))
        power = tf.matmul(power, power)
    start = np.random.default_rng(0).normal(size=(1, matrices.shape[-1], 1)).astype(np.float32)
    right = tf.math.l2_normalize(tf.reduce_sum(power * start, axis=1), axis=1)[..., tf.newaxis]
    left = tf.math.l2_normalize(fixed @ right, axis=1)
    return tf.reduce_sum(left * (matrices @ right), axis=(1, 2))
