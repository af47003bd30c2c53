"""Quantisers: every code is one place, and back; gradients; what is charged; codes drawn."""

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import vae_zoo
from vae_zoo.probability import codebook, elbo, noise, quantizers

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


@pytest.fixture(scope="module")
def four_places(tiny):
    """A model of four places of three codes, which are drawn, with a prior far from even."""
    model = tiny("vq_vae", quantizer="stochastic", image_shape=(4, 4, 1), codebook_size=3)
    rng = np.random.default_rng(0)
    for weight in model.code_prior.trainable_variables:
        weight.assign(weight + rng.normal(0, 0.5, weight.shape).astype(np.float32))
    model.codebook.log_precision.assign(-3.0)  # a posterior wide enough for importance weights
    return model, tf.constant(rng.random((3, 4, 4, 1)) < 0.4, tf.float32)


def test_bounds_of_codes_that_are_drawn_are_those_of_a_sum_over_all_codes(four_places):
    """81 codes: log p(x), and the ELBO, by summation; the rate in both of its forms."""
    model, image = four_places
    every = tf.constant(list(itertools.product(range(3), repeat=4)), tf.int32)  # [81, 4]
    prior = model.code_prior.log_prob(every)
    vectors = tf.reshape(model.codebook.vectors_of(every), [81, 1, -1])
    z = tf.tile(vectors, [1, 3, 1])  # [81, B, 4 D]
    log_joint = prior[:, tf.newaxis] + model.likelihood(z).log_prob(image)  # [81, B]
    evidence = tf.reduce_logsumexp(log_joint, axis=0)
    logits = model.codebook.logits(model.features(image))
    shares = tf.nn.log_softmax(tf.reshape(logits, [3, 4, 3])).numpy()
    log_q = shares[:, range(4), every.numpy()].sum(-1).T  # [81, B]
    expected = np.sum(np.exp(log_q) * (log_joint - log_q), axis=0)
    assert np.all(evidence - expected > 0.05)
    found = {
        analytic: model.terms({"image": image}, num_samples=4000, analytic=analytic, seed=SEED)
        for analytic in (True, False)
    }
    ratio = np.exp(elbo.log_weights(found[False]) - evidence[:, tf.newaxis])  # of mean 1
    error = ratio.std(axis=1) / np.sqrt(4000)
    assert (np.abs(ratio.mean(axis=1) - 1) < 4 * error).all() and error.max() < 0.1
    for terms in found.values():
        weights = np.asarray(elbo.log_weights(terms))
        error = weights.std(axis=1) / np.sqrt(4000)
        assert (np.abs(weights.mean(axis=1) - expected) < 4 * error).all() and error.max() < 0.1
    deviations = [np.std(found[analytic].rate, axis=1).max() for analytic in (True, False)]
    assert deviations[0] < 0.5 * deviations[1]


def test_logits_of_one_hots_are_those_of_the_codes(four_places):
    prior = four_places[0].code_prior
    codes = tf.constant([[0, 1, 2, 1], [2, 2, 0, 0]])
    np.testing.assert_allclose(prior.logits_of(tf.one_hot(codes, 3)), prior(codes), atol=1e-5)


def test_only_codes_that_are_drawn_feel_the_rate(tiny, batch):
    """Under an even prior it is log C less the entropy of each place, and so is its gradient."""
    image, felt = tf.constant(batch["image"]), {}
    for name in ("codebook", "stochastic"):
        model = tiny("vq_vae", quantizer=name)
        encoded = model.features(image)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(encoded)
            rate = tf.reduce_sum(model.rate(model.infer(encoded, None, 1, SEED)[0]))
            if name == "stochastic":
                shares = tf.nn.softmax(model.codebook.logits(encoded))
                known = tf.reduce_sum(shares * tf.math.log(shares)) + 8 * 49 * math.log(8)
        felt[name] = tape.gradient(rate, encoded)
    assert felt["codebook"] is None
    assert float(rate) == pytest.approx(float(known), rel=1e-3)
    wanted = tape.gradient(known, encoded)
    np.testing.assert_allclose(felt["stochastic"], wanted, rtol=1e-3, atol=1e-5)
    assert np.abs(wanted).max() > 1e-3


def test_codes_that_are_drawn_take_what_a_rate_takes(tiny, batch):
    model = tiny("vq_vae", quantizer="stochastic", beta=2.0, free_bits=1.0)
    assert not model.is_bound and model.codebook.vectors.trainable
    assert np.isfinite(model.terms(batch, seed=SEED).loss).all()


def test_codebooks_in_a_row_quantise_what_is_left():
    row = codebook.ResidualCodebook(3, 2, 0.9, 2)
    row.books[0].vectors.assign([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    row.books[1].vectors.assign([[0.0, 0.0], [1.0, 0.0], [0.0, -1.0]])
    encoded = tf.constant([[[10.9, 0.2], [0.1, 9.2], [-0.2, 0.1]]])
    codes = row.nearest(encoded)
    np.testing.assert_array_equal(codes, [[[1, 1], [2, 2], [0, 0]]])
    np.testing.assert_allclose(row.vectors_of(codes), [[[11, 0], [0, 9], [0, 0]]])
    use = row.use_of(encoded, SEED)
    np.testing.assert_array_equal(use.counts, np.ones((2, 3)))
    np.testing.assert_allclose(use.sums[1], [[-0.2, 0.1], [0.9, 0.2], [0.1, -0.8]], atol=1e-5)
    row.follow(use)
    np.testing.assert_allclose(row.counts, np.full((2, 3), 0.1), rtol=1e-6)
    assert float(codebook.perplexity(row.counts)) == pytest.approx(3, rel=1e-5)


def test_a_model_of_codebooks_in_a_row_has_a_code_of_each(tiny, batch, tmp_path):
    model = tiny("vq_vae", num_quantizers=2)
    terms = model.terms(batch, seed=SEED)
    np.testing.assert_allclose(terms.rate[..., 0], 2 * 49 * math.log(8), rtol=1e-5)
    assert model.encode(batch["image"]).shape == (8, 98)
    images, codes = model.sample(noise.rows(0, 2))
    vectors = model.codebook.vectors_of(tf.cast(tf.reshape(codes, [-1, 49, 2]), tf.int32))
    np.testing.assert_allclose(images, model.decode(vectors), atol=1e-6)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.terms(batch, seed=SEED).loss, terms.loss)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"quantizer": "fqs"}, "Unknown quantizer 'fqs'"),
        ({"quantizer": "fsq", "latent_size": 4}, "latent_size=4: expected it left out"),
        ({"quantizer": "fsq", "levels": (8, 1)}, r"levels=\(8, 1\)"),
        ({"quantizer": "fsq", "levels": 8}, "levels=8"),
        ({"quantizer": "lfq", "num_quantizers": 2}, "num_quantizers=2: expected 1 with"),
        ({"num_quantizers": 0}, "num_quantizers=0"),
        ({"quantizer": "stochastic", "temperature": 0}, "temperature=0"),
        ({"quantizer": "lfq", "codebook_size": 100}, "codebook_size=100: expected a power of two"),
    ],
)
def test_arguments_that_make_no_quantiser_are_refused(arguments, words):
    with pytest.raises(vae_zoo.UserError, match=words):
        vae_zoo.create_model("vq_vae", image_shape=(28, 28, 1), **arguments)
