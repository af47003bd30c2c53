"""The discriminator of images, on laws whose divergence is known; what trains which part."""

import numpy as np
import pytest
import tensorflow as tf

import vae_zoo
from vae_zoo.probability import elbo, noise

KEY = tf.constant([0, 5])


@pytest.fixture(scope="module")
def model(tiny):
    model = tiny("vae_gan", feature_weight=2.0, adversarial_weight=3.0)
    model.compile()
    return model


def test_the_discriminator_finds_the_known_divergence_of_two_laws_of_images(tiny):
    """Grey images, one of N(0.6, 0.2) and one of N(0.4, 0.2) over all pixels: half a nat."""
    wider = {"discriminator_hidden": (16,), "discriminator_learning_rate": 1e-2}
    model = tiny("vae_gan", image_shape=(8, 8, 1), **wider)
    model.compile()
    rng = np.random.default_rng(0)
    pages = tf.ones([1, 8, 8, 1])
    real, fake = (
        tf.constant(mean + 0.2 * rng.normal(size=(200, 128, 1, 1, 1)), tf.float32)
        for mean in (0.6, 0.4)
    )
    place = tf.Variable(0)
    model.fakes = lambda z, key: tf.gather(fake, place) * pages
    step = tf.function(model.train_discriminator)
    for index in range(180):
        if index == 120:
            model.discriminator_optimizer.learning_rate = 1e-3
        place.assign(index)
        step((real[index] * pages, tf.zeros([128, 3])), KEY)
    unseen = tf.reshape(real[180:], [-1, 1, 1, 1]) * pages
    divergence = (0.6 - 0.4) ** 2 / (2 * 0.2**2)
    assert float(tf.reduce_mean(model.log_ratio(unseen))) == pytest.approx(divergence, abs=0.1)


def gradients(model, batch):
    """Returns the largest gradient of (the features' cost, the fakes') in encoder and decoder."""
    parts = [model.encoder.trainable_weights[0], model.decoder.trainable_weights[-2]]
    watched, found = [part.value for part in parts], []
    weights = model.feature_weight, model.adversarial_weight
    for kept in ((weights[0], 0.0), (0.0, weights[1])):
        model.feature_weight, model.adversarial_weight = kept
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model.terms(batch, seed=KEY).penalty)
        found.append([float(np.abs(each).max()) for each in tape.gradient(loss, watched)])
    model.feature_weight, model.adversarial_weight = weights
    return found


def test_features_train_encoder_and_decoder_and_being_told_the_decoder_alone(model, batch):
    features, told = gradients(model, {"image": tf.constant(batch["image"])})
    assert features[0] > 0 and features[1] > 0
    assert told[0] == 0 and told[1] > 0
    names = {weight.path for weight in model.trainable_variables}
    assert not any("discriminator" in name for name in names)


def test_the_loss_is_the_elbo_with_what_is_charged_beside_it(model, tiny, batch):
    plain = tiny("conv_vae")
    for part in ("encoder", "posterior_head", "decoder"):
        getattr(plain, part).set_weights(getattr(model, part).get_weights())
    terms, same = (each.terms(batch, num_samples=2, seed=KEY) for each in (model, plain))
    np.testing.assert_allclose(elbo.elbo(terms), elbo.elbo(same), rtol=1e-5)
    np.testing.assert_allclose(terms.loss, same.loss + np.mean(terms.penalty, 1), rtol=1e-5)
    [latent] = model.infer(model.features(tf.constant(batch["image"])), None, 2, KEY)
    seen = model.discriminator(batch["image"])[0].numpy()
    draws = model.fakes(latent.z, KEY)
    for sample in range(2):
        again = model.discriminator(model.decode(latent.z[sample]))[0].numpy()
        known = 2.0 * 0.5 * ((again - seen) ** 2).sum(-1)
        logits = np.stack([model.discriminator(draw[sample])[1][:, 0] for draw in draws])
        known += 3.0 * np.log1p(np.exp(-logits)).mean(0)
        np.testing.assert_allclose(terms.penalty[:, sample], known, rtol=1e-4)


def test_fakes_are_of_the_posterior_and_of_the_prior(model):
    z = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    ours, drawn = model.fakes(tf.constant(z), KEY)
    np.testing.assert_allclose(ours, model.decode(z), atol=1e-6)
    normals = noise.standard_normal(KEY, 1, 5, [3], stream=1000)[0]
    np.testing.assert_allclose(drawn, model.decode(normals), atol=1e-6)


def test_the_paper_has_no_pixels_in_the_loss(tiny, batch):
    model = tiny("vae_gan", pixel_weight=0.0)
    terms = model.terms(batch, seed=KEY)
    np.testing.assert_allclose(terms.loss, terms.rate[:, 0, 0] + terms.penalty[:, 0], rtol=1e-5)


def test_a_step_of_the_discriminator_leaves_the_model_alone(tiny, batch):
    model = tiny("vae_gan")
    model.compile()
    model.optimizer.learning_rate = 0.0
    before, discriminator = model.decoder.get_weights(), model.discriminator.get_weights()
    model.train_step({"image": tf.constant(batch["image"])})
    assert all(map(np.array_equal, before, model.decoder.get_weights()))
    assert not all(map(np.array_equal, discriminator, model.discriminator.get_weights()))


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"pixel_weight": -1}, "pixel_weight=-1"),
        ({"feature_weight": -1}, "feature_weight=-1"),
        ({"adversarial_weight": -1}, "adversarial_weight=-1"),
        ({"discriminator_hidden": ()}, r"discriminator_hidden=\(\)"),
        ({"prior": "vamp"}, "prior='vamp' does not combine with VAEGAN"),
    ],
)
def test_arguments_that_make_no_vae_gan_are_refused(arguments, words, tiny):
    with pytest.raises(vae_zoo.UserError, match=words):
        tiny("vae_gan", **arguments)
