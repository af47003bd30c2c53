"""Priors and posteriors as parts: densities, Jacobians, masks, draws, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import vae_zoo
from vae_zoo import registry
from vae_zoo.metrics import latent_space, likelihood
from vae_zoo.probability import noise, posteriors, priors

tfd = tfp.distributions


def flow(size=5, steps=3, batch=2):
    """Returns a flow far from the identity, and what the encoder would give it."""
    keras.utils.set_random_seed(1)
    part = posteriors.build("iaf", size, steps, None)
    for weight in part.trainable_weights:
        weight.assign(np.random.default_rng(0).normal(0, 0.1, weight.shape))
    encoded = np.random.default_rng(1).normal(size=(batch, part.parameters)).astype(np.float32)
    return part, tf.constant(encoded)


@pytest.mark.parametrize("reverse", [False, True])
def test_made_sees_only_what_is_before(reverse):
    made = posteriors.MADE(6, context=3, hidden=(40, 30), reverse=reverse)
    made.build(None)
    draws = np.random.default_rng(0).normal(size=(100, 9)).astype(np.float32)  # no unit stays off
    z, context = tf.constant(draws[:, :6]), tf.constant(draws[:, 6:])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([z, context])
        outputs = made(z, context)
    of_z = np.abs(tape.batch_jacobian(outputs, z)).max(0)  # [2 D, D]
    of_context = np.abs(tape.batch_jacobian(outputs, context)).max(0)
    seen = np.triu(np.ones((6, 6)), 1) if reverse else np.tril(np.ones((6, 6)), -1)
    np.testing.assert_array_equal(of_z != 0, np.tile(seen, (2, 1)) != 0)
    assert (of_context > 0).all()


def test_log_determinant_is_that_of_the_jacobian():
    part, encoded = flow()
    bijector = part.distribution(encoded).bijector
    e = tf.random.stateless_normal([2, 5], (0, 1))
    with tf.GradientTape() as tape:
        tape.watch(e)
        z = bijector.forward(e)
    jacobian = tape.batch_jacobian(z, e)
    assert np.abs(np.triu(jacobian[0], 1)).max() > 0 < np.abs(np.tril(jacobian[0], -1)).max()
    exact = np.linalg.slogdet(jacobian.numpy().astype(np.float64))[1]
    np.testing.assert_allclose(bijector.forward_log_det_jacobian(e, 1), exact, rtol=1e-3)


def test_flow_density_is_the_same_for_its_own_samples_and_for_those_of_others():
    part, encoded = flow()
    posterior = part.distribution(encoded)
    normal, _ = tf.split(encoded, [10, part.parameters - 10], axis=-1)
    base = posteriors.NormalPosterior(5).distribution(normal)
    e = base.sample(3, seed=(0, 1))  # [3, 2, 5]
    z = posterior.bijector.forward(e)
    by_hand = base.log_prob(e) - posterior.bijector.forward_log_det_jacobian(e, 1)
    np.testing.assert_allclose(posterior.log_prob(z), by_hand, rtol=1e-5)
    others = part.distribution(encoded).log_prob(tf.identity(z))  # no sample of it: inverted
    np.testing.assert_allclose(others, by_hand, rtol=1e-3)


@pytest.mark.parametrize("factor", [10.0, 100.0])
def test_flow_density_stays_finite_where_its_gates_close(factor):
    part, encoded = flow(steps=4)
    for weight in part.trainable_weights:
        weight.assign(factor * weight)
    others = 3.0 * tf.random.stateless_normal([50, 2, 5], (0, 1))
    density = part.distribution(encoded).log_prob(others)
    assert np.isfinite(density).all()
    posterior = part.distribution(encoded)
    assert np.isfinite(posterior.log_prob(posterior.sample(50, seed=(0, 2)))).all()


def test_vamp_density_is_the_mixture_of_posteriors(tiny, batch):
    model = tiny("vamp_vae")
    z = tf.random.stateless_normal([3, 8, 3], (0, 1))
    pixels = np.clip(model.prior_part.pseudo_inputs, 0, 1)
    each = [model.posterior(tf.constant(image[None])).log_prob(z) for image in pixels]
    direct = np.logaddexp.reduce(np.stack(each), axis=0) - np.log(len(pixels))
    np.testing.assert_allclose(model.prior().log_prob(z), direct, rtol=1e-4)
    latent = model.infer(model.features(batch["image"]), None, 3, (0, 1))[0]
    wished = latent.posterior.log_prob(latent.z) - latent.prior.log_prob(latent.z)
    for analytic in (True, False):  # there is no closed form
        np.testing.assert_array_equal(model.rate(latent, analytic), wished)


@pytest.mark.parametrize("prior", ["vamp", "mixture"])
def test_draws_of_a_mixture_have_its_moments(tiny, prior):
    model = tiny("conv_vae", prior=prior, components=5)
    if prior == "mixture":
        model.prior_part.logits.assign([-2.0, 0.0, 1.0, -9.0, 0.5])
        model.prior_part.log_scales.assign(np.linspace(-2, 0.5, 15).reshape(5, 3))
    z = model.sample_prior(noise.rows(0, 20_000)).numpy()
    mixture = model.prior()
    np.testing.assert_allclose(z.mean(0), mixture.mean(), atol=0.05)
    np.testing.assert_allclose(z.std(0), mixture.stddev(), rtol=0.05)
    cold = model.sample_prior(noise.rows(0, 100), temperature=0.0).numpy()
    centres = mixture.components_distribution.mean().numpy()
    assert np.abs(cold[:, None] - centres).sum(-1).min(1).max() < 1e-6


def test_a_fixed_prior_is_computed_once_and_forgotten(tiny):
    model = tiny("vamp_vae")
    with model.fixed_prior():
        held = model.prior()
        assert model.prior() is held
    assert model.prior() is not held
    model.prior_part.pseudo_inputs.assign(0.0 * model.prior_part.pseudo_inputs)
    after = model.prior().components_distribution.mean()
    assert np.abs(after - held.components_distribution.mean()).max() > 0


@pytest.mark.parametrize("arguments", [{"prior": "mixture", "posterior": "iaf"}, {"prior": "vamp"}])
@pytest.mark.parametrize("network", ["mlp", "resnet"])
def test_parts_combine(arguments, network, batch, tmp_path):
    model = vae_zoo.create_model(
        "vae", image_shape=(28, 28, 1), latent_size=3, network=network, hidden=(8, 8),
        components=4, flow_steps=2, **arguments
    )  # fmt: skip
    inputs = {"image": tf.constant(batch["image"])}
    terms = model.terms(inputs, seed=(0, 1))
    assert np.isfinite(terms.loss).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(terms.loss, loaded.terms(inputs, seed=(0, 1)).loss)


@pytest.mark.parametrize("name", ["vae", "conv_vae", "hvae"])
def test_rectifiers_of_the_registry_leak_and_of_older_files_do_not(name, tiny, batch):
    """A file of before the argument was has no word of it, and must draw what it drew."""
    leaky = tiny(name)
    config = {key: value for key, value in leaky.get_config().items() if key != "activation"}
    old = type(leaky).from_config(config)
    old.set_weights(leaky.get_weights())
    layers = [layer for layer in old.decoder.layers if hasattr(layer, "activation")]
    assert {layer.activation for layer in layers[:-1]} == {keras.activations.relu}
    z = 5.0 * tf.ones([1, leaky.decoder.input_shape[-1]])
    by_hand = leaky.decoder.layers[0].kernel, leaky.decoder.layers[0].bias
    first = tf.nn.leaky_relu(z @ by_hand[0] + by_hand[1], 0.2)
    np.testing.assert_allclose(leaky.decoder.layers[0](z), first, rtol=1e-5)
    assert np.abs(leaky.decoder(z) - old.decoder(z)).max() > 0


def test_evaluation_of_parts_without_closed_forms(tiny, batch):
    """The importance-weighted bound lies between ELBO and 0; there is no rate of a dimension."""
    for name in ("vamp_vae", "iaf_vae"):
        model = tiny(name)
        figures = likelihood.evaluate(model, batch["image"], num_samples=64)
        assert 0 < figures.nll < -figures.elbo
        assert figures.rate_per_dimension is None and 0 <= figures.active_units <= 3
    exact = latent_space.statistics(tiny("vamp_vae"), batch["image"])
    means = tiny("vamp_vae").posterior(batch["image"]).mean().numpy()
    np.testing.assert_allclose(exact.variances[0], means.var(0), rtol=1e-3)


@pytest.mark.parametrize(
    "name, arguments, words",
    [
        ("vae", {"prior": "wamp"}, "Unknown prior 'wamp'. Did you mean 'vamp'"),
        ("vae", {"posterior": "maf"}, "Unknown posterior 'maf'"),
        ("vae", {"prior": "conditional"}, "prior='conditional' does not combine with VAE"),
        ("vae", {"prior": "vamp", "posterior": "iaf"}, "does not combine with posterior='iaf'"),
        ("cvae", {"prior": "vamp", "num_classes": 10}, "prior='vamp' does not combine with CVAE"),
        ("cvae", {}, "expected num_classes of at least 1, got None"),
        ("vae", {"prior": "vamp", "components": 0}, "components=0"),
        ("vae", {"posterior": "iaf", "flow_steps": 0}, "flow_steps=0"),
    ],
)
def test_parts_that_do_not_combine_are_refused(name, arguments, words):
    with pytest.raises(vae_zoo.UserError) as error:
        registry.create_model(name, tiny=True, image_shape=(28, 28, 1), **arguments)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_model_that_does_not_say_combines_with_the_plain_parts_alone():
    class Silent(vae_zoo.VAE):
        pass

    with pytest.raises(vae_zoo.UserError, match="prior='vamp' does not combine with Silent"):
        Silent((28, 28, 1), 3, hidden=(8,), prior="vamp")
    assert Silent((28, 28, 1), 3, hidden=(8,)).analytic_kl


def test_draws_of_unequal_weights_pick_components_as_often_as_they_weigh():
    logits = np.log(np.array([0.5, 0.2, 0.0, 0.3], np.float32) + 1e-9)
    normals = tfd.Normal(tf.reshape(tf.range(4.0), [4, 1]), tf.fill([4, 1], 1e-3))
    mixture = tfd.MixtureSameFamily(tfd.Categorical(logits=logits), tfd.Independent(normals, 1))
    z = priors.draw(mixture, noise.rows(0, 10_000), 1).numpy()[:, 0]
    shares = np.bincount(np.rint(z).astype(int), minlength=4) / len(z)
    np.testing.assert_allclose(shares, [0.5, 0.2, 0.0, 0.3], atol=0.02)
