"""How much arithmetic an image takes, and how much the machine can do."""

import time

import tensorflow as tf

PEAK_SIZES = (1024, 2048, 4096)


def training_flops(model, batch_size=128):
    """Returns the FLOPs of a training step, an image: forward and backward, from the graph.

    Matrix products and convolutions with their gradients; a multiply-add counts as two. The
    optimizer's arithmetic, which does not grow with the batch, is left out.

    Args:
        model: a VAE.
        batch_size: of the step.
    """
    image = tf.TensorSpec([batch_size, *model.image_shape], tf.float32)

    @tf.function
    def step(image):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model.terms({"image": image}, seed=(0, 0)).loss)
        return tape.gradient(loss, [variable.value for variable in model.trainable_variables])

    return _matrix_flops(step.get_concrete_function(image).graph) / batch_size


def decoding_flops(model, batch_size=128):
    """Returns the FLOPs of decoding one z, counted as in training_flops."""
    z = tf.TensorSpec([batch_size, model.latent_size], tf.float32)
    decode = tf.function(lambda z: model.decode(z))
    return _matrix_flops(decode.get_concrete_function(z).graph) / batch_size


def _matrix_flops(graph):
    return sum(
        _COUNTED[operation.type](operation)
        for operation in graph.get_operations()
        if operation.type in _COUNTED
    )


def _matmul(operation):
    rows = operation.inputs[0].shape[0 if operation.get_attr("transpose_a") else 1]
    return 2 * operation.outputs[0].shape.num_elements() * rows


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
    "MatMul": _matmul,
    "Conv2D": _conv,
    "Conv2DBackpropInput": _conv_input_gradient,
    "Conv2DBackpropFilter": _conv_kernel_gradient,
}


def peak(dtype="float32", seconds=1.0):
    """Returns the FLOPs a second of TensorFlow's own matrix product, the best of three sizes."""
    return max(_matmul_speed(size, dtype, seconds) for size in PEAK_SIZES)


def _matmul_speed(size, dtype, seconds):
    matrix = tf.cast(tf.random.stateless_normal([size, size], (0, size)), dtype)
    product = tf.function(lambda a: tf.reduce_sum(tf.cast(tf.matmul(a, a), tf.float32)))
    product(matrix).numpy()
    best, until = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        product(matrix).numpy()
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best
