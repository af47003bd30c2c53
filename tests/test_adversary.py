"""The discriminator of latents and the prior, on laws whose divergence is known."""

import numpy as np
import pytest
import tensorflow as tf

import vae_zoo

KEY = tf.constant([0, 5])


@pytest.fixture(scope="module")
def discriminating(tiny):
    """A function that builds a compiled wae_gan of two latent dimensions."""

    def build(**arguments):
        model = tiny("wae_gan", latent_size=2, discriminator_hidden=(64, 64), **arguments)
        model.compile()
        return model

    return build


def test_the_discriminator_finds_the_known_divergence_of_two_normals(discriminating):
    """KL(N(m, s) || N(0, 1)); and none of the prior from itself."""
    mean, scale = np.array([0.6, -0.4]), np.array([0.8, 1.1])
    known = 0.5 * np.sum(mean**2 + scale**2 - 1 - 2 * np.log(scale))
    draws = np.random.default_rng(0).normal(size=(420, 512, 2))
    for law, divergence in ((mean + scale * draws, known), (draws, 0.0)):
        model = discriminating(discriminator_learning_rate=3e-3)
        step = tf.function(model.train_discriminator)
        for index, z in enumerate(law[:400]):
            step(tf.constant(z, tf.float32), tf.constant([0, index]))
        unseen = tf.constant(law[400:].reshape(-1, 2), tf.float32)
        assert float(tf.reduce_mean(model.log_ratio(unseen))) == pytest.approx(divergence, abs=0.06)


def test_the_others_are_draws_of_the_prior_and_a_function_of_the_key(discriminating):
    model = discriminating()
    z = tf.zeros([5000, 2])
    others = model.others(z, KEY).numpy()
    np.testing.assert_allclose(others.mean(0), 0, atol=0.06)
    np.testing.assert_allclose(np.cov(others.T), np.eye(2), atol=0.08)
    np.testing.assert_array_equal(others, model.others(z, KEY))
    assert (others != model.others(z, tf.constant([0, 6])).numpy()).any()


def test_the_loss_charges_what_gives_the_latents_away_and_no_rate(discriminating, batch):
    model = discriminating(adversarial_weight=3.0)
    terms = model.terms(batch, seed=KEY)
    [latent] = model.infer(model.features(batch["image"]), None, 1, KEY)
    says_prior = 1 / (1 + np.exp(model.log_ratio(latent.z[0])))
    np.testing.assert_allclose(terms.penalty[:, 0], -3 * np.log(says_prior), rtol=1e-5)
    expected = terms.penalty[:, 0] - terms.log_likelihood[:, 0]
    np.testing.assert_allclose(terms.loss, expected, rtol=1e-5)


def test_training_moves_the_latents_towards_the_prior(discriminating, batch):
    """The encoder's own gradient is left: the discriminator knows that q(z) lies to the right."""
    model = discriminating(adversarial_weight=1e4, discriminator_learning_rate=3e-3)
    kernel, bias = model.posterior_head.get_weights()
    model.posterior_head.set_weights([kernel, bias + 2.0])
    rng = np.random.default_rng(0)
    step = tf.function(model.train_discriminator)
    for index in range(100):
        z = 2.0 + 0.3 * rng.normal(size=(128, 2))
        step(tf.constant(z, tf.float32), tf.constant([0, index]))
    before = model.encode(batch["image"]).numpy().mean(0)
    model.optimizer.learning_rate = 1e-2
    model.train_step({"image": tf.constant(batch["image"])})
    assert (model.encode(batch["image"]).numpy().mean(0) < before).all()


def test_a_fixed_posterior_has_one_deviation_for_every_image(tiny, batch):
    posterior = tiny("wae_gan").posterior(tf.constant(batch["image"]))
    np.testing.assert_allclose(posterior.stddev(), np.full((8, 3), 0.1), rtol=1e-6)
    means = posterior.mean().numpy()
    known = 0.5 * np.sum(means**2 + 0.01 - 1 - 2 * np.log(0.1), axis=1)
    np.testing.assert_allclose(tiny("wae_gan").terms(batch, seed=KEY).rate[:, 0, 0], known, 1e-4)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"adversarial_weight": -1}, "adversarial_weight=-1"),
        ({"discriminator_hidden": ()}, r"discriminator_hidden=\(\)"),
        ({"prior": "vamp"}, "prior='vamp' does not combine with WAEGAN"),
    ],
)
def test_arguments_that_make_no_adversary_are_refused(arguments, words, tiny):
    with pytest.raises(vae_zoo.UserError, match=words):
        tiny("wae_gan", **arguments)
