"""The diffusion of latents, on laws whose cross-entropy and best denoiser are known."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from known_models import unbounded

import vae_zoo
from vae_zoo import aggregate
from vae_zoo.probability import elbo, noise

SEED = (0, 3)


def denoiser_of(mean, scale):
    """Returns the best denoiser of latents N(mean, scale^2)."""

    def denoise(z, gamma):
        gamma = gamma[:, tf.newaxis, tf.newaxis, tf.newaxis]
        alpha, variance = tf.sqrt(tf.sigmoid(-gamma)), tf.sigmoid(gamma)
        gain = alpha * scale**2 / (alpha**2 * scale**2 + variance)
        return mean + gain * (z - alpha * mean)

    return denoise


def test_an_untrained_prior_is_standard_normal(tiny, batch):
    """The rate is KL(q || N(0, 1)) of the same posteriors; the bound that of spatial_vae."""
    model, plain = tiny("latent_diffusion"), tiny("spatial_vae")
    for ours, theirs in ((plain.encoder, model.encoder), (plain.decoder, model.decoder)):
        ours.set_weights(theirs.get_weights())
    rows = noise.rows(5, 8)
    terms = model.terms(batch, num_samples=256, seed=rows)
    same = plain.terms(batch, num_samples=256, seed=rows)
    np.testing.assert_allclose(terms.log_likelihood, same.log_likelihood, rtol=1e-5)
    assert terms.rate.shape == (8, 256, 1)
    slack = 0.5 * model.latent_size * np.exp(-10.0)
    difference = np.mean(terms.rate - same.rate)  # of 2,048 draws
    assert difference == pytest.approx(slack, abs=4 * np.std(terms.rate) / np.sqrt(2048))
    assert np.mean(terms.penalty) == 0


@pytest.mark.parametrize("analytic", [True, False])
def test_with_the_best_denoiser_the_bound_is_the_known_divergence(analytic, tiny, batch):
    """KL(q || N(0.7, 0.3^2)), where the ends of the schedule leave nothing out."""
    model = tiny("latent_diffusion")
    model.denoise = denoiser_of(0.7, 0.3)
    model.schedule.height.assign(20.0)  # from -10 to 10: z_1 tells nothing of a mean
    mean, log_scale = np.full(98, 0.7), np.full(98, np.log(0.3))
    encoded = np.concatenate([mean, unbounded(log_scale)]).astype(np.float32)
    encoded = tf.tile(encoded[tf.newaxis], [8, 1])  # the aggregate posterior is that law
    [latent] = model.infer(encoded, None, 512, noise.rows(1, 8))
    rates = np.asarray(model.rate(latent, analytic))
    assert rates.mean() == pytest.approx(0, abs=4 * rates.std() / np.sqrt(rates.size) + 0.06)
    model.denoise = denoiser_of(0.0, 1.0)  # of another law: the bound is looser
    [latent] = model.infer(encoded, None, 512, noise.rows(1, 8))
    worse = np.mean(model.rate(latent, analytic))
    known = 98 * 0.5 * (0.7**2 + 0.3**2 - 1 - 2 * np.log(0.3))
    assert worse == pytest.approx(known, rel=0.02)


@pytest.mark.parametrize("sampler, steps", [("ancestral", 100), ("ddim", 100)])
def test_draws_of_the_prior_follow_a_known_law(sampler, steps, tiny):
    model = tiny("latent_diffusion")
    model.denoise = denoiser_of(0.7, 0.3)
    z = np.asarray(model.sample_prior(noise.rows(0, 64), steps=steps, sampler=sampler))
    assert z.shape == (64, 98)
    assert z.mean() == pytest.approx(0.7, abs=0.03)
    assert z.std() == pytest.approx(0.3, rel=0.1)


def test_the_gradient_of_the_rate_reaches_encoder_denoiser_and_ends(tiny, batch):
    model = tiny("latent_diffusion")
    rng = np.random.default_rng(0)
    for weight in model.denoiser.trainable_weights:
        weight.assign_add(rng.normal(0, 0.05, weight.shape))
    parts = (model.encoder, model.denoiser)
    watched = [part.trainable_weights[0].value for part in parts]
    watched += [model.schedule.low.value, model.schedule.height.value]
    with tf.GradientTape() as tape:
        rate = tf.reduce_mean(model.terms(batch, seed=SEED).rate)
    assert all(np.abs(gradient).max() > 0 for gradient in tape.gradient(rate, watched))


def test_training_the_denoiser_finds_a_law_that_is_not_normal(tiny):
    """Latents of two values, each image of one: N(0, 1) pays for its tails, the diffusion not."""
    model = tiny("latent_diffusion", denoiser_hidden=(16,))
    optimizer = keras.optimizers.Adam(1e-2)
    weights = model.denoiser.trainable_weights
    optimizer.build(weights)
    signs = tf.constant(np.sign(np.random.default_rng(0).normal(size=(64, 1))), tf.float32)
    scales = np.full((64, 98), unbounded(np.log(0.1)), np.float32)
    encoded = tf.concat([tf.tile(signs, [1, 98]), scales], axis=-1)

    @tf.function
    def step(key):
        with tf.GradientTape() as tape:
            [latent] = model.infer(encoded, None, 1, key)
            loss = tf.reduce_mean(model.rate(latent))
        gradients = tape.gradient(loss, [weight.value for weight in weights])
        optimizer.apply(gradients, weights)
        return loss

    losses = [float(step(tf.constant([0, number]))) for number in range(120)]
    standard = 98 * 0.5 * (1 + 0.01 - 1 - 2 * np.log(0.1))  # 226.1 nats
    assert losses[0] == pytest.approx(standard, rel=0.1)
    assert np.log(2) < np.mean(losses[-20:]) < 0.5 * standard


def test_latents_are_decoded_as_they_were_encoded(tiny, batch):
    model = tiny("latent_diffusion")
    z = model.encode(batch["image"])
    np.testing.assert_allclose(model.decode(z), model.reconstruct(batch["image"]), atol=1e-6)
    images, drawn = model.sample(noise.rows(0, 2))
    np.testing.assert_allclose(images, model.decode(drawn), atol=1e-6)
    still = model.sample(noise.rows(0, 2), temperature=0.0)[1]
    np.testing.assert_array_equal(still[0], still[1])


def test_the_bound_is_one_sample_by_sample_or_not(tiny, batch):
    model = tiny("latent_diffusion")
    rows = noise.rows(2, 8)
    found = [
        np.mean(elbo.elbo(model.terms(batch, num_samples=128, analytic=analytic, seed=rows)))
        for analytic in (True, False)
    ]
    assert found[0] == pytest.approx(found[1], rel=0.01)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"denoiser_hidden": ()}, r"denoiser_hidden=\(\)"),
        ({"denoiser_blocks": -1}, "denoiser_blocks=-1"),
        ({"sample_steps": 0}, "sample_steps=0"),
        ({"latent_size": 3}, "Expected latent_channels"),
        ({"prior": "vamp"}, "prior='vamp' does not combine with LatentDiffusion"),
    ],
)
def test_what_makes_no_latent_diffusion_is_refused(arguments, words, tiny):
    with pytest.raises(vae_zoo.UserError, match=words):
        tiny("latent_diffusion", **arguments)


def test_no_prior_is_fitted_in_the_place_of_the_one_trained_with_it(tiny, batch):
    with pytest.raises(vae_zoo.UserError, match="trained with a diffusion"):
        aggregate.fit(tiny("latent_diffusion"), "gmm", batch["image"])
