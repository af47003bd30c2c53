"""Hierarchies: a chain with a known log p(x), the ladder's merge, layers apart, refusals."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import vae_zoo
from vae_zoo.metrics import latent_space, likelihood
from vae_zoo.models import hierarchy, ladder
from vae_zoo.probability import elbo, noise

tfd = tfp.distributions

SEED = (0, 7)


class Chain(hierarchy.Hierarchy):
    """z_1 ~ N(0, 1), z_2 ~ N(a z_1, s^2), x ~ N(b z_2, t^2), images of one pixel.

    The posterior is the true one, the top layer's mean moved by `error`.
    """

    a, s, b, t = 0.8, 0.7, 1.5, 0.5

    def __init__(self, image_shape=(1, 1, 1), latent_size=1, *, error=0.0, **kwargs):
        self.error = error
        super().__init__(image_shape, latent_size, **kwargs)

    def build_networks(self):
        """Nothing: all of it is known."""

    def features(self, image, label=None):
        return [image[:, 0, 0]]  # [B, 1]

    def posterior_of(self, encoded):
        noise_variance = (self.b * self.s) ** 2 + self.t**2  # of x given z_1
        loading = self.a * self.b
        variance = 1 / (1 + loading**2 / noise_variance)
        return normal(variance * loading / noise_variance * encoded[0] + self.error, variance)

    def lower_shapes(self):
        return [[1]]

    def join(self, layer, z, features=None):
        return z

    def lower_prior(self, layer, features):
        return normal(self.a * features, self.s**2)

    def lower_posterior(self, layer, features, prior, encoded):
        variance = 1 / (self.s**-2 + (self.b / self.t) ** 2)
        mean = self.a * features / self.s**2 + self.b * encoded[0] / self.t**2
        return normal(variance * mean, variance)

    def pixel_likelihood(self, inputs):
        return tfd.Independent(tfd.Normal(self.b * inputs[..., tf.newaxis, tf.newaxis], self.t), 3)

    def log_evidence(self, x):
        variance = self.b**2 * (self.a**2 + self.s**2) + self.t**2
        return tfd.Normal(0.0, variance**0.5).log_prob(x)


def normal(mean, variance):
    return tfd.Independent(tfd.Normal(mean, variance**0.5), 1)


IMAGES = np.linspace(-3, 3, 7, dtype=np.float32).reshape(-1, 1, 1, 1)


def test_the_bound_of_a_chain_under_its_true_posterior_is_log_p():
    model = Chain()
    terms = model.terms({"image": IMAGES}, num_samples=4, analytic=False, seed=SEED)
    exact = model.log_evidence(IMAGES[:, 0, 0])  # [B, 1]
    np.testing.assert_allclose(elbo.log_weights(terms), np.tile(exact, 4), atol=1e-4)


def test_the_bound_of_a_chain_is_below_log_p_and_tightens():
    model = Chain(error=0.6)
    exact = float(tf.reduce_mean(model.log_evidence(IMAGES)))
    images = np.repeat(IMAGES, 64, axis=0)
    bounds = []
    for count in (1, 10, 1000):
        terms = model.terms({"image": images}, num_samples=count, analytic=False, seed=SEED)
        bound = elbo.importance_weighted_bound(elbo.log_weights(terms))
        bounds.append(float(tf.reduce_mean(bound)))
    assert bounds[0] < bounds[1] < bounds[2] < exact + 0.01
    assert bounds[0] < exact - 0.1 and bounds[2] > exact - 0.02
    analytic = elbo.elbo(model.terms({"image": images}, num_samples=100, seed=SEED))
    sampled = elbo.elbo(model.terms({"image": images}, num_samples=100, analytic=False, seed=SEED))
    np.testing.assert_allclose(np.mean(analytic), np.mean(sampled), atol=0.02)


def test_layers_have_noise_of_their_own():
    model = Chain()
    top, lower = model.infer(model.features(tf.constant(IMAGES)), None, 1000, SEED)
    first = (top.z - top.posterior.mean()) / top.posterior.stddev()
    second = (lower.z - lower.posterior.mean()) / lower.posterior.stddev()
    flat = np.stack([np.ravel(first), np.ravel(second)])
    np.testing.assert_allclose(np.corrcoef(flat)[0, 1], 0, atol=0.05)
    np.testing.assert_allclose(flat.std(axis=1), 1, atol=0.03)


def test_draws_of_a_chain_have_its_variance_and_temperature_scales_every_layer():
    model = Chain()
    rows = noise.rows(0, 20_000)
    variance = model.b**2 * (model.a**2 + model.s**2)  # of the likelihood's mean
    for temperature in (1.0, 0.5):
        images, _ = model.sample(rows, temperature=temperature)
        np.testing.assert_allclose(np.var(images), temperature**2 * variance, rtol=0.03)


def test_the_merge_is_the_product_of_normals():
    rng = np.random.default_rng(0)
    mean, scale = rng.normal(size=(2, 5, 3)), rng.uniform(0.2, 3, (2, 5, 3))
    one, two = (tfd.Independent(tfd.Normal(m, s), 1) for m, s in zip(mean, scale, strict=True))
    merged = ladder.precision_weighted(one, two)
    z = rng.normal(size=(40, 5, 3))
    constant = one.log_prob(z) + two.log_prob(z) - merged.log_prob(z)  # [40, 5]
    np.testing.assert_allclose(constant, np.tile(constant[:1], (40, 1)), rtol=1e-6)


def test_a_ladder_says_the_rate_of_each_layer(tiny, batch):
    model = tiny("ladder_vae", num_layers=4)
    evaluation = likelihood.evaluate(model, batch["image"], num_samples=5)
    assert len(evaluation.rate_per_layer) == 4 and min(evaluation.rate_per_layer) > 0
    assert sum(evaluation.rate_per_layer) == pytest.approx(evaluation.rate)
    assert evaluation.elbo == pytest.approx(-evaluation.rate - evaluation.distortion)
    variances = latent_space.statistics(model, batch["image"]).variances
    sizes = [model.latent_size] + [np.prod(shape) for shape in model.lower_shapes()]
    assert [len(layer) for layer in variances] == sizes


@pytest.mark.parametrize("name", ["hvae", "ladder_vae", "vdvae", "nvae", "biva"])
def test_a_hierarchy_decodes_the_top_layer_with_those_below_at_their_means(name, tiny):
    model = tiny(name)
    images, z = model.sample(noise.rows(1, 3))
    assert np.abs(images - model.decode(z)).max() > 0
    coldest, zero = model.sample(noise.rows(1, 3), temperature=0.0)
    assert not np.any(zero)
    np.testing.assert_allclose(coldest, model.decode(zero), atol=1e-6)
    assert latent_space.interpolations(model, count=2, steps=3).shape == (2, 3, 28, 28, 1)
    moved = min(model.latent_size, 64)  # of many latents, those that vary most
    assert latent_space.traversals(model, steps=2).shape == (moved, 2, 28, 28, 1)


@pytest.mark.parametrize(
    "name, shape, arguments",
    [
        ("ladder_vae", (64, 64, 3), {}),
        ("ladder_vae", (8, 8, 1), {"num_layers": 2}),
        ("ladder_vae", (28, 28, 1), {"num_layers": 1}),
        ("ladder_vae", (25, 20, 1), {"network": "mlp"}),
        ("ladder_vae", (28, 28, 1), {"prior": "vamp", "components": 5}),
        ("vdvae", (64, 64, 3), {}),
        ("vdvae", (28, 28, 1), {"prior": "vamp", "components": 5}),
        ("vdvae", (28, 28, 1), {"posterior": "iaf", "flow_steps": 2}),
        ("nvae", (64, 64, 3), {}),
        ("nvae", (28, 28, 1), {"prior": "vamp", "components": 5}),
        ("biva", (64, 64, 3), {}),
        ("biva", (28, 28, 1), {"prior": "vamp", "components": 5}),
        ("hvae", (32, 32, 3), {"network": "conv", "hidden": (4, 4)}),
        ("hvae", (28, 28, 1), {"prior": "vamp", "components": 5}),
        ("hvae", (28, 28, 1), {"posterior": "iaf", "flow_steps": 2}),
    ],
)
def test_other_shapes_networks_and_parts(name, shape, arguments, tiny):
    kind = "discretized_logistic" if shape[-1] == 3 else "bernoulli"
    model = tiny(name, image_shape=shape, likelihood=kind, **arguments)
    image = np.random.default_rng(0).integers(0, 2, (3, *shape)).astype(np.float32)
    terms = model.terms({"image": image}, num_samples=2, seed=SEED)
    assert terms.rate.shape == (3, 2, len(model.lower_shapes()) + 1)
    assert np.isfinite(terms.loss).all()
    assert model.generate(noise.rows(0, 2)).shape == (2, *shape)
    assert model.reconstruct(image).shape == image.shape


@pytest.mark.parametrize(
    "name, arguments, words",
    [
        ("ladder_vae", {"num_layers": 0}, "num_layers=0: expected a whole number of at least 1"),
        ("ladder_vae", {"num_layers": 2.5}, "num_layers=2.5: expected a whole number"),
        ("ladder_vae", {"latent_channels": 0}, "latent_channels=0"),
        ("ladder_vae", {"blocks": 0}, "blocks=0"),
        ("ladder_vae", {"hidden": (0,)}, "hidden=(0,)"),
        ("ladder_vae", {"network": "resnet"}, "'conv' or 'mlp'"),
        ("hvae", {"lower_size": 0}, "lower_size=0"),
        ("hvae", {"between": ()}, "between=()"),
        ("hvae", {"prior": "vamp", "posterior": "iaf"}, "does not combine"),
    ],
)
def test_arguments_that_make_no_hierarchy_are_refused(name, arguments, words):
    with pytest.raises(vae_zoo.UserError) as error:
        vae_zoo.create_model(name, **{"image_shape": (28, 28, 1), **arguments})
    assert words in str(error.value)


def test_spectral_norms_of_nvae_are_of_convolutions_alone(tiny):
    vamp = {"prior": "vamp", "components": 5}
    counts = [len(tiny("nvae", **each).kernels) for each in ({}, vamp)]
    assert counts[0] == counts[1] > 0
