"""Structural similarity: TensorFlow's own, where it can be had; its bounds; what a model pays."""

import numpy as np
import pytest
import tensorflow as tf

import vae_zoo
from vae_zoo.models import ssim
from vae_zoo.probability import elbo

SEED = (0, 3)


@pytest.mark.parametrize("shape, scales", [((48, 56, 3), 3), ((28, 28, 1), 2), ((12, 20, 1), 1)])
def test_similarity_is_tensorflow_s(shape, scales):
    rng = np.random.default_rng(0)
    x = rng.random((4, *shape)).astype(np.float32)
    y = np.clip(x + rng.normal(0, [[[[0.05]]], [[[0.1]]], [[[0.2]]], [[[0.4]]]], x.shape), 0, 1)
    y = y.astype(np.float32)
    shares = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
    known = tf.image.ssim_multiscale(x, y, 1.0, power_factors=(shares / shares.sum()).tolist())
    found = ssim.ms_ssim(tf.constant(x), tf.constant(y))
    np.testing.assert_allclose(found, known, rtol=1e-3)
    assert (np.diff(found) < 0).all()
    np.testing.assert_allclose(ssim.ms_ssim(tf.constant(x), tf.constant(x)), 1, atol=1e-5)


def test_opposite_images_have_a_similarity_and_a_gradient():
    x = tf.constant(np.random.default_rng(0).random((1, 28, 28, 1)) < 0.5, tf.float32)
    for other in (1.0 - x, tf.zeros_like(x), tf.ones_like(x)):
        with tf.GradientTape() as tape:
            tape.watch(other)
            found = ssim.ms_ssim(x, other)
        assert 0 <= float(found[0]) < 0.1
        assert np.isfinite(tape.gradient(found, other)).all()


def test_a_model_pays_for_what_its_means_lack_and_its_bound_stays_one(tiny, batch):
    model, plain = tiny("ssim_vae", ssim_weight=7.0), tiny("conv_vae")
    plain.set_weights(model.get_weights())
    terms = model.terms(batch, num_samples=2, seed=SEED)
    [latent] = model.infer(model.features(tf.constant(batch["image"])), None, 2, SEED)
    for sample in range(2):
        means = model.likelihood(latent.z[sample]).mean()
        known = 7 * (1 - ssim.ms_ssim(tf.constant(batch["image"]), means))
        np.testing.assert_allclose(terms.penalty[:, sample], known, rtol=1e-4)
    same = plain.terms(batch, num_samples=2, seed=SEED)
    np.testing.assert_allclose(elbo.elbo(terms), elbo.elbo(same), rtol=1e-6)
    paid = np.mean(terms.penalty, axis=1)
    np.testing.assert_allclose(terms.loss, same.loss + paid, rtol=1e-5)


def test_a_negative_weight_is_refused(tiny):
    with pytest.raises(vae_zoo.UserError, match="ssim_weight=-1"):
        tiny("ssim_vae", ssim_weight=-1)
