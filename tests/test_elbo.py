"""The bound against what is known: closed forms, the evidence of a linear model, gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from known_models import LinearGaussianVAE, probabilistic_pca

import vae_zoo
from vae_zoo.probability import elbo

tfd = tfp.distributions
SEED = (0, 1)


@pytest.fixture(scope="module")
def log_weights(linear_gaussian):
    """Log-weights of 4,096 samples an image, of a posterior that is not the true one."""
    model, images = linear_gaussian
    return elbo.log_weights(
        model.terms({"image": images}, num_samples=4096, analytic=False, seed=SEED)
    )


def test_the_kl_that_trains_is_the_closed_form(tiny, batch):
    model = tiny("conv_vae")
    terms = model.terms(batch, num_samples=2, seed=SEED)
    posterior = model.posterior(tf.constant(batch["image"]))
    mean, scale = posterior.distribution.loc, posterior.distribution.scale
    closed = 0.5 * np.sum(np.square(mean) + np.square(scale) - 1 - 2 * np.log(scale), axis=1)
    by_tfp = tfd.kl_divergence(posterior, model.prior())
    for sample in range(2):
        np.testing.assert_allclose(terms.rate[:, sample, 0], closed, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(terms.rate[:, sample, 0], by_tfp, rtol=1e-6)
    distortion = -np.mean(terms.log_likelihood, axis=1)
    np.testing.assert_allclose(terms.loss, closed + distortion, rtol=1e-5)
    model.compile()
    trained = model.compute_loss(y_pred=terms)
    assert float(trained) == pytest.approx(float(np.mean(closed + distortion)), rel=1e-5)


def test_log_likelihood_is_the_cross_entropy_of_every_pixel(tiny, batch):
    model = tiny("vae")
    z = np.zeros((1, 8, model.latent_size), np.float32)
    probability = model.likelihood(tf.constant(z)).mean().numpy()[0].astype(np.float64)
    pixels = np.where(batch["image"] == 1, np.log(probability), np.log1p(-probability))
    ours = model.likelihood(tf.constant(z)).log_prob(batch["image"])[0]
    np.testing.assert_allclose(ours, pixels.sum((1, 2, 3)), rtol=1e-5)


def test_bounds_rise_with_samples_to_log_p_of_x(linear_gaussian, log_weights):
    model, images = linear_gaussian
    truth = model.log_evidence(images)  # [N]
    bounds = []
    for samples in (1, 4, 16, 64, 256, 1024, 4096):
        groups = tf.reshape(log_weights, [-1, samples])
        bounds.append(np.mean(elbo.importance_weighted_bound(groups)))
    assert (np.diff(bounds) > 0).all()
    analytic = elbo.elbo(model.terms({"image": images}, num_samples=4096, seed=SEED))
    assert np.mean(analytic) == pytest.approx(bounds[0], abs=0.02)
    assert bounds[0] < np.mean(truth) - 0.1  # the posterior is not the true one
    assert bounds[-1] == pytest.approx(np.mean(truth), abs=0.01)
    assert (np.asarray(analytic) < truth).all()


def test_with_the_true_posterior_every_weight_is_the_evidence(factor_images):
    (loading, mean, scale), best = probabilistic_pca(factor_images, 2)
    model = LinearGaussianVAE(factor_images.shape[1:], noise_scale=scale)
    model.set_exact(loading, mean)
    weights = elbo.log_weights(
        model.terms({"image": factor_images}, num_samples=3, analytic=False, seed=SEED)
    )
    truth = model.log_evidence(factor_images)
    np.testing.assert_allclose(weights, np.tile(truth[:, np.newaxis], 3), atol=1e-3)
    bound = np.mean(model.terms({"image": factor_images}, num_samples=500, seed=SEED).loss)
    assert -bound == pytest.approx(best, abs=0.01) and truth.mean() == pytest.approx(best)


def test_training_ends_at_probabilistic_pca(factor_images):
    (loading, mean, scale), best = probabilistic_pca(factor_images, 2)
    model = LinearGaussianVAE(factor_images.shape[1:], noise_scale=scale)
    model.set_exact(loading, mean)
    for variable in model.trainable_variables:
        variable.assign(0.5 * variable + 0.1)  # away from the optimum, ten nats below it
    rate = keras.optimizers.schedules.CosineDecay(0.05, 300)
    model.compile(optimizer=keras.optimizers.Adam(rate), steps_per_execution=50)
    data = tf.data.Dataset.from_tensors({"image": factor_images}).repeat()
    model.fit(data, epochs=1, steps_per_epoch=300, verbose=0, shuffle=False)
    bound = np.mean(elbo.elbo(model.terms({"image": factor_images}, num_samples=500, seed=SEED)))
    assert bound == pytest.approx(best, abs=0.02)
    assert np.mean(model.log_evidence(factor_images)) <= best + 1e-4


@pytest.mark.parametrize("part", ["encoder", "posterior_head", "decoder"])
def test_the_reparameterised_gradient_is_that_of_finite_differences(part, tiny, batch):
    model = tiny("vae")
    variables = getattr(model, part).trainable_variables

    def loss():
        return tf.reduce_mean(model.terms(batch, num_samples=2, seed=SEED).loss)

    with tf.GradientTape() as tape:
        value = loss()
    gradient = tape.gradient(value, [variable.value for variable in variables])
    length = tf.linalg.global_norm(gradient)
    values = []
    for step in (0.01, -0.02):  # along the gradient, to one side and to the other
        for variable, direction in zip(variables, gradient, strict=True):
            variable.assign_add(step * direction / length)
        values.append(float(loss()))
    for variable, direction in zip(variables, gradient, strict=True):
        variable.assign_add(0.01 * direction / length)
    assert (values[0] - values[1]) / 0.02 == pytest.approx(float(length), rel=0.01)


def test_gradient_of_the_importance_weighted_bound_favours_the_best_sample():
    weights = tf.constant([[-90.0, -100.0, -91.0], [3.0, 3.0, 3.0]])
    with tf.GradientTape() as tape:
        tape.watch(weights)
        bound = elbo.importance_weighted_bound(weights)
    gradient = tape.gradient(bound, weights).numpy()
    np.testing.assert_allclose(gradient, tf.nn.softmax(weights), rtol=1e-5)
    assert gradient[0].argmax() == 0 and gradient[0, 1] < 1e-4
    np.testing.assert_allclose(bound[1], 3.0)


def test_a_capacity_charges_the_distance_of_the_rate_from_it(tiny, batch):
    """And warm-up lets the capacity rise."""
    rate = float(tf.reduce_mean(tiny("vae").terms(batch, seed=SEED).rate))
    for share, kl_weight in ((0.5, 1.0), (2.0, 1.0), (4.0, 0.5)):
        model = tiny("vae", beta=3.0, capacity=share * rate)
        terms = model.terms(batch, seed=SEED, kl_weight=kl_weight)
        charged = tf.reduce_mean(terms.loss) + tf.reduce_mean(terms.log_likelihood)
        held = kl_weight * share * rate
        assert float(charged) == pytest.approx(3.0 * abs(rate - held), rel=1e-3)
        one = tf.constant([[[1.0]]])
        np.testing.assert_allclose(model.charged_rate(one, kl_weight), abs(1.0 - held), rtol=1e-5)


def test_free_bits_are_not_charged_layer_by_layer(tiny):
    model = tiny("vae", free_bits=2.0)
    rate = tf.constant([[[0.5, 3.0]], [[1.5, 5.0]]])  # [B, K, L]: means 1 and 4
    with tf.GradientTape() as tape:
        tape.watch(rate)
        charged = model.charged_rate(rate)
    np.testing.assert_allclose(charged, [[5.0], [7.0]])
    np.testing.assert_allclose(tape.gradient(charged, rate)[..., 0], 0.0)
    np.testing.assert_allclose(tiny("vae").charged_rate(rate), [[3.5], [6.5]])


def test_beta_weighs_the_rate_in_the_loss_alone(tiny, batch):
    plain, heavy = (tiny("vae", beta=beta).terms(batch, seed=SEED) for beta in (1.0, 4.0))
    np.testing.assert_array_equal(plain.rate, heavy.rate)
    np.testing.assert_allclose(heavy.loss - plain.loss, 3 * plain.rate[:, 0, 0], rtol=1e-3)


def test_warm_up_raises_the_weight_of_the_rate_from_zero_to_beta(tiny, batch):
    model = tiny("vae", beta=2.0, warmup_steps=10)
    model.compile()
    for step, weight in ((0, 0.0), (5, 1.0), (10, 2.0), (1000, 2.0)):
        model.optimizer.iterations.assign(step)
        terms = model(batch, training=True)
        charged = terms.loss + terms.log_likelihood[:, 0]
        np.testing.assert_allclose(charged, weight * terms.rate[:, 0, 0], rtol=1e-3, atol=1e-3)
    model.optimizer.iterations.assign(0)
    terms = model(batch, training=False)  # validation knows no warm-up
    charged = terms.loss + terms.log_likelihood[:, 0]
    np.testing.assert_allclose(charged, 2 * terms.rate[:, 0, 0], rtol=1e-3)


def test_one_bad_image_does_not_spoil_the_figures_of_an_epoch():
    mean = vae_zoo.training.loop.FiniteMean()
    mean.update_state([1.0, np.nan, 3.0, np.inf])
    assert float(mean.result()) == 2.0


def test_figures_of_which_none_is_finite_are_no_zero():
    mean = vae_zoo.training.loop.FiniteMean()
    mean.update_state([np.nan, np.inf])
    assert np.isnan(float(mean.result()))


def test_a_lost_training_shows_no_loss_of_zero(tiny, batch):
    model = tiny("vae", likelihood="discretized_logistic")
    model.set_weights([np.full_like(value, np.nan) for value in model.get_weights()])
    model.compile("adam")
    history = model.fit({"image": batch["image"]}, epochs=2, verbose=0).history
    assert np.isnan(history["loss"]).all() and np.isnan(history["elbo"]).all()
    assert np.isnan(model.evaluate({"image": batch["image"]}, verbose=0)).all()
