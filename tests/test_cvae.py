"""The conditional VAE: its samples are of the class that was asked for."""

import os

import numpy as np
import pytest
import tensorflow as tf

import vae_zoo
from vae_zoo import datasets, noise, training
from vae_zoo.metrics import sample_quality


def agreement(splits, epochs, directory, **arguments):
    """Returns the share of samples that a classifier of real images takes for what they should be.

    With it, the classifier's accuracy on real test images.
    """
    model = vae_zoo.create_model(
        "cvae", image_shape=splits.image_shape, num_classes=splits.num_classes, **arguments
    )
    settings = training.Settings(epochs=epochs, learning_rate=2e-3)
    training.compile_model(model, settings, splits.steps_per_epoch)
    training.train(model, splits, directory, settings)
    figures = sample_quality.completeness(
        model,
        splits.raw("train")[: sample_quality.FITTED] / np.float32(255),
        splits.labels("train", sample_quality.FITTED),
        splits.raw("test") / np.float32(255),
        splits.labels("test"),
        num=1000,
    )
    return figures["label_agreement"], figures["test_accuracy"]


def test_samples_of_digits_are_of_their_class(digits, tmp_path):
    found, reference = agreement(digits, 25, tmp_path, latent_size=8, hidden=(16, 32))
    assert found > 0.9 < reference


@pytest.mark.slow
@pytest.mark.skipif(
    not os.path.isdir(os.path.join(os.environ.get("TFDS_DATA_DIR", ""), "mnist")),
    reason="needs MNIST, prepared in TFDS_DATA_DIR",
)
@pytest.mark.parametrize("prior", ["standard", "conditional"])
def test_samples_of_mnist_are_of_their_class(prior, tmp_path):
    splits = datasets.load("mnist", batch_size=128)
    found, reference = agreement(splits, 5, tmp_path, prior=prior)
    assert found >= 0.95 < reference


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
    for call in calls:
        with pytest.raises(vae_zoo.UserError) as error:
            call()
        assert words in str(error.value) and "\n" not in str(error.value)


def test_a_data_set_without_labels_is_refused(command, tmp_path):
    np.savez(tmp_path / "images.npz", image=np.zeros((300, 28, 28, 1), np.uint8))
    result = command("vae_zoo.train", "--model=cvae", f"--dataset={tmp_path / 'images.npz'}")
    assert result.returncode == 2
    assert "cvae needs labels, and" in result.stderr
