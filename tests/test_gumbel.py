"""Categorical latents: their law, their rate, their gradient."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import vae_zoo
from vae_zoo.models import gumbel
from vae_zoo.probability import codebook, noise

tfd = tfp.distributions
SEED = (0, 3)


@pytest.fixture(scope="module")
def logits():
    return tf.constant(np.random.default_rng(0).normal(size=(2, 3, 4)), tf.float32)


def test_samples_follow_the_classes_probabilities(logits):
    normals = tf.random.stateless_normal([20_000, 2, 3, 4], (0, 1))
    z = codebook.draw_one_hots(logits, normals, 0.5).numpy()
    np.testing.assert_allclose(z.sum(-1), 1, atol=1e-5)
    assert (np.abs(z - np.rint(z)) < 1e-6).all()
    np.testing.assert_allclose(z.mean(0), tf.nn.softmax(logits), atol=0.02)


def test_the_gradient_is_that_of_the_gumbel_softmax(logits):
    normals = tf.random.stateless_normal([2, 3, 4], (0, 1))
    weight = tf.random.stateless_normal([2, 3, 4], (0, 2))
    perturbed = logits - tf.math.log(-tfd.Normal(0.0, 1.0).log_cdf(normals))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([logits, perturbed])
        hard = tf.reduce_sum(weight * codebook.draw_one_hots(logits, normals, 0.5))
        soft = tf.reduce_sum(weight * tf.nn.softmax(perturbed / 0.5))
    expected = tape.gradient(soft, perturbed)
    np.testing.assert_allclose(tape.gradient(hard, logits), expected, rtol=1e-4, atol=1e-6)


def test_density_and_rate_are_the_closed_forms(logits):
    posterior, prior = gumbel.OneHots(logits), gumbel.OneHots(tf.zeros([3, 4]))
    share = tf.nn.softmax(logits).numpy()
    known = (share * np.log(share)).sum((1, 2)) + 3 * np.log(4)
    np.testing.assert_allclose(tfd.kl_divergence(posterior, prior), known, rtol=1e-5)
    classes = np.array([[0, 1, 2], [3, 3, 0]])
    z = np.eye(4, dtype=np.float32)[classes].reshape(2, 12)
    by_hand = np.log(np.take_along_axis(share, classes[..., None], -1)).sum((1, 2))
    np.testing.assert_allclose(posterior.log_prob(tf.constant(z)), by_hand, rtol=1e-5)
    np.testing.assert_allclose(prior.log_prob(tf.constant(z)), -3 * np.log(4), rtol=1e-6)
    np.testing.assert_allclose(posterior.mean(), share.reshape(2, 12), rtol=1e-5)
    spread = np.sqrt(share * (1 - share)).reshape(2, 12)
    np.testing.assert_allclose(posterior.stddev(), spread, rtol=1e-4)


def test_the_bound_tightens_with_samples_to_the_sum_over_all_classes(tiny, batch):
    """Of 2 variables of 3 classes, log p(x) is a sum of 9 terms."""
    model = tiny("gumbel_vae", variables=2, categories=3)
    eye = np.eye(3, dtype=np.float32)
    every = np.array([[*eye[i], *eye[j]] for i in range(3) for j in range(3)])
    inputs = tf.constant(np.repeat(every[:, np.newaxis], 8, axis=1))
    densities = model.likelihood(inputs).log_prob(batch["image"])
    truth = tf.reduce_logsumexp(densities, axis=0) - np.log(9)
    terms = model.terms(batch, num_samples=3000, analytic=False, seed=SEED)
    weights = terms.log_likelihood - terms.rate[..., 0]
    found = tf.reduce_logsumexp(weights, axis=1) - np.log(3000)
    np.testing.assert_allclose(found, truth, atol=0.1)
    assert (np.mean(weights, axis=1) < truth.numpy() + 0.05).all()


def test_draws_of_the_prior_are_even_classes(tiny):
    model = tiny("gumbel_vae", variables=2, categories=3)
    z = model.sample_prior(noise.rows(0, 6000)).numpy().reshape(-1, 2, 3)
    np.testing.assert_array_equal(z.sum(-1), 1)
    np.testing.assert_allclose(z.mean(0), 1 / 3, atol=0.03)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"latent_size": 4}, "latent_size=4"),
        ({"variables": 0}, "variables=0"),
        ({"categories": 1}, "categories=1"),
        ({"temperature": 0}, "temperature=0"),
        ({"prior": "mixture"}, "prior='mixture' does not combine with GumbelVAE"),
    ],
)
def test_arguments_that_make_no_classes_are_refused(arguments, words, tiny):
    with pytest.raises(vae_zoo.UserError, match=words):
        tiny("gumbel_vae", **arguments)
