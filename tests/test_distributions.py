"""Posteriors and likelihoods: that they are probabilities, and finite wherever a decoder goes."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import vae_zoo
from vae_zoo.probability import distributions, likelihoods

tfd = tfp.distributions


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", likelihoods.LIKELIHOODS)
def test_images_are_one_event_of_independent_pixels(name, channels):
    part = likelihoods.build(name, (4, 5, channels))
    parameters = tf.random.stateless_normal([2, 3, 4, 5, part.outputs], [0, 0])  # [K, B, H, W, P]
    likelihood = part.distribution(parameters)
    image = np.round(np.random.default_rng(0).random((3, 4, 5, channels))).astype(np.float32)
    assert likelihood.log_prob(image).shape == (2, 3)
    assert likelihood.mean().shape == (2, 3, 4, 5, channels)
    pixels = likelihood.distribution.log_prob(image)
    np.testing.assert_allclose(
        likelihood.log_prob(image), tf.reduce_sum(pixels, [-1, -2, -3]), rtol=1e-5
    )


def test_bernoulli_is_that_of_tfp():
    logits = tf.constant([[-50.0, -2.0, 0.0, 3.0, 80.0]])
    for image in (tf.zeros_like(logits), tf.ones_like(logits)):
        ours, theirs = (kind(logits=logits) for kind in (likelihoods.Bernoulli, tfd.Bernoulli))
        np.testing.assert_allclose(ours.log_prob(image), theirs.log_prob(image), rtol=1e-6)
        np.testing.assert_array_equal(ours.mean(), theirs.mean())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bernoulli_takes_grey_values_of_numpy_as_they_are(dtype):
    logits, grey = np.array([0.3, -2.0, 1.0]), np.array([0.25, 0.9, 0.5])
    exact = grey * logits - np.log1p(np.exp(logits))
    ours = likelihoods.Bernoulli(logits=tf.constant(logits, tf.float32)).copy()
    assert ours.batch_shape == (3,)
    np.testing.assert_allclose(ours.log_prob(grey.astype(dtype)), exact, rtol=1e-5)
    image = np.full((2, 2, 2, 1), 0.25, dtype)
    pixels = likelihoods.build("bernoulli", (2, 2, 1)).distribution(tf.zeros([2, 2, 2, 1]))
    np.testing.assert_allclose(pixels.log_prob(image), 4 * np.log(0.5), rtol=1e-5)
    assert ours.sample(seed=(0, 1)).dtype == tf.float32


def test_bernoulli_on_grey_values_is_the_expected_log_probability():
    logits, grey = tf.constant([0.3, -2.0]), tf.constant([0.25, 0.9])
    bernoulli = likelihoods.Bernoulli(logits=logits)
    expected = grey * bernoulli.log_prob([1.0, 1.0]) + (1 - grey) * bernoulli.log_prob([0.0, 0.0])
    np.testing.assert_allclose(bernoulli.log_prob(grey), expected, rtol=1e-6)


def test_gradients_of_bernoulli_are_those_of_tfp_to_the_second_order():
    logits = tf.constant([-40.0, -2.0, 0.0, 0.5, 40.0])
    event = tf.constant([1.0, 0.3, 1.0, 0.0, 1.0])
    found = []
    for kind in (likelihoods.Bernoulli, tfd.Bernoulli):
        with tf.GradientTape() as outer:
            outer.watch(logits)
            with tf.GradientTape() as tape:
                tape.watch([logits, event])
                value = tf.reduce_sum(kind(logits=logits).log_prob(event))
            gradients = tape.gradient(value, [logits, event])
        found.append([*gradients, outer.gradient(gradients[0], logits)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_bounded_stays_inside_follows_the_middle_and_keeps_a_gradient():
    value = tf.constant([-1e4, -40.0, -7.0, -2.0, 0.0, 2.0, 4.0, 15.0, 1e4])
    with tf.GradientTape() as tape:
        tape.watch(value)
        squeezed = distributions.bounded(value, -7.0, 4.0)
    assert (np.diff(squeezed) >= 0).all()
    assert np.min(squeezed) > -7.001 and np.max(squeezed) < 4.001
    np.testing.assert_allclose(squeezed[3:5], value[3:5], atol=0.2)
    gradient = tape.gradient(squeezed, value).numpy()
    assert np.isfinite(gradient).all() and (gradient[2:8] > 0).all()


def test_a_posterior_is_bounded_in_float32_whatever_the_precision():
    for log_scale in (-1e4, 1e4):
        parameters = tf.cast([[0.5, -0.5, log_scale, log_scale]], tf.bfloat16)
        posterior = distributions.diagonal_normal(parameters)
        assert posterior.dtype == tf.float32
        kl = tfd.kl_divergence(posterior, distributions.standard_normal([2]))
        assert np.isfinite(kl).all()
        assert np.exp(-7.01) < posterior.stddev()[0, 0] < np.exp(4.01)


def test_reparameterised_samples_have_the_distribution_of_the_posterior():
    posterior = distributions.diagonal_normal(tf.constant([[1.0, -2.0, 0.5, -1.0]]))
    normals = tf.random.stateless_normal([50_000, 1, 2], [0, 1])
    z = distributions.reparameterize(posterior, normals).numpy()[:, 0]
    np.testing.assert_allclose(z.mean(0), posterior.mean()[0], atol=0.03)
    np.testing.assert_allclose(z.std(0), posterior.stddev()[0], rtol=0.02)


def test_an_unknown_likelihood_is_refused():
    with pytest.raises(vae_zoo.UserError, match="Did you mean 'bernoulli'"):
        likelihoods.check_likelihood("bernouli")
