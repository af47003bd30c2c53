"""The importance weighted bound and its two gradients, against what is known of them."""

import numpy as np
import pytest
import tensorflow as tf
from known_models import LinearGaussianVAE, probabilistic_pca

import vae_zoo
from vae_zoo.models.iwae import IWAE
from vae_zoo.probability import distributions, noise

SEED = (0, 3)


class LinearGaussianIWAE(IWAE, LinearGaussianVAE):
    """An IWAE whose log p(x) is known."""


@pytest.fixture(scope="module")
def build(linear_gaussian):
    """A function that gives a linear-Gaussian IWAE under a posterior that is not the true one."""
    known, _ = linear_gaussian

    def build(**arguments):
        shape, size = known.image_shape, known.latent_size
        model = LinearGaussianIWAE(shape, size, noise_scale=known.noise_scale, **arguments)
        model.set_weights(known.get_weights())
        return model

    return build


def gradients(model, images, sources=(), num_samples=8):
    """Returns the gradients of the summed loss in what the encoder gives, and in `sources`."""
    encoded = model.features(tf.constant(images))
    with tf.GradientTape() as tape:
        tape.watch(encoded)
        terms = model.terms(
            {"image": images}, num_samples=num_samples, analytic=False, seed=SEED, encoded=encoded
        )
        loss = tf.reduce_sum(terms.loss)
    return tape.gradient(loss, [encoded, *sources])


def test_the_gradient_counts_the_best_sample_most(build):
    weights = tf.constant([[-3.0, 0.0, -1.0], [5.0, 5.0, 5.0]])
    with tf.GradientTape() as tape:
        tape.watch(weights)
        bound = tf.reduce_sum(build().bound(weights))
    share = np.exp(weights) / np.exp(weights).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(tape.gradient(bound, weights), share, rtol=1e-5)
    assert share[0, 1] > share[0, 2] > share[0, 0]


def test_the_trained_bound_tightens_with_samples(build, linear_gaussian):
    known, images = linear_gaussian
    many = np.repeat(images, 200, axis=0)
    losses = []
    for samples in (1, 4, 16, 64):
        model = build(num_samples=samples)
        model.compile()
        losses.append(float(np.mean(model({"image": many}, training=True).loss)))
    truth = -known.log_evidence(images).mean()
    gaps = np.array(losses) - truth
    assert (np.diff(gaps) < 0).all() and gaps[-1] < 0.1 * gaps[0]
    assert gaps[-1] > -0.02


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_dreg_is_the_formula_of_the_paper(build, linear_gaussian, beta):
    """Its share squared; with the rate weighed by b, share * (1 - b + b * share)."""
    _, images = linear_gaussian
    model = build(estimator="dreg", beta=beta)
    encoded = model.features(tf.constant(images))
    normals = noise.standard_normal(SEED, 8, len(images), [model.latent_size])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(encoded)
        z = distributions.reparameterize(model.posterior_of(encoded), normals)  # [K, B, D]
        held = model.posterior_of(tf.stop_gradient(encoded))
        log_ratio = held.log_prob(z) - model.prior().log_prob(z)
        log_weights = model.likelihood(z).log_prob(images) - beta * log_ratio  # [K, B]
    share = tf.nn.softmax(log_weights, axis=0)
    slope = tape.gradient(log_weights, z)
    factor = share * (1 - beta + beta * share)
    expected = tape.gradient(z, encoded, output_gradients=-factor[..., tf.newaxis] * slope)
    np.testing.assert_allclose(gradients(model, images)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_dreg_agrees_in_the_mean_and_varies_less(build, linear_gaussian, beta):
    _, images = linear_gaussian
    many = np.repeat(images[:1], 20_000, axis=0)
    estimates = {
        estimator: gradients(build(estimator=estimator, beta=beta), many)[0].numpy()
        for estimator in ("iwae", "dreg")
    }
    mean = {name: value.mean(axis=0) for name, value in estimates.items()}
    variance = {name: value.var(axis=0) for name, value in estimates.items()}
    error = np.sqrt((variance["iwae"] + variance["dreg"]) / len(many))
    assert (np.abs(mean["iwae"] - mean["dreg"]) < 4 * error).all()
    assert (variance["dreg"] < 0.5 * variance["iwae"]).all()


def test_dreg_changes_the_encoders_gradient_alone(build, linear_gaussian):
    _, images = linear_gaussian
    found = []
    for estimator in ("iwae", "dreg"):
        model = build(estimator=estimator)
        weights = [variable.value for variable in model.decoder.trainable_variables]
        found.append(gradients(model, images, weights))
    for ours, theirs in zip(found[0][1:], found[1][1:], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert np.abs(found[0][0] - found[1][0]).max() > 0.01


def test_the_gates_scale_does_not_depend_on_the_losss(build, linear_gaussian):
    """A mean over the batch, replicas or loss scaling multiply every gradient alike."""
    _, images = linear_gaussian
    model = build(estimator="dreg")
    encoded = model.features(tf.constant(images))
    with tf.GradientTape() as tape:
        tape.watch(encoded)
        terms = model.terms(
            {"image": images}, num_samples=8, analytic=False, seed=SEED, encoded=encoded
        )
        loss = 1024.0 * tf.reduce_sum(terms.loss)
    expected = 1024.0 * gradients(model, images)[0]
    np.testing.assert_allclose(tape.gradient(loss, encoded), expected, rtol=1e-5)


def test_one_sample_trains_the_elbo(build, linear_gaussian):
    _, images = linear_gaussian
    ours = build(num_samples=1).terms({"image": images}, analytic=False, seed=SEED)
    np.testing.assert_allclose(
        ours.loss, (tf.reduce_sum(ours.rate, -1) - ours.log_likelihood)[:, 0], rtol=1e-6
    )


def signal_to_noise(model, images, num_samples):
    """Returns |mean| / deviation of the encoder's gradient, the mean over its elements."""
    many = np.repeat(images[:1], 4000, axis=0)
    found = gradients(model, many, num_samples=num_samples)[0].numpy()
    return float(np.mean(np.abs(found.mean(0)) / found.std(0)))


def test_more_samples_drown_the_encoders_gradient_and_groups_do_not(build, linear_gaussian):
    """Rainforth et al. (2018), theorem 1: the ratio is of order sqrt(M / K); of dreg, sqrt(K)."""
    _, images = linear_gaussian
    few, many = (signal_to_noise(build(), images, count) for count in (8, 128))
    assert many == pytest.approx(few / 4, rel=0.3)
    miwae = build(estimator="miwae", groups=16, num_samples=128)
    assert signal_to_noise(miwae, images, 128) == pytest.approx(few * 4, rel=0.3)
    assert signal_to_noise(build(estimator="dreg"), images, 128) > 3 * few


def test_groups_have_the_bias_of_their_size_and_less_variance(build, linear_gaussian):
    _, images = linear_gaussian
    many = np.repeat(images[:1], 5000, axis=0)

    def bounds(**arguments):
        model = build(**arguments)
        terms = model.terms({"image": many}, num_samples=32, analytic=False, seed=SEED)
        return -terms.loss.numpy(), terms

    grouped, terms = bounds(estimator="miwae", groups=8, num_samples=32)
    weights = terms.log_likelihood - terms.rate[..., 0]
    single = build().bound(weights[:, :4]).numpy()
    error = np.sqrt((grouped.var() + single.var()) / len(many))
    assert abs(grouped.mean() - single.mean()) < 4 * error
    assert grouped.var() == pytest.approx(single.var() / 8, rel=0.2)
    elbo, iwae = np.mean(weights, axis=1), bounds()[0]
    combined = bounds(estimator="ciwae", elbo_weight=0.25)[0]
    np.testing.assert_allclose(combined, 0.25 * elbo + 0.75 * iwae, rtol=1e-4)


def test_piwae_is_miwae_for_the_encoder_and_iwae_for_the_decoder(build, linear_gaussian):
    _, images = linear_gaussian
    found = {}
    for estimator, groups in (("iwae", 1), ("miwae", 4), ("piwae", 4)):
        model = build(estimator=estimator, groups=groups, num_samples=8, beta=0.7)
        weights = [variable.value for variable in model.decoder.trainable_variables]
        found[estimator] = gradients(model, images, weights)
    np.testing.assert_allclose(found["piwae"][0], found["miwae"][0], rtol=1e-4, atol=1e-5)
    assert np.abs(found["iwae"][0] - found["miwae"][0]).max() > 0.01
    for ours, theirs in zip(found["piwae"][1:], found["iwae"][1:], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_stl_has_no_noise_where_the_posterior_is_exact(linear_gaussian, factor_images):
    """log p(x, z) - log q(z | x) is log p(x) at every z: its gradient through z is zero."""
    known, images = linear_gaussian
    (loading, mean, _), _ = probabilistic_pca(factor_images, 2)
    for estimator, largest in (("stl", (0.0, 1e-3)), ("iwae", (0.1, np.inf))):
        model = LinearGaussianIWAE(
            known.image_shape, 2, noise_scale=known.noise_scale, estimator=estimator, num_samples=1
        )
        model.set_exact(loading, mean)
        found = np.abs(gradients(model, images, num_samples=1)[0]).max()
        assert largest[0] <= found <= largest[1]


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"estimator": "miwae", "num_samples": 6, "groups": 4}, "groups=4.*num_samples=6"),
        ({"groups": 5}, "groups=5: expected estimator=miwae or piwae"),
        ({"estimator": "ciwae", "elbo_weight": 1.5}, "elbo_weight=1.5"),
        ({"capacity": 3.0}, "capacity=3.0: expected None"),
    ],
)
def test_estimators_that_make_no_bound_are_refused(arguments, words, build):
    with pytest.raises(vae_zoo.UserError, match=words):
        build(**arguments)


def test_an_evaluation_takes_any_number_of_samples(build, linear_gaussian):
    _, images = linear_gaussian
    for estimator in ("miwae", "piwae"):
        model = build(estimator=estimator, groups=4, num_samples=8)
        terms = model.terms({"image": images}, num_samples=3, analytic=False, seed=SEED)
        assert np.isfinite(terms.loss).all()
