"""Vector quantisation: its gradient, its codebook, its prior."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import vae_zoo
from vae_zoo import training
from vae_zoo.networks import causal
from vae_zoo.probability import elbo, noise
from vae_zoo.probability.codebook import Codebook, perplexity, straight_through

SEED = (0, 3)


def test_gradient_goes_straight_through_the_choice(tiny, batch):
    model = tiny("vq_vae", commitment=0.0)
    image = tf.constant(batch["image"])
    encoded = model.features(image)
    vectors = model.choose(encoded).vectors

    def distortion(vectors):
        flat = tf.reshape(vectors, [len(image), -1])
        return -tf.reduce_sum(model.likelihood(flat).log_prob(image))

    with tf.GradientTape(persistent=True) as tape:
        tape.watch([encoded, vectors])
        through = distortion(straight_through(encoded, vectors))
        identity = distortion(vectors)
    np.testing.assert_allclose(through, identity, rtol=1e-6)
    expected = tape.gradient(identity, vectors)
    np.testing.assert_allclose(tape.gradient(through, encoded), expected, rtol=1e-5, atol=1e-6)
    assert np.abs(expected).max() > 0


@pytest.mark.parametrize("hidden", [(8,), (8, 16), (8, 16, 24)])
def test_channels_may_be_more_or_fewer_than_the_resolutions(hidden, tiny, batch):
    """The resnet of 28 x 28 images has one resolution; what is beyond it is not used."""
    terms = tiny("vq_vae", hidden=hidden).terms(batch, seed=SEED)
    assert np.isfinite(terms.loss).all()


def test_codebook_follows_the_running_means():
    codebook = Codebook(3, 2, decay=0.9)
    codebook.vectors.assign([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    codebook.counts.assign([4.0, 2.0, 1.0])
    batch = tf.constant([[1.0, 0.0], [0.0, 1.0], [9.0, 1.0], [11.0, 1.0]])
    codebook.follow(codebook.use_of(batch, SEED), good=tf.constant(False))
    np.testing.assert_array_equal(codebook.counts, [4, 2, 1])
    codebook.follow(codebook.use_of(batch, SEED))
    counts = [0.9 * 4 + 0.1 * 2, 0.9 * 2 + 0.1 * 2, 0.9]
    np.testing.assert_allclose(codebook.counts, counts, rtol=1e-6)
    expected = [
        np.array([0.1 * 1, 0.1 * 1]) / counts[0],
        np.array([0.9 * 2 * 10 + 0.1 * 20, 0.1 * 2]) / counts[1],
        [0.0, 10.0],
    ]
    np.testing.assert_allclose(codebook.vectors, expected, rtol=1e-6)


def test_dead_codes_come_back_as_vectors_of_the_batch():
    codebook = Codebook(4, 2, decay=0.5)
    batch = np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32)
    codebook.vectors.assign([[0, 0], [90, 0], [0, 90], [90, 90]])
    use = codebook.use_of(tf.constant(batch), SEED)
    codebook.follow(use)
    assert np.all(np.asarray(codebook.counts) >= 4)
    for vector in np.asarray(codebook.vectors)[1:]:
        assert (batch == vector).all(axis=1).any()


def test_a_skipped_step_leaves_the_codebook_alone(tiny, digits):
    for skip_norm, moved in ((1e-9, False), (None, True)):
        model = tiny("vq_vae")
        training.compile_model(model, training.Settings(epochs=1, skip_norm=skip_norm), 2)
        before = np.asarray(model.codebook.vectors)
        model.fit(digits.train_from(0), epochs=1, steps_per_epoch=2, verbose=0)
        assert int(model.optimizer.skipped) == (0 if moved else 2)
        assert (np.abs(model.codebook.vectors - before).max() > 0) == moved


@pytest.fixture(scope="module")
def small_prior():
    """A prior over 2 codes of 3, far from uniform, and its probabilities [3, 3]."""
    prior = causal.CausalTransformer(3, 2, width=8, depth=1)
    prior.build((None, 2))
    rng = np.random.default_rng(0)
    for weight in prior.trainable_variables:
        weight.assign(weight + rng.normal(0, 0.5, weight.shape).astype(np.float32))
    every = tf.constant(list(itertools.product(range(3), repeat=2)), tf.int32)
    return prior, np.exp(prior.log_prob(every)).reshape(3, 3)


def test_prior_is_a_distribution_and_no_place_sees_itself_or_later_ones(small_prior):
    prior, probabilities = small_prior
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    wide = causal.CausalTransformer(5, 6, width=8, depth=2)
    wide.build((None, 6))
    wide.head.kernel.assign(np.random.default_rng(0).normal(size=wide.head.kernel.shape))
    codes = np.random.default_rng(1).integers(0, 5, (1, 6)).astype(np.int32)
    before = np.asarray(wide(codes))
    for place in range(6):
        other = codes.copy()
        other[0, place] = (other[0, place] + 1) % 5
        change = np.abs(wide(other) - before).max(axis=-1)[0]  # [L]
        assert (change[: place + 1] == 0).all() and (change[place + 1 :] > 0).all()


def test_draws_follow_the_prior(small_prior):
    prior, probabilities = small_prior
    codes = np.asarray(prior.draw(noise.uniform(noise.rows(0, 20_000), [2])))
    share = np.histogram2d(*codes.T, bins=[range(4), range(4)])[0] / len(codes)
    error = np.sqrt(probabilities * (1 - probabilities) / len(codes))
    assert (np.abs(share - probabilities) < 4 * error).all()
    likeliest = prior.draw(noise.uniform(noise.rows(0, 50), [2]), tf.constant(0.0))
    assert len(np.unique(likeliest, axis=0)) == 1


def test_a_place_s_logits_from_the_kept_keys_are_those_of_the_whole_sequence():
    prior = causal.CausalTransformer(5, 6, width=8, depth=2)
    prior.build((None, 6))
    rng = np.random.default_rng(0)
    for weight in prior.trainable_variables:
        weight.assign(weight + rng.normal(0, 0.5, weight.shape).astype(np.float32))
    codes = tf.constant(rng.integers(0, 5, (3, 6)), tf.int32)
    whole, caches, before = prior(codes), prior.empty_caches(tf.zeros([3, 6])), 5 + 0 * codes[:, :1]
    for place in range(6):
        logits, caches = prior.next_logits(before, tf.constant(place), caches)
        np.testing.assert_allclose(logits, whole[:, place], atol=1e-5)
        before = codes[:, place : place + 1]


def test_samples_are_decoded_draws_of_the_learned_prior(tiny):
    model = tiny("vq_vae")
    model.codebook.vectors.assign(np.random.default_rng(0).normal(size=(8, 3)))
    images, codes = model.sample(noise.rows(0, 4))
    vectors = np.asarray(model.codebook.vectors)[np.asarray(codes, int)]
    np.testing.assert_allclose(images, model.decode(vectors), atol=1e-6)
    bias = np.zeros(8, np.float32)
    bias[5] = 100.0  # a prior that knows one code alone
    model.code_prior.head.bias.assign(bias)
    assert (np.asarray(model.sample(noise.rows(0, 4))[1]) == 5).all()


def test_rate_is_the_prior_s_and_the_bound_is_one(tiny, batch):
    model = tiny("vq_vae")
    inputs = {"image": tf.constant(batch["image"])}
    terms = model.terms(inputs, seed=SEED)
    np.testing.assert_allclose(terms.rate[..., 0], np.full((8, 1), 49 * np.log(8)), rtol=1e-5)
    np.testing.assert_array_equal(elbo.elbo(terms), elbo.elbo(model.terms(inputs, seed=(1, 1))))


def test_perplexity_is_the_number_of_codes_in_even_use(tiny, digits):
    assert float(perplexity(tf.constant([3.0, 3.0, 3.0, 0.0]))) == pytest.approx(3, rel=1e-5)
    model = tiny("vq_vae")
    training.compile_model(model, training.Settings(epochs=1), 5)
    history = model.fit(digits.train_from(0), epochs=1, steps_per_epoch=5, verbose=0).history
    assert 1 <= history["perplexity"][0] <= 8
    assert 1 <= model.figures()["codebook_perplexity"] <= 8


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"codebook_size": 1}, "codebook_size=1"),
        ({"codebook_size": 2.5}, "codebook_size=2.5"),
        ({"commitment": -1}, "commitment=-1"),
        ({"decay": 1.0}, "decay=1.0"),
        ({"prior_width": 10}, "prior_width=10"),
        ({"prior_depth": 0}, "prior_depth=0"),
        ({"prior": "vamp"}, "prior='vamp' does not combine"),
        ({"network": "mlp"}, "network='mlp' does not combine"),
    ],
)
def test_what_makes_no_codebook_is_refused(arguments, words):
    with pytest.raises(vae_zoo.UserError) as error:
        vae_zoo.create_model("vq_vae", **{"image_shape": (28, 28, 1), **arguments})
    assert words in str(error.value)
