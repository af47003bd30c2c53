"""The classifier behind completeness: which class an image is of, and how surely.

A support vector machine on principal components is quick, and right on digits, which lie in the
middle of their images. Where it is not right enough (colours and places that change), a small
convolutional network takes its place. Both are bounded in time and memory.
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from vae_zoo import replicas
from vae_zoo.probability import noise

FITTED = 10_000  # training images that are taken, at most
_SIDE = 32  # pixels; larger images are made smaller
_BLOCK = 500  # images made smaller at once
_COMPONENTS = 40
FOLDS = 3  # of the cross-validation behind the probabilities
_TRIED = 4_000  # images, at most, that show whether the quick machine will do
_GOOD = 0.9  # of held-out training images: the quick machine will do
_NO_CLASS = 10  # training images for each image of a kind that is none
_BATCH = 64
_STEPS = (400, 800)  # of the network's training, least and most
_PASSES = 25  # over the images, within those bounds
_WIDTHS = (16, 32, 64)
_RATE = 3e-3
_TURN, _ZOOM, _SHIFT, _GAIN = 0.25, 0.15, 0.12, 0.2  # of training images, at most


class Classifier(NamedTuple):
    """A function images -> probability of each class, float [N, classes]; see fit_classifier.

    Attributes:
        probabilities: that function.
        features: images -> what the probabilities are computed of, float [N, F]: the margins of
            each two classes, or the last hidden layer.
        kind: of the features, in words.
    """

    probabilities: Callable
    features: Callable
    kind: str

    def __call__(self, images):
        """Returns the probability of each class, float [N, classes]."""
        return self.probabilities(images)


def fit_classifier(images, labels, seed=0):
    """Returns a Classifier of the images.

    It knows one class more than the data: images that are none (scrambled ones, noise, plain grey,
    the mean image; for the network blends of two classes too), so that it is sure of no such thing.

    Args:
        images: uint8, or float in [0, 1], [N, H, W, C].
        labels: int [N]; the classes are their sorted values.
        seed: of the images that are none, of the network's weights and of its batches.
    """
    images, labels = shrunk(images[:FITTED]), np.unique(labels[:FITTED], return_inverse=True)[1]
    order = noise.generator(seed).permutation(len(images))  # folds of neighbours differ
    images, labels = images[order], labels[order]
    none = _no_class(images, seed)
    if _quick_is_good(images, labels, seed):
        return _fit_machine(images, labels, none, seed)
    none = np.concatenate([none, _blends(images, labels, 2 * len(images) // _NO_CLASS, seed)])
    return _fit_network(images, labels, none, seed)


def shrunk(images):
    """Returns images as float32 in [0, 1], their longer side at most 32 pixels."""
    import tensorflow as tf

    height, width = images.shape[1:3]
    factor = min(1.0, _SIDE / max(height, width))
    size = [max(1, round(height * factor)), max(1, round(width * factor))]

    def small(block):
        block = np.asarray(block)
        if block.dtype == np.uint8:
            block = block / np.float32(255)
        block = block.astype(np.float32)
        return block if factor == 1 else tf.image.resize(block, size, method="area").numpy()

    starts = range(0, max(1, len(images)), _BLOCK)
    return np.concatenate([small(images[start : start + _BLOCK]) for start in starts])


def _no_class(images, seed):
    """Returns images that are of no class, [n, H, W, C].

    Each pixel of a scrambled image comes from another training image.
    """
    rng = noise.generator(seed)
    flat = images.reshape(len(images), -1)
    count, pixels = len(flat) // _NO_CLASS + FOLDS, flat.shape[1]
    rows = rng.integers(0, len(flat), (count, pixels))
    grey = rng.random((count, 1), np.float32)
    kinds = [
        flat[rows, np.arange(pixels)],
        rng.random((count, pixels), np.float32),
        (rng.random((count, pixels), np.float32) < grey).astype(np.float32),
        np.repeat(grey, pixels, axis=1),
        flat.mean(0) * (0.5 + grey),
    ]
    return np.concatenate(kinds).reshape(-1, *images.shape[1:])


def _blends(images, labels, count, seed):
    """Returns means of two images of two classes each, [count, H, W, C]."""
    rng = noise.generator(seed)
    first = rng.integers(0, len(images), count)
    second = [rng.choice(np.flatnonzero(labels != labels[row])) for row in first]
    return 0.5 * (images[first] + images[second])


def _quick_is_good(images, labels, seed):
    """Returns whether the quick machine is right on 90% of a fifth of some images, held out."""
    from sklearn.svm import SVC

    order = noise.generator(seed).permutation(len(images))[:_TRIED]
    fitted, held_out = order[len(order) // 5 :], order[: len(order) // 5]
    if not len(held_out) or len(np.unique(labels[fitted])) < 2:
        return False
    components = principal_components(images[fitted], seed)
    machine = SVC(C=10).fit(components(images[fitted]), labels[fitted])
    return machine.score(components(images[held_out]), labels[held_out]) >= _GOOD


def principal_components(images, seed):
    """Returns a function images -> their principal components, 40 at most, fitted to images.

    Args:
        images: [N, H, W, C]; what the function takes is of the same values.
        seed: of the fit.
    """
    from sklearn.decomposition import PCA

    flat = images.reshape(len(images), -1)
    pca = PCA(min(_COMPONENTS, *flat.shape), random_state=seed % 2**32).fit(flat)
    return lambda some: pca.transform(some.reshape(len(some), -1))


def _fit_machine(images, labels, none, seed):
    """Returns the quick one: its scores are made probabilities by cross-validation."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC

    components = principal_components(images, seed)
    features = components(np.concatenate([images, none]))
    label = np.concatenate([labels, np.full(len(none), labels.max() + 1)])
    machine = CalibratedClassifierCV(SVC(C=10), ensemble=False, cv=FOLDS).fit(features, label)
    margins = copy.copy(machine.calibrated_classifiers_[0].estimator)
    margins.set_params(decision_function_shape="ovo")
    return Classifier(
        lambda some: machine.predict_proba(components(shrunk(some)))[:, :-1],
        lambda some: margins.decision_function(components(shrunk(some))),
        "margins of a support vector machine",
    )


def _fit_network(images, labels, none, seed):
    """Returns the convolutional one, trained on images that are turned, moved and tinted a bit."""
    import keras

    network = _network(_described(images[:1]).shape[1:], int(labels.max()) + 2, seed)
    label = np.concatenate([labels, np.full(len(none), labels.max() + 1)])
    steps = int(np.clip(_PASSES * len(label) // _BATCH, *_STEPS))
    network.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(_RATE, steps)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=replicas.on_gpu(),
    )
    batches = _batches(np.concatenate([images, none]), label, steps, seed)
    network.fit(batches, verbose=0, shuffle=False)

    hidden = keras.Model(network.inputs, network.layers[-2].output)  # without the last layer
    hidden.jit_compile = network.jit_compile

    def outputs(model, some):
        return model.predict(_described(shrunk(some)), batch_size=_BLOCK, verbose=0)

    def probabilities(some):
        return keras.ops.convert_to_numpy(keras.ops.softmax(outputs(network, some)))[:, :-1]

    return Classifier(
        probabilities, lambda some: outputs(hidden, some), "last hidden layer of a network"
    )


def _network(shape, classes, seed):
    from keras import Input, Sequential, initializers, layers

    def weights(place):
        return initializers.HeNormal(seed=seed + place)

    network = Sequential([Input(shape)])
    for level, width in enumerate(_WIDTHS):
        for place in (2 * level, 2 * level + 1):
            network.add(
                layers.Conv2D(
                    width, 3, padding="same", use_bias=False, kernel_initializer=weights(place)
                )
            )
            network.add(layers.BatchNormalization(momentum=0.9))
            network.add(layers.ReLU())
        if min(network.output_shape[1:3]) > 3:
            network.add(layers.MaxPooling2D())
    network.add(layers.GlobalAveragePooling2D())
    network.add(layers.Dropout(0.2, seed=seed))
    network.add(layers.Dense(classes, kernel_initializer=weights(len(_WIDTHS) * 2)))
    return network


def _batches(images, labels, steps, seed):
    """Returns `steps` batches, functions of the seed and the step alone."""
    import tensorflow as tf

    rng = noise.generator(seed)
    passes = -(-steps * _BATCH // len(images))
    order = np.concatenate([rng.permutation(len(images)) for _ in range(passes)])
    order = tf.constant(order[: steps * _BATCH].reshape(steps, _BATCH))
    images, labels = tf.constant(images), tf.constant(labels)

    def batch(step, rows):
        changed = _changed(tf.gather(images, rows), tf.stack([tf.cast(seed, tf.int64), step]))
        return _described(changed), tf.gather(labels, rows)

    data = tf.data.Dataset.from_tensor_slices(order).enumerate()
    return data.map(batch, num_parallel_calls=2, deterministic=True).prefetch(4)


def _changed(image, key):
    """Returns images turned, zoomed, moved and tinted at random, each in its own way."""
    import tensorflow as tf

    size, channels = tf.shape(image), image.shape[-1]
    height, width = tf.cast(size[1], tf.float32), tf.cast(size[2], tf.float32)
    chance = tf.random.stateless_uniform([size[0], 4 + channels], key, -1, 1)
    angle, zoom = _TURN * chance[:, 0], 1 + _ZOOM * chance[:, 1]
    cosine, sine = zoom * tf.cos(angle), zoom * tf.sin(angle)
    x, y = (width - 1) / 2, (height - 1) / 2  # the middle stays, but for the shift
    right = x - cosine * x + sine * y + _SHIFT * width * chance[:, 2]
    down = y - sine * x - cosine * y + _SHIFT * height * chance[:, 3]
    none = tf.zeros_like(right)
    matrix = tf.stack([cosine, -sine, right, sine, cosine, down, none, none], axis=1)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=image,
        transforms=matrix,
        output_shape=size[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    gain = 1 + _GAIN * chance[:, tf.newaxis, tf.newaxis, 4:]
    tinted = tf.clip_by_value(moved * gain, 0, 1) if channels > 1 else moved
    return tf.ensure_shape(tinted, [None, *image.shape[1:]])


def _described(image):
    """Returns what the network sees: the image, and how far each colour is from the mean one.

    The distance, as a share of the largest, shows a shape whatever its colour: [N, H, W, C + 1].
    """
    import tensorflow as tf

    image = tf.convert_to_tensor(image, tf.float32)
    mean = tf.reduce_mean(image, axis=(1, 2), keepdims=True)
    far = tf.sqrt(tf.reduce_mean(tf.square(image - mean), axis=3, keepdims=True) + 1e-8)
    most = tf.reduce_max(far, axis=(1, 2, 3), keepdims=True)
    return tf.concat([image - 0.5, far / (most + 0.05)], axis=3)
