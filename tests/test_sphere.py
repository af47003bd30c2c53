"""The von Mises-Fisher law: its samples, its rate against a sum over the sphere, its gradient."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import vae_zoo
from vae_zoo.probability import noise, sphere

tfd = tfp.distributions


def law(size, concentrations):
    direction = np.random.default_rng(0).normal(size=(len(concentrations), size))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    return sphere.VonMisesFisher(
        tf.constant(direction, tf.float32), tf.constant(concentrations, tf.float32)
    )


def cosines(size, concentration):
    """Returns (cos a, its probabilities) of a fine grid of angles, by summation in float64."""
    angle = (np.arange(400_000) + 0.5) * np.pi / 400_000
    log_density = concentration * (np.cos(angle) - 1) + (size - 2) * np.log(np.sin(angle))
    mass = np.exp(log_density - log_density.max())
    return np.cos(angle), mass / mass.sum()


@pytest.mark.parametrize("size", [2, 3, 10, 40])
def test_samples_are_on_the_sphere_with_the_moments_of_the_law(size):
    concentrations = [1.0, 5.0, 100.0, 5000.0]
    posterior = law(size, concentrations)
    z = posterior.reparameterized(tf.random.stateless_normal([5000, 4, size], (0, 1))).numpy()
    np.testing.assert_allclose(np.linalg.norm(z, axis=-1), 1, atol=1e-5)
    along = (z * posterior.mean_direction.numpy()).sum(-1)
    for column, concentration in enumerate(concentrations):
        cosine, mass = cosines(size, concentration)
        mean = mass @ cosine
        spread = np.sqrt(mass @ cosine**2 - mean**2)
        assert along[:, column].mean() == pytest.approx(mean, abs=0.05 * spread)
        assert along[:, column].std() == pytest.approx(spread, rel=0.04)
    np.testing.assert_allclose(z.mean(0), posterior.mean(), atol=0.04)
    np.testing.assert_allclose(z.std(0), posterior.stddev(), atol=0.02)


@pytest.mark.parametrize("size", [3, 10])
def test_the_rate_is_the_sum_over_the_sphere(size):
    concentrations = [1.0, 20.0, 500.0]
    found = tfd.kl_divergence(law(size, concentrations), sphere.UniformOnSphere(size))
    even = cosines(size, 0.0)[1]
    for rate, concentration in zip(found.numpy(), concentrations, strict=True):
        mass = cosines(size, concentration)[1]
        kept = mass > 0
        known = np.sum(mass[kept] * np.log(mass[kept] / even[kept]))
        assert rate == pytest.approx(known, rel=1e-3)


def test_the_gradient_of_a_mean_is_that_of_its_closed_form():
    concentration = tf.constant([2.0, 30.0])
    normals = tf.random.stateless_normal([10_000, 2, 5], (0, 2))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(concentration)
        posterior = sphere.VonMisesFisher(law(5, [1.0, 1.0]).mean_direction, concentration)
        direction = posterior.mean_direction
        sampled = tf.reduce_mean(posterior.reparameterized(normals) * direction, axis=0)
        sampled = tf.reduce_sum(sampled, axis=-1)
        exact = tf.reduce_sum(posterior.mean() * direction, axis=-1)
    wanted = tape.gradient(exact, concentration)
    np.testing.assert_allclose(tape.gradient(sampled, concentration), wanted, rtol=0.05)


def test_a_model_on_the_sphere_draws_evenly_and_reconstructs_at_a_point_of_it(tiny, batch):
    model = tiny("vmf_vae")
    z = model.sample_prior(noise.rows(0, 5000)).numpy()
    np.testing.assert_allclose(np.linalg.norm(z, axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(z.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(z.T), np.eye(3) / 3, atol=0.02)
    codes = model.encode(batch["image"]).numpy()
    np.testing.assert_allclose(np.linalg.norm(codes, axis=-1), 1, atol=1e-5)
    terms = model.terms(batch, num_samples=500, seed=(0, 1))
    sampled = model.terms(batch, num_samples=500, analytic=False, seed=(0, 1))
    rates = [tf.reduce_mean(each.rate, axis=1) for each in (terms, sampled)]
    np.testing.assert_allclose(*rates, atol=0.1)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"latent_size": 1}, "latent_size=1: expected a number of at least 2"),
        ({"prior": "standard"}, "prior='standard' does not combine with posterior='vmf'"),
        ({"posterior": "normal"}, "prior='sphere' does not combine with posterior='normal'"),
    ],
)
def test_what_is_not_on_the_sphere_is_refused(arguments, words, tiny):
    with pytest.raises(vae_zoo.UserError, match=words):
        tiny("vmf_vae", **arguments)


def test_the_same_images_have_the_same_rate_to_the_last_digit(tiny, batch):
    model, rates, held = tiny("vmf_vae"), [], []
    rate = tf.function(lambda image: model.terms({"image": image}, seed=(0, 1)).rate)
    for length in range(50):
        held.append(tf.zeros([997 * length + 1]))  # tensors lie elsewhere in memory
        rates.append(rate(tf.constant(batch["image"])).numpy())
    assert all(np.array_equal(one, rates[0]) for one in rates)
