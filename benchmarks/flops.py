"""How much arithmetic an image takes, and how much the machine can do."""

import math
import time

import tensorflow as tf

from vae_zoo.metrics import latent_space

PEAK_SIZES = (1024, 2048, 4096)
_CALL_SECONDS = 0.1


def training_flops(model, batch_size=128):
    """Returns the FLOPs of a training step, an image: forward and backward, from the graph.

    Matrix products and convolutions with their gradients; a multiply-add counts as two. The
    optimizer's arithmetic, which does not grow with the batch, is left out.

    Args:
        model: a VAE.
        batch_size: of the step.
    """
    if not model.compiled:
        model.compile()
        model.optimizer.build(model.trainable_variables)
    inputs = {"image": tf.TensorSpec([batch_size, *model.image_shape], tf.float32)}
    if model.needs_labels:
        inputs["label"] = tf.TensorSpec([batch_size], tf.int32)
    step = tf.function(lambda inputs: model.train_step(inputs))
    return _matrix_flops(step.get_concrete_function(inputs).graph) / batch_size


def decoding_flops(model, batch_size=128):
    """Returns the FLOPs of decoding one z, counted as in training_flops."""
    z = tf.TensorSpec([batch_size, model.latent_size], tf.float32)
    label = latent_space.cycle_labels(model, batch_size)
    decode = tf.function(lambda z: model.decode(z, label))
    return _matrix_flops(decode.get_concrete_function(z).graph) / batch_size


def _matrix_flops(graph):
    return sum(
        _COUNTED[operation.type](operation)
        for operation in graph.get_operations()
        # What nothing takes is not computed: the gradient of the images.
        if operation.type in _COUNTED and any(out.consumers() for out in operation.outputs)
    )


def _product(operation):
    flipped = "transpose_a" if operation.type == "MatMul" else "adj_x"
    inner = operation.inputs[0].shape[-2 if operation.get_attr(flipped) else -1]
    return 2 * operation.outputs[0].shape.num_elements() * inner


def _conv(operation):
    kernel = operation.inputs[1].shape
    return 2 * operation.outputs[0].shape.num_elements() * kernel[:3].num_elements()


def _conv_input_gradient(operation):
    kernel, gradient = operation.inputs[1].shape, operation.inputs[2].shape
    return 2 * gradient.num_elements() * kernel[:3].num_elements()


def _conv_kernel_gradient(operation):
    kernel, gradient = operation.outputs[0].shape, operation.inputs[2].shape
    return 2 * gradient.num_elements() * kernel[:3].num_elements()


_COUNTED = {
    "MatMul": _product,
    "BatchMatMulV2": _product,
    "Conv2D": _conv,
    "Conv2DBackpropInput": _conv_input_gradient,
    "Conv2DBackpropFilter": _conv_kernel_gradient,
}


def matmul_work(dtype="float32", seconds=1.0):
    """Returns a function that multiplies matrices of the fastest size; it returns the FLOPs.

    Its speed is the peak: that of TensorFlow's own matrix product.
    """
    speeds = {size: _matmul_speed(size, dtype, seconds) for size in PEAK_SIZES}
    size = max(speeds, key=speeds.get)
    # So many in a call that what it costs to call does not count, on a GPU either.
    return _products(size, dtype, math.ceil(_CALL_SECONDS * speeds[size] / (2 * size**3)))


def _matmul_speed(size, dtype, seconds):
    work = _products(size, dtype, 1)
    work()
    best, until = 0.0, time.perf_counter() + seconds
    while not best or time.perf_counter() < until:
        start = time.perf_counter()
        best = max(best, work() / (time.perf_counter() - start))
    return best


def _products(size, dtype, count):
    """Returns a function that multiplies a matrix `count` times by itself; see matmul_work."""
    # The deviation keeps the entries' size, whatever the count.
    matrix = tf.random.stateless_normal([size, size], (0, size), stddev=size**-0.5)
    matrix = tf.cast(matrix, dtype)

    @tf.function
    def power():
        product = matrix
        for _ in tf.range(count):
            product = tf.matmul(product, matrix)
        return product[0, 0]

    def work():
        power().numpy()
        return 2 * count * size**3

    return work
