"""The Poincare ball: distances, the volume element, densities against sums over it."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import vae_zoo
from vae_zoo.metrics import latent_space
from vae_zoo.probability import ball, distributions, noise

tfd = tfp.distributions


def points(count, size, seed=0):
    """Returns points of the ball, float32 [count, size], some of them near its rim."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(count, size))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return tf.constant(direction * rng.uniform(0, 0.98, (count, 1)), tf.float32)


def test_distances_are_those_of_the_metric():
    """arcosh(1 + 2 ||x - y||^2 / ((1 - ||x||^2)(1 - ||y||^2))); a walk by x changes none."""
    x, y, step = points(50, 3), points(50, 3, 1), points(50, 3, 2)
    squared = [np.sum(np.square(each, dtype=np.float64), axis=1) for each in (x - y, x, y)]
    known = np.arccosh(1 + 2 * squared[0] / ((1 - squared[1]) * (1 - squared[2])))
    np.testing.assert_allclose(ball.distance(x, y), known, rtol=1e-3, atol=1e-3)
    moved = ball.distance(ball.add(step, x), ball.add(step, y))
    np.testing.assert_allclose(moved, known, rtol=5e-3, atol=5e-3)
    np.testing.assert_allclose(ball.add(-x, ball.add(x, y)), y, atol=2e-3)


def test_the_map_keeps_distances_from_its_centre_and_has_its_jacobian():
    centre, v = points(20, 3), tf.random.stateless_normal([20, 3], (0, 1))
    v = tf.concat([v[:-2], 1e-4 * v[-2:]], axis=0)  # two of them hardly move
    chart = ball.ExpMap(centre)
    with tf.GradientTape() as tape:
        tape.watch(v)
        z = chart.forward(v)
    jacobian = np.linalg.slogdet(tape.batch_jacobian(z, v).numpy().astype(np.float64))[1]
    length = np.linalg.norm(v, axis=1)
    np.testing.assert_allclose(ball.distance(centre, z), length, atol=5e-3)
    np.testing.assert_allclose(chart.forward_log_det_jacobian(v, 1), jacobian, atol=2e-2)
    np.testing.assert_allclose(ball.ExpMap(centre).inverse(tf.identity(z)), v, atol=2e-2)
    stretch = 2 * np.log(np.sinh(length) / length)  # of the volume: what dM has over dv
    volume = chart.forward_log_det_jacobian(v, 1) + ball.log_volume(z)
    np.testing.assert_allclose(volume, stretch, atol=2e-2)


def grid():
    """Returns points over the disc [N, 2], and the area of each, closer near the rim."""
    radius = np.tanh((np.arange(1200) + 0.5) * 12 / 1200 / 2)  # evenly in distance, to 12
    angle = (np.arange(400) + 0.5) * 2 * np.pi / 400
    weight = radius * 0.5 * (1 - radius**2) * (12 / 1200) * (2 * np.pi / 400)
    places = radius[:, None, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    return places.reshape(-1, 2).astype(np.float32), np.repeat(weight, 400)


def test_densities_sum_to_one_and_the_rate_is_the_sum_over_the_disc():
    posterior = ball.WrappedNormalPosterior(2).distribution(
        tf.constant([[0.8, -0.5, -1.0, -0.3], [0.0, 0.0, -0.5, -0.5]])
    )
    prior = ball.BallPrior(2).distribution(None)
    places, area = grid()
    log_q = posterior.log_prob(tf.constant(places)[:, tf.newaxis]).numpy().astype(np.float64)
    log_p = prior.log_prob(tf.constant(places)).numpy().astype(np.float64)
    np.testing.assert_allclose(area @ np.exp(log_q), 1, atol=2e-3)
    np.testing.assert_allclose(area @ np.exp(log_p), 1, atol=2e-3)
    known = area @ (np.exp(log_q) * (log_q - log_p[:, None]))
    z = distributions.reparameterize(posterior, tf.random.stateless_normal([20_000, 2, 2], (0, 1)))
    rates = (posterior.log_prob(z) - prior.log_prob(z)).numpy()
    assert (np.abs(rates.mean(0) - known) < 4 * rates.std(0) / np.sqrt(20_000)).all()
    radius = np.linalg.norm(distributions.reparameterize(prior, z), axis=-1)
    assert radius.max() < 1


def test_codes_beyond_any_image_stay_finite_and_inside(tiny):
    part = ball.WrappedNormalPosterior(4)
    encoded = tf.constant(np.array([[1e4] * 8, [-1e4] * 4 + [1e4] * 4, [0.0] * 8], np.float32))
    with tf.GradientTape() as tape:
        tape.watch(encoded)
        posterior = part.distribution(encoded)
        z = distributions.reparameterize(posterior, tf.random.stateless_normal([99, 3, 4], (0, 1)))
        prior = ball.BallPrior(4).distribution(None)
        rate = posterior.log_prob(z) - prior.log_prob(z)
    assert np.isfinite(rate).all() and np.isfinite(tape.gradient(rate, encoded)).all()
    assert np.linalg.norm(z, axis=-1).max() <= 1


def test_a_model_on_the_ball_encodes_to_it_and_draws_of_its_prior(tiny, batch):
    model = tiny("poincare_vae")
    codes = model.encode(batch["image"]).numpy()
    assert np.linalg.norm(codes, axis=1).max() < 1
    z = model.sample_prior(noise.rows(0, 4000)).numpy()
    origin = tf.zeros([1, 3])
    distances = ball.distance(origin, tf.constant(z)).numpy()
    assert distances.mean() == pytest.approx(2 * np.sqrt(2 / np.pi), rel=0.03)  # of a normal in 3D
    assert not latent_space.has_exact_mean(model.posterior(batch["image"]))


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"prior": "standard"}, "prior='standard' does not combine with posterior='wrapped'"),
        ({"posterior": "normal"}, "prior='ball' does not combine with posterior='normal'"),
    ],
)
def test_what_is_not_on_the_ball_is_refused(arguments, words, tiny):
    with pytest.raises(vae_zoo.UserError, match=words):
        tiny("poincare_vae", **arguments)
