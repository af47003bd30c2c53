"""The regularisers of a decoder and the prior that follows the codes, against what is known."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import vae_zoo
from vae_zoo.models import rae
from vae_zoo.networks import spectral
from vae_zoo.probability import noise, priors
from vae_zoo.probability.running import RunningNormal

tfd = tfp.distributions
SEED = (0, 3)


def test_the_gradient_penalty_is_the_jacobians_norm_in_the_mean(tiny):
    model = tiny("rae", network="mlp", hidden=(16,))
    z = tf.random.stateless_normal([1, 3], (0, 1))
    with tf.GradientTape() as tape:
        tape.watch(z)
        image = model.likelihood(z).mean()
    exact = float(tf.reduce_sum(tape.batch_jacobian(image, z) ** 2))
    found = rae.squared_gradient(model, tf.tile(z[tf.newaxis], [4000, 1, 1]), SEED)
    error = np.std(found) / np.sqrt(4000)
    assert float(np.mean(found)) == pytest.approx(exact, abs=4 * error)
    assert error < 0.05 * exact


def test_spectral_norms_are_singular_values(tiny):
    left, right = (np.linalg.qr(np.random.default_rng(i).normal(size=(20, 20)))[0] for i in (0, 1))
    matrix = tf.constant(left * np.linspace(1, 3, 20) @ right, tf.float32)
    assert float(spectral.spectral_norms([matrix])[0]) == pytest.approx(3, rel=0.01)
    model = tiny("rae", regularizer="spectral")
    kernels = [each for each in model.decoder.get_weights() if each.ndim > 1]
    largest = [np.linalg.svd(each.reshape(-1, each.shape[-1]))[1][0] for each in kernels]
    found = rae.squared_spectral_norms(model, None, SEED)
    assert float(found) == pytest.approx(np.square(largest).sum(), rel=0.1)


def test_the_loss_charges_codes_and_weights_and_no_rate(tiny, batch):
    model = tiny("rae", code_weight=0.3, decoder_weight=0.02)
    terms = model.terms(batch, seed=SEED)
    codes = model.encode(batch["image"]).numpy()
    weights = sum(np.square(each).sum() for each in model.decoder.get_weights())
    expected = 0.15 * np.square(codes).sum(1) + 0.02 * weights
    np.testing.assert_allclose(terms.penalty[:, 0], expected, rtol=1e-4)
    loss = terms.penalty[:, 0] - terms.log_likelihood[:, 0]
    np.testing.assert_allclose(terms.loss, loss, rtol=1e-5)


@pytest.fixture(scope="module")
def followed():
    """A running normal after 1,500 batches of a known law; its mean and covariance."""
    mean, covariance = np.array([1.0, -2.0]), np.array([[1.0, 0.7], [0.7, 2.0]])
    draws = np.random.default_rng(0).multivariate_normal(mean, covariance, (1500, 64))
    prior = RunningNormal(2)
    prior.build()
    follow = tf.function(prior.follow)
    for batch in draws.astype(np.float32):
        follow(tf.constant(batch.mean(0)), tf.constant(np.cov(batch.T, bias=True), tf.float32))
    return prior, mean, covariance


def test_a_running_normal_comes_to_the_law_of_the_codes(followed):
    prior, mean, covariance = followed
    np.testing.assert_allclose(prior.mean, mean, atol=0.1)
    np.testing.assert_allclose(prior.covariance, covariance, atol=0.15)
    z = priors.draw(prior.distribution(None), noise.rows(0, 20_000), 2).numpy()
    np.testing.assert_allclose(z.mean(0), prior.mean, atol=0.05)
    np.testing.assert_allclose(np.cov(z.T), prior.covariance, atol=0.06)


def test_the_rate_against_a_running_normal_is_the_closed_form(followed):
    prior, _, _ = followed
    scale = np.array([0.1, 0.4], np.float32)
    posterior = tfd.Independent(tfd.Normal(np.array([[0.3, 0.2]], np.float32), scale), 1)
    inverse = np.linalg.inv(prior.covariance.numpy().astype(np.float64))
    shift = np.array([0.3, 0.2]) - prior.mean.numpy()
    known = 0.5 * (np.trace(inverse * scale**2) + shift @ inverse @ shift - 2)
    known += 0.5 * np.linalg.slogdet(prior.covariance)[1] - np.log(scale).sum()
    found = tfd.kl_divergence(posterior, prior.distribution(None))
    assert float(found[0]) == pytest.approx(known, rel=1e-4)


def test_the_prior_follows_the_codes_of_a_training(tiny, batch):
    model = tiny("rae", network="mlp", hidden=(16,))
    model.compile()
    codes = model.encode(batch["image"]).numpy()
    model.train_step({"image": tf.constant(batch["image"])})
    np.testing.assert_allclose(model.prior_part.mean, 0.01 * codes.mean(0), rtol=1e-4, atol=1e-6)
    shift = codes.mean(0)
    moments = np.cov(codes.T, bias=True) + 0.01 * np.eye(3) + 0.99 * np.outer(shift, shift)
    expected = 0.99 * np.eye(3) + 0.01 * moments
    np.testing.assert_allclose(model.prior_part.covariance, expected, rtol=1e-4, atol=1e-6)
    factor = model.prior_part.scale.numpy()
    np.testing.assert_allclose(factor @ factor.T, expected, rtol=1e-4, atol=1e-5)


def test_the_prior_does_not_follow_a_skipped_step():
    prior = RunningNormal(2)
    prior.build()
    prior.follow(tf.fill([2], np.nan), tf.fill([2, 2], np.nan), tf.constant(False))
    np.testing.assert_array_equal(prior.mean, [0, 0])
    np.testing.assert_array_equal(prior.scale, np.eye(2))


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"regularizer": "L2"}, "Unknown regularizer 'L2'"),
        ({"decoder_weight": -1}, "decoder_weight=-1"),
        ({"code_weight": -1}, "code_weight=-1"),
        ({"posterior": "normal"}, "posterior='normal' does not combine with RAE"),
    ],
)
def test_arguments_that_make_no_autoencoder_are_refused(arguments, words, tiny):
    with pytest.raises(vae_zoo.UserError, match=words):
        tiny("rae", **arguments)
