"""Total correlation by minibatch sampling and by a discriminator, on laws that have a known one."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from vae_zoo.metrics import total_correlation as metric
from vae_zoo.models import beta_tc, factor

KEY = tf.constant([0, 5])
CORRELATION = 0.8
KNOWN = -0.5 * math.log(1 - CORRELATION**2)  # nats, of a pair of normals


def correlated(count, seed=0, variance=1.0):
    """Returns pairs of normals [count, 2] of the known correlation, less independent noise."""
    covariance = np.array([[variance, CORRELATION], [CORRELATION, variance]])
    rng = np.random.default_rng(seed)
    return rng.multivariate_normal([0, 0], covariance, count).astype(np.float32)


@pytest.fixture(scope="module")
def aggregate():
    """Posteriors whose mixture is the known law: (z, mean, scale) of 2,000 images."""
    mean = correlated(2000, variance=0.9)
    scale = np.full_like(mean, math.sqrt(0.1))
    normals = np.random.default_rng(1).normal(size=mean.shape).astype(np.float32)
    return mean + scale * normals, mean, scale


def test_stratified_sampling_finds_the_known_total_correlation(aggregate):
    for dataset_size in (None, 2000, 50_000):
        found = beta_tc.total_correlation(*aggregate, dataset_size, "stratified")
        assert float(found) == pytest.approx(KNOWN, abs=0.08)


def test_independent_latents_have_none():
    mean = np.random.default_rng(0).normal(size=(2000, 2)).astype(np.float32)
    scale = np.full_like(mean, 0.5)
    z = mean + scale * np.random.default_rng(1).normal(size=mean.shape).astype(np.float32)
    assert float(beta_tc.total_correlation(z, mean, scale, 2000)) == pytest.approx(0, abs=0.05)


def independent(count, size=10, scale=0.5):
    """Returns (z, mean, scale) of posteriors whose mixture is a standard normal."""
    rng = np.random.default_rng(0)
    mean = math.sqrt(1 - scale**2) * rng.normal(size=(count, size))
    return mean[:200] + scale * rng.normal(size=(200, size)), mean, np.full_like(mean, scale)


def test_bounds_hold_a_known_total_correlation_between_them(aggregate):
    z, mean, scale = (part.astype(np.float64) for part in aggregate)
    low, high = metric.bounds(z[:500], mean, scale)
    assert KNOWN - 0.1 < low < high < KNOWN + 0.1
    ones = np.ones((100, 3))
    np.testing.assert_allclose(metric.bounds(ones[:50], 0 * ones, ones), 0, atol=1e-9)


def test_bounds_hold_where_a_minibatch_is_off_by_more_than_a_nat():
    """Ten independent latents: as the docstring of beta_tc says."""
    z, mean, scale = independent(1000)
    low, high = metric.bounds(z, mean, scale)
    closer = metric.bounds(*independent(4000))
    assert low < closer[0] < 0 < closer[1] < high
    batch = [tf.constant(part[:128], tf.float32) for part in (z, mean, scale)]
    assert float(beta_tc.total_correlation(*batch, 50_000)) < -0.8


def test_the_rate_of_a_linear_gaussian_encoder_splits_as_known():
    """q(z | x) = N(x, s^2) of x ~ N(0, C): q(z) = N(0, C + s^2), and all three have a form."""
    variance, scale = np.array([[0.7, 0.4], [0.4, 1.2]]), np.array([0.5, 0.8])
    mean = np.random.default_rng(3).multivariate_normal([0, 0], variance, 4000)
    found = metric.rate_split(mean, np.tile(scale, (4000, 1)))
    whole = variance + np.diag(scale**2)
    each = np.diag(whole)
    entropy = 0.5 * np.log(np.linalg.det(whole))
    known = {
        "mutual_information": entropy - np.log(scale).sum(),
        "total_correlation": 0.5 * np.log(each).sum() - entropy,
        "dimension_wise_kl": 0.5 * (each - 1 - np.log(each)).sum(),
    }
    for name, value in known.items():
        assert found[name]["low"] - 0.1 < value < found[name]["high"] + 0.1, name
        assert 0 < found[name]["high"] - found[name]["low"] < 0.1, name
    assert found["rate"] == pytest.approx(sum(known.values()), abs=0.1)


def test_a_code_that_tells_all_has_the_logarithm_of_the_number_of_images():
    mean = 100.0 * np.arange(50)[:, np.newaxis] * np.ones((1, 3))
    found = metric.rate_split(mean, np.ones_like(mean))
    assert found["mutual_information"]["low"] == pytest.approx(np.log(50), abs=1e-6)


def test_no_part_of_the_rate_is_below_0_or_above_what_the_others_leave():
    """Codes so far apart that the mixtures' own bounds are thousands of nats from each other."""
    mean = 100.0 * np.arange(50)[:, np.newaxis] * np.ones((1, 3))
    found = metric.rate_split(mean, 0.01 * np.ones_like(mean))
    names = ("mutual_information", "total_correlation", "dimension_wise_kl")
    low, high = (np.array([found[name][end] for name in names]) for end in ("low", "high"))
    assert (low >= 0).all() and (high >= low).all()
    rate = found["rate"] * (1 + 1e-4)  # the parts are those of samples
    assert low.sum() <= rate and (high <= rate - low.sum() + low).all()


def test_a_model_has_bounds_where_its_posteriors_are_normal(tiny, batch):
    found = metric.total_correlation(tiny("beta_tc_vae"), batch["image"])
    assert abs(found["low"]) < 0.1 > abs(found["high"])  # the posteriors are nearly the prior
    assert found["num_images"] == found["num_samples"] == 8
    assert metric.total_correlation(tiny("iaf_vae"), batch["image"]) is None


def test_weighted_sampling_adds_a_constant(aggregate):
    """It counts a batch as if the data set had nothing else: (D - 1) log N too much."""
    weighted = beta_tc.total_correlation(*aggregate, 2000, "weighted")
    stratified = beta_tc.total_correlation(*aggregate, 2000, "stratified")
    assert float(weighted - stratified) == pytest.approx(math.log(2000), abs=1e-3)


def test_stratified_weights_are_unbiased_over_minibatches():
    """All minibatches of 3 with image 0, of a data set of 6: their mean is the whole mixture."""
    density = np.random.default_rng(0).random(6)  # q(z | x_n) at image 0's z
    weights = np.exp(beta_tc.mixture_log_weights(3, 6, "stratified"))
    estimates = [
        weights[0] @ density[[0, *others]] for others in itertools.combinations(range(1, 6), 2)
    ]
    assert np.mean(estimates) == pytest.approx(density.mean(), rel=1e-6)


def test_the_penalty_is_the_weighed_total_correlation_of_the_batch(tiny, batch):
    model = tiny("beta_tc_vae", tc_weight=3.0)
    terms = model.terms(batch, seed=KEY)
    normal = model.posterior(tf.constant(batch["image"])).distribution
    [latent] = model.infer(model.features(batch["image"]), None, 1, KEY)
    expected = beta_tc.total_correlation(latent.z[0], normal.loc, normal.scale, 1000)
    np.testing.assert_allclose(terms.penalty, np.full((8, 1), 3 * expected), rtol=1e-5)
    loss = tf.reduce_sum(terms.rate, axis=[1, 2]) - terms.log_likelihood[:, 0] + 3 * expected
    np.testing.assert_allclose(terms.loss, loss, rtol=1e-5)


@pytest.fixture(scope="module")
def discriminating(tiny):
    """A FactorVAE of two latent dimensions, compiled."""

    def build(**arguments):
        model = tiny("factor_vae", latent_size=2, discriminator_hidden=(64, 64), **arguments)
        model.compile()
        return model

    return build


def test_the_discriminator_finds_the_known_total_correlation(discriminating):
    model = discriminating(discriminator_learning_rate=3e-3)
    step = tf.function(model.train_discriminator)
    samples = correlated(400 * 512).reshape(400, 512, 2)
    for index, z in enumerate(samples):
        step(tf.constant(z), tf.constant([0, index]))
    found = tf.reduce_mean(model.log_ratio(correlated(20_000, seed=7)))
    assert float(found) == pytest.approx(KNOWN, abs=0.08)


def test_permutation_keeps_each_dimension_and_breaks_their_bond():
    z = correlated(4000)
    permuted = factor.permute_dimensions(tf.constant(z), KEY).numpy()
    np.testing.assert_array_equal(np.sort(permuted, axis=0), np.sort(z, axis=0))
    assert abs(np.corrcoef(permuted.T)[0, 1]) < 0.06
    again = tf.function(factor.permute_dimensions, jit_compile=True)(tf.constant(z), KEY)
    np.testing.assert_array_equal(permuted, again)
    other = factor.permute_dimensions(tf.constant(z), tf.constant([0, 6])).numpy()
    assert (permuted != other).any()


def test_model_and_discriminator_have_each_an_optimizer(discriminating, batch):
    model = discriminating(discriminator_learning_rate=0)
    before = model.get_weights()
    discriminator = model.discriminator.get_weights()
    model.train_step({"image": tf.constant(batch["image"])})
    assert any((ours != theirs).any() for ours, theirs in zip(before, model.get_weights(),
                                                              strict=True))  # fmt: skip
    for ours, theirs in zip(discriminator, model.discriminator.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [int(optimizer.iterations) for optimizer in model.optimizers] == [1, 1]


def test_a_bad_step_leaves_the_discriminator_alone_and_is_counted(discriminating):
    model = discriminating()
    before = model.discriminator.get_weights()
    model.train_discriminator(tf.fill([8, 2], float("nan")), KEY)
    for ours, theirs in zip(before, model.discriminator.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert int(model.discriminator_optimizer.skipped) == 1
