"""Similarity to an eye: TensorFlow's own, or by hand; its bounds; what a model pays."""

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


def features_by_hand(image):
    """Returns the features of each stage of one image [H, W, C], place by place, in float64."""
    rng, found = np.random.default_rng(0), []
    for width in (16, 32, 64):
        height, wide, channels = image.shape
        scale = np.sqrt(2 / (9 * channels))
        kernel = rng.normal(0, scale, (3, 3, channels, width)).astype(np.float32)
        padded = np.zeros((height + 2, wide + 2, channels))
        padded[:height, :wide] = image  # of even sides: what is missing is below and to the right
        rows = []
        for y in range(0, height, 2):
            patches = [padded[y : y + 3, x : x + 3] for x in range(0, wide, 2)]
            rows.append([np.einsum("yxc,yxcf->f", patch, kernel) for patch in patches])
        image = np.array(rows)
        image = np.where(image > 0, image, 0.2 * image)
        found.append(image / np.sqrt((image**2).sum(-1, keepdims=True) + 1e-6))
    return found


def test_distance_of_features_is_that_of_a_network_by_hand():
    rng = np.random.default_rng(1)
    x, y = rng.random((2, 3, 16, 24, 3)).astype(np.float32)
    expected = []
    for one, other in zip(x, y, strict=True):
        stages = zip(features_by_hand(one), features_by_hand(other), strict=True)
        expected.append(np.mean([((a - b) ** 2).sum(-1).mean() for a, b in stages]))
    found = ssim.feature_distance(tf.constant(x), tf.constant(y))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_array_equal(ssim.feature_distance(tf.constant(x), tf.constant(x)), 0)


def test_lost_edges_cost_more_features_than_a_change_of_light():
    """Both images are as far away by squared pixels: by features, the flat one is farther."""
    edges = np.tile((np.arange(32) // 4 % 2).astype(np.float32), (32, 1))[None, :, :, None]
    x = 0.2 + 0.4 * edges  # of 0.2 and 0.6
    flat, lighter = np.full_like(x, 0.4), x + 0.2
    assert np.mean((flat - x) ** 2) == pytest.approx(np.mean((lighter - x) ** 2), rel=1e-4)
    found = [float(ssim.feature_distance(tf.constant(x), tf.constant(y))[0])
             for y in (flat, lighter)]  # fmt: skip
    assert found[0] > 2 * found[1] > 0


def test_a_model_pays_for_features_and_is_trained_by_them(tiny, batch):
    model = tiny("ssim_vae", ssim_weight=7.0, dissimilarity="features")
    image = tf.constant(batch["image"])
    weights = [part.trainable_weights[-2].value for part in (model.encoder, model.decoder)]
    with tf.GradientTape() as tape:
        penalty = model.terms({"image": image}, seed=SEED).penalty
    [latent] = model.infer(model.features(image), None, 1, SEED)
    apart = ssim.feature_distance(image, model.likelihood(latent.z[0]).mean())
    np.testing.assert_allclose(penalty[:, 0], 7 * apart, rtol=1e-4)
    assert all(np.abs(each).max() > 0 for each in tape.gradient(penalty, weights))


def test_an_unknown_dissimilarity_is_refused(tiny):
    with pytest.raises(vae_zoo.UserError, match="Did you mean 'features'"):
        tiny("ssim_vae", dissimilarity="feature")


def test_a_negative_weight_is_refused(tiny):
    with pytest.raises(vae_zoo.UserError, match="ssim_weight=-1"):
        tiny("ssim_vae", ssim_weight=-1)
