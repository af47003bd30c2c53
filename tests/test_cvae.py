"""The conditional VAE: its samples are of the class that was asked for."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

import vae_zoo
from vae_zoo import datasets, training
from vae_zoo.metrics import sample_quality
from vae_zoo.probability import noise


def trained(splits, epochs, directory, **arguments):
    """Returns a cvae, trained on the data."""
    model = vae_zoo.create_model(
        "cvae", image_shape=splits.image_shape, num_classes=splits.num_classes, **arguments
    )
    settings = training.Settings(epochs=epochs, learning_rate=2e-3, ema=0.999)
    training.compile_model(model, settings, splits.steps_per_epoch)
    training.train(model, splits, directory, settings)
    return model


def test_samples_of_digits_are_of_their_class(digits, tmp_path):
    figures = sample_quality.completeness(
        trained(digits, 25, tmp_path, hidden=(16, 32)),
        digits.raw("train") / np.float32(255),
        digits.labels("train"),
        digits.raw("test") / np.float32(255),
        digits.labels("test"),
        num=1000,
    )
    assert figures["label_agreement"] > 0.9 < figures["test_accuracy"]


@pytest.fixture(scope="module")
def mnist():
    return datasets.load("mnist", batch_size=128)


@pytest.fixture(scope="module")
def mnist_classifier(mnist):
    """A convolutional classifier of real MNIST, right on 98.5% of its test images or more."""
    layers = keras.layers
    classifier = keras.Sequential(
        [
            layers.Input(mnist.image_shape),
            layers.RandomTranslation(0.07, 0.07, seed=0),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(mnist.num_classes),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile("adam", loss, metrics=["accuracy"])
    images, labels = mnist.raw("train") / np.float32(255), mnist.labels("train")
    classifier.fit(images, labels, batch_size=128, epochs=4, verbose=0)
    test = mnist.raw("test") / np.float32(255), mnist.labels("test")
    assert classifier.evaluate(*test, verbose=0)[1] >= 0.985
    return classifier


@pytest.mark.slow
@pytest.mark.skipif(
    not os.path.isdir(os.path.join(os.environ.get("TFDS_DATA_DIR", ""), "mnist")),
    reason="needs MNIST, prepared in TFDS_DATA_DIR",
)
@pytest.mark.parametrize("prior", ["standard", "conditional"])
def test_samples_of_mnist_are_of_their_class(prior, mnist, mnist_classifier, tmp_path):
    model = trained(mnist, 8, tmp_path, prior=prior, warmup_steps=1500)
    label = np.arange(2000, dtype=np.int32) % mnist.num_classes
    found = mnist_classifier.predict(model.generate(0, label), verbose=0).argmax(1)
    assert np.mean(found == label) >= 0.95
    # A decoder that ignores z would draw each class's mean, the same each time.
    batch = next(iter(mnist.test))
    rate = model.terms(batch, seed=(0, 0)).rate.numpy().sum(-1).mean()
    assert rate > 5


def test_label_decides_the_prior_where_it_is_learned(tiny):
    model = tiny("cvae", prior="conditional")
    assert model.analytic_kl
    np.testing.assert_allclose(model.prior([3]).stddev(), 1.0, atol=0.02)
    model.prior_part.table[3, 0].assign(5.0)
    z = model.sample_prior(noise.rows(0, 2), [3, 4]).numpy()
    assert z[0, 0] > 2 > z[1, 0]


@pytest.mark.parametrize("prior", ["standard", "conditional", "mixture"])
def test_label_of_its_own_for_each_image(tiny, batch, prior):
    """The rows of a batch do not see one another's labels, with several samples of each."""
    model = tiny("cvae", prior=prior)
    rows = noise.rows(5, 8)
    inputs = {name: tf.constant(value) for name, value in batch.items()}
    other = {**inputs, "label": tf.constant([9, 1, 2, 3, 4, 5, 6, 7])}
    terms = [model.terms(each, num_samples=2, seed=rows) for each in (inputs, other)]
    changed = np.any(terms[0].log_likelihood != terms[1].log_likelihood, axis=1)
    np.testing.assert_array_equal(changed, [True] + 7 * [False])


@pytest.mark.parametrize(
    "label, words",
    [
        (None, "CVAE is conditional and got no label"),
        ([11], "label=[11]: expected one whole number from 0 to 9 for each image"),
        ([-1, 2], "label=[-1, 2]"),
        ([1.5], "label=[1.5]"),
        (3, "label=3"),
    ],
)
def test_labels_that_are_no_class_are_refused(tiny, batch, label, words):
    model = tiny("cvae")
    calls = [
        lambda: model.generate(0, label),
        lambda: model.decode(np.zeros((1, 3), np.float32), label),
        lambda: model.reconstruct(batch["image"][:1], label),
        lambda: model.terms({"image": batch["image"][:1], "label": label}, seed=(0, 1)),
    ]
    for call in calls[1:] if label == 3 else calls:  # to generate, 3 is the class of all images
        with pytest.raises(vae_zoo.UserError) as error:
            call()
        assert words in str(error.value) and "\n" not in str(error.value)


def test_a_data_set_without_labels_is_refused(npz):
    path = npz(image=np.zeros((300, 28, 28, 1), np.uint8))
    with pytest.raises(vae_zoo.UserError, match="cvae needs labels, and"):
        vae_zoo.train("cvae", path)
