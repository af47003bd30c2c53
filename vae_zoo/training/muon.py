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

    def _with_directions(self, gradients, variables):
        """Returns each gradient; of a kernel (new momentum, direction of its step as a matrix).

        All kernels' directions are found together, which costs less than one after the other.
        """
        momentums, matrices = {}, []
        for place, variable in enumerate(variables):
            index = self._get_variable_index(variable)
            if self._is_kernel[index]:
                momentum = tf.convert_to_tensor(self._momentums[index].value)
                gradient = tf.cast(gradients[place], momentum.dtype)
                momentum += (1 - _MOMENTUM) * (gradient - momentum)
                ahead = gradient + _MOMENTUM * (momentum - gradient)  # Nesterov's
                momentums[place] = momentum
                matrices.append(tf.cast(tf.reshape(ahead, (-1, variable.shape[-1])), tf.float32))
        made = list(gradients)
        for (place, momentum), direction in zip(
            momentums.items(), orthogonal(matrices), strict=True
        ):
            made[place] = (momentum, direction)
        return made

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        if not self._is_kernel[index]:
            super().update_step(gradient, variable, learning_rate)
            return
        momentum, direction = gradient
        handle = self._momentums[index].value.handle
        tf.raw_ops.AssignVariableOp(resource=handle, value=momentum)
        size = tf.cast(learning_rate, tf.float32) * (_SIZE * _sides(variable.shape)[0] ** 0.5)
        step = tf.cast(size * tf.reshape(direction, variable.shape), variable.dtype)
        tf.raw_ops.AssignSubVariableOp(resource=variable.handle, value=step)


def _sides(shape):
    """Returns the longer and the shorter side of a kernel as a matrix [all others, last]."""
    last = shape[-1] if len(shape) else 1
    others = math.prod(shape) // last
    return max(others, last), min(others, last)


def orthogonal(matrices):
    """Returns matrices with the directions of others, their singular values near 1.

    The shorter side of each is parted into blocks, each of which is made orthogonal by itself: U V'
    of the singular value decomposition U S V', by a polynomial of it (Newton and Schulz's way). It
    is computed on the small matrices of the columns' inner products, all those of one size at once.

    Args:
        matrices: list of float32 [rows, columns], of any sizes.

    Returns:
        A list of float32 [rows, columns]; singular values of 0.01 of a block's norm and more come
        to lie between 0.65 and 1.25. A matrix of zeros stays one.
    """
    blocks = [_blocks(matrix) for matrix in matrices]
    products = [tf.matmul(each, each, transpose_a=True) for each in blocks]
    wholes = [None] * len(blocks)
    for size in sorted({product.shape[-1] for product in products}):
        places = [place for place, each in enumerate(products) if each.shape[-1] == size]
        whole = _polynomial(tf.concat([products[place] for place in places], axis=0))
        parts = tf.split(whole, [products[place].shape[0] for place in places])
        for place, part in zip(places, parts, strict=True):
            wholes[place] = part
    made = [tf.matmul(*pair) for pair in zip(blocks, wholes, strict=True)]
    return [_joined(*pair) for pair in zip(made, matrices, strict=True)]


def _blocks(matrix):
    """Returns the blocks of a matrix's shorter side, [blocks, longer side, 64 at most]."""
    long, short = _sides(matrix.shape)
    count = next(n for n in range(-(-short // _BLOCK), short + 1) if short % n == 0)
    if matrix.shape[0] == long:
        return tf.transpose(tf.reshape(matrix, (long, count, short // count)), (1, 0, 2))
    return tf.transpose(tf.reshape(matrix, (count, short // count, long)), (0, 2, 1))


def _joined(blocks, matrix):
    """Returns the matrix, shaped as another one, that has these blocks; see `_blocks`."""
    tall = matrix.shape[0] == _sides(matrix.shape)[0]
    return tf.reshape(tf.transpose(blocks, (1, 0, 2) if tall else (0, 2, 1)), matrix.shape)


def _polynomial(products):
    """Returns what makes blocks orthogonal, multiplied from the right.

    Args:
        products: of each block's columns with each other, [blocks, columns, columns].

    Returns:
        Float32 [blocks, columns, columns].
    """
    first, third, fifth = _QUINTIC
    squares = tf.linalg.trace(products)[:, tf.newaxis, tf.newaxis] + _TINY**2
    products /= squares
    eye = tf.eye(products.shape[-1])
    whole = tf.math.rsqrt(squares) * eye
    for _ in range(_ITERATIONS):
        factor = first * eye + third * products + fifth * tf.matmul(products, products)
        whole = tf.matmul(whole, factor)
        products = tf.matmul(tf.matmul(factor, products), factor)
    return whole
