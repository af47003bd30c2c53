"""Posteriors whose parameters are all the encoder's: densities, Jacobians, inverses, covariance."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import vae_zoo
from vae_zoo.metrics import encodings
from vae_zoo.probability import distributions, planar, posteriors

tfd = tfp.distributions
SIZE, BATCH = 4, 3
STEPS = {"planar": planar.PlanarStep, "radial": planar.RadialStep}


def encoded_for(part, scale=1.0):
    draws = np.random.default_rng(1).normal(0, scale, (BATCH, part.parameters))
    return tf.constant(draws, tf.float32)


def step_of(name, scale=2.0):
    step = STEPS[name]
    shape = (BATCH, step.parameters_of(SIZE))
    return step(tf.constant(np.random.default_rng(0).normal(0, scale, shape), tf.float32))


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("scale", [0.1, 2.0, 8.0])
def test_log_determinant_of_a_step_is_that_of_the_jacobian(name, scale):
    step = step_of(name, scale)
    e = tf.random.stateless_normal([BATCH, SIZE], (0, 1))
    with tf.GradientTape() as tape:
        tape.watch(e)
        z = step.forward(e)
    jacobian = tape.batch_jacobian(z, e).numpy().astype(np.float64)
    sign, exact = np.linalg.slogdet(jacobian)
    assert (sign > 0).all()
    np.testing.assert_allclose(step.forward_log_det_jacobian(e, 1), exact, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("scale", [0.1, 2.0, 8.0])
def test_the_inverse_of_a_step_undoes_it(name, scale):
    step = step_of(name, scale)
    e = tf.random.stateless_normal([50, BATCH, SIZE], (0, 1))
    z = tf.identity(step.forward(e))  # not found in the bijector's cache
    again = step.inverse(z)
    np.testing.assert_allclose(step.forward(tf.identity(again)), z, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_that_is_told_nothing_is_the_identity(name):
    step = STEPS[name](tf.zeros([1, STEPS[name].parameters_of(SIZE)]))
    e = tf.random.stateless_normal([1, SIZE], (0, 1))
    np.testing.assert_allclose(step.forward(e), e, atol=2e-3)


@pytest.mark.parametrize("name", ["planar", "radial", "full", "householder"])
def test_density_in_two_dimensions_has_the_mass_one(name):
    part = posteriors.build(name, 2, 3, None)
    posterior = part.distribution(encoded_for(part))
    grid = np.linspace(-12, 12, 400, dtype=np.float32)
    z = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 1, 2)
    density = np.exp(posterior.log_prob(tf.constant(np.tile(z, (1, BATCH, 1)))))
    np.testing.assert_allclose(density.sum(0) * (grid[1] - grid[0]) ** 2, 1, atol=0.01)


@pytest.mark.parametrize("name", ["full", "householder"])
def test_samples_of_a_correlated_normal_have_its_moments(name):
    part = posteriors.build(name, SIZE, 3, None)
    posterior = part.distribution(encoded_for(part))
    normals = tf.random.stateless_normal([50_000, BATCH, SIZE], (0, 2))
    z = distributions.reparameterize(posterior, normals).numpy()
    np.testing.assert_allclose(z.mean(0), distributions.centre(posterior), atol=0.15)
    np.testing.assert_allclose(z.std(0), posterior.stddev(), rtol=0.03)
    for image in range(BATCH):
        found, known = np.cov(z[:, image].T), posterior.covariance()[image].numpy()
        np.testing.assert_allclose(found, known, atol=0.03 * np.abs(known).max())
        assert np.abs(np.triu(known, 1)).max() > 0.05


@pytest.mark.parametrize("name", ["full", "householder"])
@pytest.mark.parametrize("moved", [False, True])
def test_kl_of_a_correlated_normal_is_the_closed_form(name, moved):
    part = posteriors.build(name, SIZE, 3, None)
    posterior = part.distribution(encoded_for(part))
    mean = np.linspace(-1, 1, SIZE).astype(np.float32) * moved
    scale = np.linspace(0.5, 2, SIZE).astype(np.float32) if moved else np.ones(SIZE, np.float32)
    prior = tfd.Independent(tfd.Normal(mean, scale), 1)
    covariance = posterior.covariance().numpy().astype(np.float64)
    shift = posterior.mean().numpy() - mean
    known = 0.5 * (
        (np.einsum("bii->bi", covariance) / scale**2).sum(-1)
        + (shift**2 / scale**2).sum(-1)
        - SIZE
        + 2 * np.log(scale).sum()
        - np.linalg.slogdet(covariance)[1]
    )
    np.testing.assert_allclose(tfd.kl_divergence(posterior, prior), known, rtol=1e-4)


@pytest.mark.parametrize(
    "name, prior",
    [
        ("full", "mixture"),
        ("householder", "mixture"),
        ("planar", "standard"),
        ("radial", "mixture"),
    ],
)
def test_posteriors_work_in_a_model(name, prior, batch, tmp_path):
    model = vae_zoo.create_model(
        "vae", image_shape=(28, 28, 1), latent_size=3, hidden=(8,), components=4, flow_steps=2,
        prior=prior, posterior=name,
    )  # fmt: skip
    inputs = {"image": tf.constant(batch["image"])}
    terms = model.terms(inputs, num_samples=2000, seed=(0, 1))
    sampled = model.terms(inputs, num_samples=2000, analytic=False, seed=(0, 1))
    rates = [tf.reduce_mean(each.rate[..., 0], axis=1) for each in (terms, sampled)]
    np.testing.assert_allclose(*rates, atol=0.1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    again = loaded.terms(inputs, num_samples=2000, seed=(0, 1))
    np.testing.assert_array_equal(terms.loss, again.loss)
    encoder = encodings.Encoder(model)
    assert np.isfinite(encoder(batch["image"], np.arange(8, dtype=np.int32))).all()
    assert bool(encoder.notes) == (name in ("planar", "radial"))
