"""Quantisers of fixed codes: every code is one place, and back; gradients; what is charged."""

import math

import numpy as np
import pytest
import tensorflow as tf

import vae_zoo
from vae_zoo.probability import codebook, quantizers

SEED = (0, 3)
EACH = {
    "fsq": lambda: quantizers.FiniteScalarQuantizer((8, 6, 5)),
    "lfq": lambda: quantizers.LookupFreeQuantizer(5),
}


def encodings_of(quantizer):
    """Returns vectors that the encoder gives for each code: the code's, before it is bounded."""
    vectors = quantizer.vectors_of(tf.range(quantizer.size))
    if not hasattr(quantizer, "levels"):
        return vectors
    levels = np.array(quantizer.levels)
    reach = (levels - 1) * 1.001 / 2
    offset = np.where(levels % 2 == 0, 0.5, 0.0)
    inside = (vectors * (levels // 2) + offset) / reach
    return tf.constant(np.arctanh(inside) - np.arctanh(offset / reach), tf.float32)


@pytest.mark.parametrize("name", EACH)
def test_every_code_is_a_vector_of_its_own_and_comes_back(name):
    quantizer = EACH[name]()
    encoded = encodings_of(quantizer)
    np.testing.assert_array_equal(quantizer.nearest(encoded), np.arange(quantizer.size))
    vectors = quantizer.vectors_of(tf.range(quantizer.size)).numpy()
    assert len(np.unique(vectors, axis=0)) == quantizer.size
    assert vectors.min() == -1 and vectors.max() <= 1
    assert np.abs(quantizer.bounded(encoded) - vectors).max() < 0.2


@pytest.mark.parametrize("name", EACH)
def test_an_even_code_has_the_bits_of_its_size(name):
    quantizer = EACH[name]()
    use = quantizer.use_of(encodings_of(quantizer)[tf.newaxis], SEED)
    bits = math.log2(float(codebook.perplexity(use.counts)))
    assert bits == pytest.approx({"fsq": math.log2(240), "lfq": 5}[name], abs=1e-4)
    quantizer.follow(use, tf.constant(False))
    np.testing.assert_array_equal(quantizer.counts, 0)
    quantizer.follow(use)
    np.testing.assert_allclose(quantizer.counts, 0.01, rtol=1e-4)


def test_any_encoding_has_a_code_within_reach():
    """Far from zero, the outermost level; and no dimension changes another's level."""
    quantizer = EACH["fsq"]()
    far = tf.constant([[-50.0, 50.0, -50.0], [50.0, -50.0, 50.0]])
    levels = quantizer.vectors_of(quantizer.nearest(far)) * np.array([4, 3, 2])
    np.testing.assert_allclose(levels, [[-4, 2, -2], [3, -3, 2]], rtol=1e-6)
    draws = tf.random.stateless_normal([1000, 3], (0, 1))
    away = quantizer.bounded(draws) - quantizer.vectors_of(quantizer.nearest(draws))
    assert (np.abs(away).max(0) <= 0.5 / np.array([4, 3, 2]) + 1e-5).all()


def test_lookup_free_codes_pay_for_doubt_and_for_uneven_use():
    """Sure and evenly used: -log 32 nats a place; all alike: none; no idea: none."""
    quantizer = EACH["lfq"]()
    every = 8.0 * quantizer.vectors_of(tf.range(32))[tf.newaxis, tf.newaxis]  # [1, 1, 32, 5]
    distance = 5 * 7.0**2
    for encoded, doubt in ((every, -math.log(32)), (tf.tile(every[:, :, :1], [1, 1, 32, 1]), 0)):
        cost = quantizer.cost(encoded, encoded / 8.0)
        assert float(cost[0]) == pytest.approx(32 * (doubt + distance), rel=1e-3)
    zeros = tf.zeros([1, 1, 32, 5])
    assert float(quantizer.cost(zeros, zeros)[0]) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("name", EACH)
def test_gradient_goes_through_what_is_bounded(name, tiny, batch):
    model = tiny("fsq_vae") if name == "fsq" else tiny("vq_vae", quantizer="lfq", latent_size=None)
    image = tf.constant(batch["image"])
    encoded = model.features(image)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(encoded)
        [latent] = model.infer(encoded, None, 1, SEED)
        total = tf.reduce_sum(latent.z)
        bounded = tf.reduce_sum(model.codebook.bounded(encoded))
    np.testing.assert_allclose(
        tape.gradient(total, encoded), tape.gradient(bounded, encoded), rtol=1e-4, atol=1e-6
    )
    terms = model.terms(batch, seed=SEED)
    np.testing.assert_allclose(terms.rate[..., 0], 49 * math.log(model.codebook_size), rtol=1e-5)
    assert np.isfinite(terms.loss).all()


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"quantizer": "fqs"}, "Unknown quantizer 'fqs'"),
        ({"quantizer": "fsq", "latent_size": 4}, "latent_size=4: expected it left out"),
        ({"quantizer": "fsq", "levels": (8, 1)}, r"levels=\(8, 1\)"),
        ({"quantizer": "fsq", "levels": 8}, "levels=8"),
        ({"quantizer": "lfq", "codebook_size": 100}, "codebook_size=100: expected a power of two"),
    ],
)
def test_arguments_that_make_no_quantiser_are_refused(arguments, words):
    with pytest.raises(vae_zoo.UserError, match=words):
        vae_zoo.create_model("vq_vae", image_shape=(28, 28, 1), **arguments)
