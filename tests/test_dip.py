"""The covariance that the DIP-VAE charges, of an encoder whose covariance is known."""

import numpy as np
import pytest
import tensorflow as tf

import vae_zoo
from vae_zoo.models import dip


@pytest.fixture(scope="module")
def posteriors():
    """20,000 means of a known covariance, and deviations."""
    known = np.array([[1.0, 0.6, 0.0], [0.6, 2.0, -0.3], [0.0, -0.3, 0.5]])
    rng = np.random.default_rng(0)
    mean = rng.multivariate_normal([1, 2, 3], known, 20_000).astype(np.float32)
    scale = rng.uniform(0.2, 0.8, mean.shape).astype(np.float32)
    return mean, scale, known


def test_covariance_is_that_of_the_means_or_of_samples(posteriors):
    mean, scale, known = posteriors
    np.testing.assert_allclose(dip.covariance(mean), known, atol=0.05)
    both = known + np.diag([0.8**3 - 0.2**3] * 3) / (3 * 0.6)
    np.testing.assert_allclose(dip.covariance(mean, scale), both, atol=0.05)
    z = mean + scale * np.random.default_rng(1).normal(size=mean.shape)
    np.testing.assert_allclose(dip.covariance(mean, scale), np.cov(z.T), atol=0.05)


@pytest.mark.parametrize("kind, weight", [("I", 30.0), ("II", 3.0)])
def test_the_penalty_weighs_what_is_off_the_diagonal_and_on_it(kind, weight, tiny, batch):
    model = tiny("dip_vae", kind=kind, off_diagonal_weight=3.0)
    terms = model.terms(batch, seed=(0, 1))
    posterior = model.posterior(tf.constant(batch["image"]))
    covariance = np.cov(posterior.mean().numpy().T, bias=True)
    if kind == "II":
        covariance += np.diag((posterior.stddev().numpy() ** 2).mean(0))
    squared = (covariance - np.eye(3)) ** 2
    on = np.trace(squared)
    expected = 3.0 * (squared.sum() - on) + weight * on
    np.testing.assert_allclose(terms.penalty, np.full((8, 1), expected), rtol=1e-4)


def test_whitened_means_have_the_covariance_that_costs_nothing():
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4))
    whitened = mean @ np.linalg.inv(np.linalg.cholesky(np.cov(mean.T, bias=True))).T
    np.testing.assert_allclose(dip.covariance(tf.constant(whitened)), np.eye(4), atol=1e-10)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"kind": "III"}, "Unknown kind 'III'"),
        ({"off_diagonal_weight": -1}, "off_diagonal_weight=-1"),
        ({"diagonal_weight": -1}, "diagonal_weight=-1"),
        ({"posterior": "iaf"}, "posterior='iaf' does not combine with DIPVAE"),
    ],
)
def test_arguments_that_make_no_penalty_are_refused(arguments, words, tiny):
    with pytest.raises(vae_zoo.UserError, match=words):
        tiny("dip_vae", **arguments)
