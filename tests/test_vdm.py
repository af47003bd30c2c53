"""Variational diffusion against an ordinary hierarchy and against a known log p(x)."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import vae_zoo
from vae_zoo.metrics import likelihood
from vae_zoo.models import vdm
from vae_zoo.probability import diffusion, elbo, noise
from vae_zoo.probability.elbo import Latent

tfd = tfp.distributions
SEED = (0, 3)


@pytest.fixture(scope="module")
def coins():
    """Images of fair coins: -log p(x) is 784 ln 2, and an untrained network denoises them best."""
    image = np.random.default_rng(0).random((64, 28, 28, 1)) < 0.5
    return {"image": tf.constant(image, tf.float32)}


def disturb(model):
    """Moves every weight, so that no network is zero any more; gamma stays monotone."""
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(0, 0.05, variable.shape).astype(np.float32))
    return model


def hierarchy(model, x, normals):
    """Returns the T layers as Latents q(z_s | z_t, x), p(z_s | z_t), in float64."""
    latents = []
    for index in range(1, model.timesteps + 1):
        times = (index / model.timesteps, (index - 1) / model.timesteps)
        gamma, below = (model.schedule.gamma(time) for time in times)
        z = diffusion.diffuse(x, gamma, normals)
        x_hat = model.denoise(z[0], gamma + tf.zeros([len(x)]))
        gamma, below, z = (tf.cast(value, tf.float64) for value in (gamma, below, z[0]))
        alpha, alpha_s = tf.sqrt(tf.sigmoid(-gamma)), tf.sqrt(tf.sigmoid(-below))
        # Bayes' rule for z_s: N(alpha_s x, sigma_s^2) seen as z_t = ratio z_s + noise.
        ratio = alpha / alpha_s
        noisy = tf.sigmoid(gamma) - ratio**2 * tf.sigmoid(below)
        variance = 1 / (1 / tf.sigmoid(below) + ratio**2 / noisy)

        def layer(clean, below=below, alpha_s=alpha_s, z=z, ratio=ratio, noisy=noisy, v=variance):
            clean = tf.cast(clean, tf.float64)
            mean = v * (alpha_s * clean / tf.sigmoid(below) + ratio * z / noisy)
            return tfd.Independent(tfd.Normal(mean, tf.sqrt(v)), 3)

        latents.append(Latent(layer(x), layer(x_hat), z))
    return latents


@pytest.mark.parametrize("timesteps", [1, 3, 20])
def test_an_ordinary_hierarchy_of_t_layers_has_the_same_rates(timesteps, tiny, coins):
    model = disturb(tiny("vdm", timesteps=timesteps))
    x = model.features(coins["image"][:8])
    normals = noise.standard_normal(SEED, 1, 8, model.image_shape, vdm._LAYER)
    ordinary = super(vdm.VDM, model).rate
    expected = [ordinary(latent) for latent in hierarchy(model, x, normals)]
    rates = model.layer_rates({"image": coins["image"][:8]}, SEED)
    np.testing.assert_allclose(rates, expected, rtol=1e-5)


def test_one_layer_stands_for_all_in_the_mean(tiny, coins):
    model = disturb(tiny("vdm", timesteps=5))
    exact = tf.reduce_mean(tf.reduce_sum(model.layer_rates(coins, SEED), axis=0))
    keys = noise.rows(0, 64)
    drawn = [model.terms(coins, num_samples=20, seed=key).rate[..., 1] for key in keys[:8]]
    assert np.mean(drawn) == pytest.approx(float(exact), rel=0.01)


def test_evaluation_takes_the_mean_over_many_times(tiny, coins):
    model = disturb(tiny("vdm"))
    images = coins["image"].numpy()
    one, many = (likelihood.evaluate(model, images, num_samples=k) for k in (1, 1000))
    assert (one.num_samples, many.num_samples) == (1, model.bound_samples)
    assert many.is_bound and many.nll == pytest.approx(-many.elbo)
    assert many.elbo == pytest.approx(-many.rate - many.distortion)
    assert many.nll_stderr < 0.5 * one.nll_stderr
    terms = [model.terms(coins, num_samples=64, seed=(9, step)) for step in range(8)]
    expected = -np.mean([elbo.elbo(each) for each in terms])
    assert many.nll == pytest.approx(expected, rel=0.01)


def test_bound_improves_with_layers_up_to_log_p(tiny, coins):
    nats = {}
    for timesteps in (1, 4, 16, 64, 1024, None):
        model = tiny("vdm", timesteps=timesteps)
        terms = model.terms(coins, num_samples=32, seed=SEED)
        nats[timesteps] = -float(tf.reduce_mean(elbo.elbo(terms)))
    finite = [nats[t] for t in (1, 4, 16, 64, 1024)]
    assert finite == sorted(finite, reverse=True)
    assert nats[1024] == pytest.approx(nats[None], rel=0.01)
    assert nats[None] == pytest.approx(784 * math.log(2), rel=0.01)


def test_schedule_is_monotone_between_its_ends_and_its_slope_is_the_derivative():
    schedule = diffusion.NoiseSchedule(-3.0, 7.0, shape_from_bound=True)
    schedule.logits.assign(np.random.default_rng(0).normal(0, 2, schedule.logits.shape))
    time = tf.constant(np.linspace(0, 1, 777), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(time)
        gamma, slope, _ = schedule(time)
    assert np.diff(gamma).min() > 0
    np.testing.assert_allclose([gamma[0], gamma[-1]], [-3, 7], atol=1e-2)
    np.testing.assert_allclose(slope, tape.gradient(gamma, time), rtol=1e-5)


def test_in_the_limit_the_shape_of_the_schedule_evens_out_the_rate(tiny, coins):
    """What the penalty's gradient lowers is the variance over times, the bound left as it is."""
    model = tiny("vdm")
    optimizer = optimizer_of(model.schedule.logits)
    before, mean = spread(model, coins)
    for step in range(150):
        with tf.GradientTape() as tape:
            terms = model.terms(coins, seed=(1, step))
            loss = tf.reduce_mean(terms.loss)
        gradient = tape.gradient(loss, model.schedule.logits.value)
        optimizer.apply([gradient], [model.schedule.logits])
    after, same = spread(model, coins)
    assert after < 0.7 * before
    assert same == pytest.approx(mean, rel=0.02)


def optimizer_of(variable):
    import keras

    optimizer = keras.optimizers.Adam(0.03)
    optimizer.build([variable])
    return optimizer


def spread(model, inputs):
    """Returns the deviation and the mean of the rate over independent times."""
    rows = noise.rows(9, len(inputs["image"]))
    rates = model.terms(inputs, num_samples=16, seed=rows).rate[..., 1]
    return float(tf.math.reduce_std(rates)), float(tf.reduce_mean(rates))


def test_eight_bit_pixels_are_expected_by_bayes_rule():
    """Against the sum over all 256 levels, at noises from a tenth of a level to the whole range."""
    levels = np.arange(256) / 127.5 - 1
    mean, log_scale = 0.1, -1.5
    spread = math.exp(float(vae_zoo.vae.distributions.bounded(log_scale, -5.0, 1.0)))
    for scale in (0.0008, 0.004, 0.05, 1.0):
        for value in (-0.52, 0.1, 0.33, 0.7):
            log_prior = -0.5 * ((levels - mean) / spread) ** 2
            log_prior -= np.log(np.exp(log_prior).sum())
            weights = np.exp(log_prior - 0.5 * ((value - levels) / scale) ** 2)
            arguments = (value, scale, -30.0, -30.0, 0.0, mean, log_scale)
            found = diffusion.expected_pixel(*(tf.constant(a, tf.float32) for a in arguments))
            exact = (weights * levels).sum() / weights.sum()
            assert float(found) == pytest.approx(exact, abs=0.06 * spread if scale > 0.1 else 2e-3)


def test_eight_bit_likelihood_sums_to_one_and_reads_the_image_back(tiny):
    model = tiny("vdm", likelihood="discretized_logistic")
    z = tf.random.stateless_normal([1, 28, 28, 1], (0, 0))
    likelihood = model.likelihood(z).distribution
    levels = tf.reshape(tf.range(256.0) / 255.0, [256, 1, 1, 1])
    total = tf.reduce_sum(tf.exp(likelihood.log_prob(levels)), axis=0)
    np.testing.assert_allclose(total, tf.ones_like(total), atol=1e-4)
    image = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1)) / np.float32(255)
    np.testing.assert_allclose(model.reconstruct(image), image, atol=0.5 / 255)
    terms = model.terms({"image": image}, seed=SEED)
    assert np.isfinite(terms.loss).all()


def test_sampling_takes_the_steps_it_is_told(tiny):
    model = tiny("vdm", timesteps=6)
    rows = noise.rows(0, 2)
    np.testing.assert_array_equal(model.sample(rows)[0], model.sample(rows, steps=6)[0])
    assert np.abs(model.sample(rows, steps=2)[0] - model.sample(rows)[0]).max() > 0
    np.testing.assert_array_equal(model.sample(rows, temperature=0.0)[1], np.zeros((2, 784)))
    with pytest.raises(vae_zoo.UserError, match="steps=0"):
        model.sample(rows, steps=0)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"timesteps": 0}, "timesteps=0"),
        ({"timesteps": 2.5}, "timesteps=2.5"),
        ({"sample_steps": 0}, "sample_steps=0"),
        ({"network": "resnet"}, "network='resnet' does not combine"),
        ({"latent_size": 3}, "latent_size=3"),
        ({"posterior": "iaf"}, "posterior='iaf' does not combine"),
    ],
)
def test_what_makes_no_diffusion_is_refused(arguments, words):
    with pytest.raises(vae_zoo.UserError) as error:
        vae_zoo.create_model("vdm", **{"image_shape": (28, 28, 1), **arguments})
    assert words in str(error.value)


def test_ddim_carries_the_noise_to_the_data_of_a_known_law(tiny):
    model = tiny("vdm", likelihood="discretized_logistic")
    scale = 0.3  # every pixel is N(0, 0.3^2), whose best denoiser is known

    def denoise(z, gamma):
        gamma = gamma[:, tf.newaxis, tf.newaxis, tf.newaxis]
        alpha, variance = tf.sqrt(tf.sigmoid(-gamma)), tf.sigmoid(gamma)
        return alpha * scale**2 * z / (alpha**2 * scale**2 + variance)

    model.denoise = denoise
    for steps, tolerance in ((400, 0.01), (20, 0.2)):  # an error of the order of a step
        images, z_1 = model.sample(noise.rows(0, 16), steps=steps, sampler="ddim")
        drawn = np.std(2 * images - 1) / np.std(z_1)
        assert float(drawn) == pytest.approx(scale, rel=tolerance)
    _, z_1 = model.sample(noise.rows(0, 16), sampler="ddim")
    np.testing.assert_array_equal(z_1, model.sample(noise.rows(0, 16))[1])


def test_an_unknown_sampler_is_refused(tiny):
    with pytest.raises(vae_zoo.UserError, match="ddim"):
        tiny("vdm").sample(noise.rows(0, 2), sampler="ddmi")
