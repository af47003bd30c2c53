"""Flow priors: Jacobians, inverses, densities, and every model that they combine with."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_export import ALL, Formats

from vae_zoo import registry
from vae_zoo.probability import distributions, noise, priors

FLOWS = ("maf", "realnvp")
CLASSES = {registry.model_class(name): name for name in reversed(registry.MODELS)}
MODELS = [
    pytest.param(name, prior, marks=[pytest.mark.slow] * (prior == "maf" and name != "vae"))
    for model_class, name in CLASSES.items()
    for prior in FLOWS
    if prior in vars(model_class).get("combines", {}).get("prior", ())
]


def flow(name, size, steps=3):
    """Returns a flow prior that is far from N(0, 1)."""
    part = priors.build(name, size, 1, None, None, steps)
    for number, weight in enumerate(part.trainable_weights):
        normals = np.random.default_rng(number).normal(size=weight.shape)
        weight.assign(0.6 * normals / np.sqrt(weight.shape[0]))
    return part


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("name", FLOWS)
def test_log_determinant_is_that_of_the_jacobian(name, size):
    bijector = flow(name, size).distribution(None).bijector
    e = tf.random.stateless_normal([4, size], (0, 1))
    with tf.GradientTape() as tape:
        tape.watch(e)
        z = bijector.forward(e)
    jacobian = tape.batch_jacobian(z, e).numpy().astype(np.float64)
    exact = np.linalg.slogdet(jacobian)[1]
    assert np.abs(exact).max() > 0.05
    inverse = -flow(name, size).distribution(None).bijector.inverse_log_det_jacobian(z, 1)
    np.testing.assert_allclose(inverse, exact, rtol=1e-3, atol=1e-4)
    if size > 1:
        assert np.abs(np.triu(jacobian, 1)).max() > 0 < np.abs(np.tril(jacobian, -1)).max()


@pytest.mark.parametrize("name", FLOWS)
def test_the_inverse_undoes_a_draw(name):
    part = flow(name, 6)
    e = noise.normal(noise.rows(0, 50), [6])
    z = tf.identity(distributions.reparameterize(part.distribution(None), e))
    assert np.abs(z - e).max() > 0.5
    np.testing.assert_allclose(part.distribution(None).bijector.inverse(z), e, atol=1e-4)


@pytest.mark.parametrize("name", FLOWS)
def test_density_integrates_to_one_and_is_that_of_the_draws(name):
    prior = flow(name, 2).distribution(None)
    axis = np.linspace(-12, 12, 241, dtype=np.float32)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    share = np.exp(np.asarray(prior.log_prob(grid), np.float64)) * (axis[1] - axis[0]) ** 2
    assert share.sum() == pytest.approx(1, abs=0.01)
    z = priors.draw(prior, noise.rows(0, 20_000), 2).numpy()
    np.testing.assert_allclose(z.mean(0), share @ grid, atol=0.05)
    np.testing.assert_allclose((z**2).mean(0), share @ grid**2, rtol=0.1)
    np.testing.assert_allclose((z < 0).mean(0), share @ (grid < 0), atol=0.03)


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_starts_as_the_standard_normal(name):
    prior = priors.build(name, 4, 1, None, None).distribution(None)
    z = tf.random.stateless_normal([10, 4], (0, 1))
    standard = distributions.standard_normal([4])
    np.testing.assert_allclose(prior.log_prob(z), standard.log_prob(z), rtol=1e-5)


@pytest.mark.parametrize("name, prior", MODELS)
def test_every_model_that_names_a_flow_has_it_trained_and_saved(name, prior, tiny, batch, tmp_path):
    model = tiny(name, prior=prior, flow_steps=2)
    inputs = {key: tf.constant(value) for key, value in batch.items()}
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(inputs, training=True).loss)
    weights = model.prior_part.trainable_weights
    assert all(g is not None for g in tape.gradient(loss, [w.value for w in weights]))
    for weight in weights:
        weight.assign(weight + 0.1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    label = batch["label"][:4] if model.needs_labels else None
    for got, wished in zip(loaded.sample(noise.rows(0, 4), label),
                           model.sample(noise.rows(0, 4), label), strict=True):  # fmt: skip
        np.testing.assert_array_equal(got, wished)
    terms = [each.terms(inputs, seed=(0, 1)).loss for each in (model, loaded)]
    np.testing.assert_array_equal(*terms)


@pytest.mark.parametrize("name", ["maf", pytest.param("realnvp", marks=pytest.mark.slow)])
def test_every_format_draws_what_keras_draws(name, tiny, tmp_path):
    model = tiny("vae", prior=name, flow_steps=2)
    for number, weight in enumerate(model.prior_part.trainable_weights):
        weight.assign(weight + 0.1 * np.random.default_rng(number).normal(size=weight.shape))
    formats = Formats(model, tmp_path)
    [served] = formats.served(ALL)
    for name in ("sample", "elbo"):
        formats.assert_agree(served[name], formats.expected[name])
    formats.assert_agree(formats.lite("sample"), formats.expected["sample"])
    assert formats.file.custom == []
    assert formats.file.weight_bytes <= 1.2 * sum(weight.numpy().nbytes for weight in model.weights)
