"""Muon: steps of layers' kernels whose directions all count the same.

Keller Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; the scale by
the longer side is of Liu et al. 2025, "Muon is scalable for LLM training". Orthogonal in blocks of
columns, which cost a fifth of the whole matrix, and trained no worse.
"""

import math

import keras
import tensorflow as tf

from vae_zoo.training import optimizers

_BLOCK = 64  # columns that are made orthogonal together, at most
_ITERATIONS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan's: singular values of 0.01 and more go near to 1
_MOMENTUM = 0.95
_SIZE = 1.0  # root mean square of a square matrix's step, in learning rates
_TINY = 1e-7


@keras.saving.register_keras_serializable("vae_zoo")
class GuardedMuon(optimizers.GuardedAdam):
    """Muon for the kernels of layers, Adam for all else; guarded and averaged as GuardedAdam is.

    All else: biases, scales, codebooks, pseudo-inputs, and kernels with a single row or column. The
    same learning rate serves both. Arguments and errors are those of GuardedAdam.
    """

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._is_kernel = [
            variable.path.endswith("kernel") and _sides(variable.shape)[1] > 1
            for variable in variables
        ]

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        if not self._is_kernel[index]:
            super().update_step(gradient, variable, learning_rate)
            return
        dtype, shape = variable.dtype, variable.shape
        gradient = tf.cast(gradient, dtype)
        handle = self._momentums[index].value.handle
        momentum = tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype)
        momentum += (1 - _MOMENTUM) * (gradient - momentum)
        tf.raw_ops.AssignVariableOp(resource=handle, value=momentum)
        ahead = gradient + _MOMENTUM * (momentum - gradient)  # Nesterov's
        matrix = tf.cast(tf.reshape(ahead, (-1, shape[-1])), tf.float32)
        step = _SIZE * _sides(shape)[0] ** 0.5 * tf.reshape(orthogonal(matrix), shape)
        tf.raw_ops.AssignSubVariableOp(
            resource=variable.handle,
            value=tf.cast(learning_rate, dtype) * tf.cast(step, dtype),
        )


def _sides(shape):
    """Returns the longer and the shorter side of a kernel as a matrix [all others, last]."""
    last = shape[-1] if len(shape) else 1
    others = math.prod(shape) // last
    return max(others, last), min(others, last)


def orthogonal(matrix):
    """Returns a matrix with the directions of another one, its singular values near 1.

    The shorter side is parted into blocks, each of which is made orthogonal by itself: U V' of the
    singular value decomposition U S V', by a polynomial of it (Newton and Schulz's way), which is
    computed on the small matrices of the columns' inner products.

    Args:
        matrix: float32 [rows, columns].

    Returns:
        Float32 [rows, columns]; singular values of 0.01 of a block's norm and more come to lie
        between 0.65 and 1.25. A matrix of zeros stays one.
    """
    rows, columns = matrix.shape
    if columns > rows:
        return tf.transpose(orthogonal(tf.transpose(matrix)))
    count = next(n for n in range(-(-columns // _BLOCK), columns + 1) if columns % n == 0)
    blocks = tf.transpose(tf.reshape(matrix, (rows, count, columns // count)), (1, 0, 2))
    blocks /= tf.norm(blocks, axis=(1, 2), keepdims=True) + _TINY
    first, third, fifth = _QUINTIC
    product = tf.matmul(blocks, blocks, transpose_a=True)
    eye = tf.eye(columns // count)
    whole = eye
    for _ in range(_ITERATIONS):
        factor = first * eye + third * product + fifth * tf.matmul(product, product)
        whole = tf.matmul(whole, factor)
        product = tf.matmul(tf.matmul(factor, product), factor)
    blocks = tf.matmul(blocks, whole)
    return tf.reshape(tf.transpose(blocks, (1, 0, 2)), (rows, columns))
