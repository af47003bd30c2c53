"""Very deep hierarchies: their parts, depth and published sizes, and that they stay finite."""

import numpy as np
import pytest
import sklearn.datasets
import tensorflow as tf
import tensorflow_probability as tfp

import vae_zoo
from vae_zoo import recipes, training
from vae_zoo.models import nvae
from vae_zoo.networks import cells, spectral, very_deep
from vae_zoo.probability import elbo, noise

tfd = tfp.distributions

COLOUR = {
    "image_shape": (32, 32, 3),
    "likelihood": "discretized_logistic",
    "mixture_components": 10,
    "channels": "linear",
}


def parameters(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def test_upsampling_repeats_each_place():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    wished = x.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(very_deep.NearestUp(2)(x), wished)


def test_a_learned_map_tells_places_apart_that_saw_the_same():
    layer = very_deep.LearnedMap((2, 3))
    start = np.ones((1, 1, 1, 4), np.float32)
    np.testing.assert_array_equal(layer(start), np.ones((1, 2, 3, 4)))
    places = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    layer.map.assign(places)
    np.testing.assert_array_equal(layer(start)[0], 1 + places)


def test_layers_go_from_one_place_to_half_of_the_image():
    model = vae_zoo.create_model("vdvae", image_shape=(30, 44, 1), num_layers=(2, 1, 3))
    coarse, fine = [8, 11, 8], [16, 22, 8]  # padded to 32 x 44
    assert model.lower_shapes() == [[1, 1, 8], coarse, fine, fine, fine]


def test_a_deep_path_starts_no_louder_than_a_shallow_one():
    spreads = []
    for count in (2, 16):
        model = vae_zoo.create_model(
            "vdvae", tiny=True, image_shape=(16, 16, 1), num_layers=(1, count)
        )
        image = tf.zeros([1, 16, 16, 1])
        latents = model.infer(model.features(image), None, 200, (0, 7))
        spreads.append(float(tf.math.reduce_std(latents[-1].features)))
    assert 0.5 < spreads[1] / spreads[0] < 2


def test_every_prior_starts_as_a_standard_normal(tiny):
    model = tiny("vdvae")
    latents = model.infer(model.features(tf.zeros([1, 28, 28, 1])), None, 3, (0, 7))
    for latent in latents[1:]:
        np.testing.assert_allclose(latent.prior.mean(), 0, atol=1e-6)
        np.testing.assert_allclose(latent.prior.stddev(), 1, atol=0.02)


def test_the_rate_of_a_moved_prior_is_that_of_the_paper():
    """Vahdat and Kautz (2020), eq. 2: the prior's place does not count, the change alone does."""
    rng = np.random.default_rng(0)
    mean, scale = rng.normal(size=(7, 4)), rng.uniform(0.2, 3, (7, 4))
    moved, factor = rng.normal(size=(7, 4)), rng.uniform(0.2, 3, (7, 4))
    prior = tfd.Independent(tfd.Normal(mean, scale), 1)
    change = tfd.Independent(tfd.Normal(moved, factor), 1)
    rate = tfd.kl_divergence(nvae.moved_from(prior, change), prior)
    wished = 0.5 * (moved**2 / scale**2 + factor**2 - 2 * np.log(factor) - 1)
    np.testing.assert_allclose(rate, wished.sum(axis=1), rtol=1e-6)


def test_largest_singular_values_are_those_of_the_decomposition():
    rng = np.random.default_rng(0)
    shapes = [(3, 3, 5, 8), (3, 3, 5, 8), (1, 1, 6, 2)]
    kernels = [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes]
    exact = sum(np.linalg.svd(np.reshape(k, (-1, k.shape[-1])))[1][0] for k in kernels)
    with tf.GradientTape() as tape:
        tape.watch(kernels)
        found = tf.reduce_sum(spectral.spectral_norms(kernels))
    assert 0.99 * exact < found < 1.0001 * exact
    gradient = np.reshape(tape.gradient(found, kernels)[2], (6, 2))
    left, _, right = np.linalg.svd(np.reshape(kernels[2], (6, 2)))
    np.testing.assert_allclose(gradient, np.outer(left[:, 0], right[0]), atol=0.01)


def test_spectral_regularisation_is_no_part_of_the_bound(tiny, batch):
    free, held = tiny("nvae", spectral_weight=0.0), tiny("nvae", spectral_weight=0.5)
    terms = [model.terms({"image": batch["image"]}, seed=(0, 7)) for model in (free, held)]
    np.testing.assert_array_equal(*(elbo.elbo(part) for part in terms))
    weights = [variable.value for variable in held.kernels]
    added = 0.5 * float(sum(spectral.spectral_norms(weights)))
    np.testing.assert_allclose(terms[1].loss - terms[0].loss, added, rtol=1e-3)


def test_a_cell_starts_near_the_identity_and_changes_resolution_and_channels():
    x = np.random.default_rng(0).normal(size=(2, 6, 8, 4)).astype(np.float32)
    for kind in ("encoder", "decoder"):
        assert np.std(cells.ResidualCell(4, kind)(x) - x) < 0.2
    assert cells.ResidualCell(8, "encoder", "down")(x).shape == (2, 3, 4, 8)
    assert cells.ResidualCell(2, "decoder", "up")(x).shape == (2, 12, 16, 2)


def test_both_latents_of_a_level_meet_in_the_bound(tiny):
    """Latents of the way up are those that the layers above saw; the top one depends on them."""
    model = tiny("biva", image_shape=(8, 8, 1))
    image = np.random.default_rng(0).integers(0, 2, (2, 8, 8, 1)).astype(np.float32)
    encoded, rows = model.features(image), noise.rows(0, 2)

    def normals(layer, shape):
        return noise.standard_normal(rows, 3, 2, shape, layer)

    climbed = model.climb(encoded, normals)
    latents = model.infer(encoded, None, 3, rows)
    up, down = latents[1], latents[2]
    np.testing.assert_array_equal(up.posterior.mean(), climbed.bottom_up[0].mean())
    assert up.z.shape == down.z.shape == (3, 2, *model.lower_shapes()[0])
    top = np.asarray(latents[0].posterior.mean())  # [K, B, D]
    assert np.std(top, axis=0).min() > 0
    at_means = model.posterior(image).mean()
    assert at_means.shape == (2, model.latent_size)
    np.testing.assert_array_equal(at_means, model.posterior(image).mean())


@pytest.mark.parametrize(
    "name, arguments",
    [("vdvae", {"num_layers": (1, 2)}), ("nvae", {"groups": (2,)}), ("biva", {"levels": (1,)})],
)
def test_the_weights_of_samples_estimate_the_mean_likelihood_of_prior_draws(name, arguments, tiny):
    """log p(x) in two ways; a wrong rate of any layer would part them."""
    model = tiny(name, image_shape=(8, 8, 1), **arguments)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:  # nothing is zero, and no rate is beyond samples
        variable.assign(0.5 * variable + 0.05 * rng.normal(size=variable.shape))
    image = (rng.random((1, 8, 8, 1)) < 0.4).astype(np.float32)
    likelihood, _ = model.sample_likelihood(noise.rows(3, 3000))
    drawn = elbo.importance_weighted_bound(likelihood.log_prob(image)[np.newaxis])
    terms = model.terms({"image": image}, num_samples=4000, analytic=False, seed=(0, 7))
    weights = elbo.log_weights(terms)
    bound = elbo.importance_weighted_bound(weights)
    np.testing.assert_allclose(bound, drawn, atol=0.12)
    assert tf.reduce_mean(weights) < drawn[0] - 0.2


@pytest.mark.parametrize(
    "name, published",
    [("vdvae", 39e6)],  # README of github.com/openai/vdvae, "CIFAR-10: 39M parameters"
)
@pytest.mark.slow
def test_the_paper_size_has_the_published_number_of_parameters(name, published):
    model = vae_zoo.create_model(name, size="paper", **COLOUR)
    assert parameters(model) == pytest.approx(published, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vdvae", "nvae", "biva"])
def test_three_hundred_steps_stay_finite(name):
    recipe = recipes.recipe(name, "path/to/folder")
    images = (sklearn.datasets.load_digits().images[..., np.newaxis] > 8).astype(np.float32)
    stream = tf.data.Dataset.from_tensor_slices({"image": images}).repeat().batch(32)
    model = vae_zoo.create_model(name, image_shape=(8, 8, 1), **recipe.arguments)
    settings = training.Settings(
        epochs=3,
        learning_rate=recipe.learning_rate,
        skip_norm=recipe.skip_norm,
        optimizer=recipe.optimizer,
    )
    training.compile_model(model, settings, 100)
    history = model.fit(stream, epochs=3, steps_per_epoch=100, verbose=0).history
    assert np.isfinite(history["loss"]).all() and history["elbo"][-1] > history["elbo"][0]
    assert int(model.optimizer.skipped) == 0
    assert np.isfinite(model.generate(noise.rows(0, 4))).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vdvae", "nvae", "biva"])
def test_a_recipe_skips_none_of_the_first_steps(name, full_size, batch):
    recipe = recipes.recipe(name, "binarized_mnist")
    model = full_size(name, **recipe.arguments)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(batch, training=True).loss)
    norm = tf.linalg.global_norm(tape.gradient(loss, model.trainable_variables))
    assert norm < 0.75 * recipe.skip_norm


@pytest.mark.parametrize(
    "name, arguments, words",
    [
        ("vdvae", {"size": "smal"}, "Did you mean 'small'"),
        ("vdvae", {"hidden": (8, 16)}, "hidden=(8, 16): one number decides the channels"),
        ("vdvae", {"num_layers": 3}, "num_layers=3"),
        ("vdvae", {"num_layers": (1, 0)}, "num_layers=(1, 0)"),
        ("vdvae", {"latent_channels": 0}, "latent_channels=0"),
        ("vdvae", {"network": "mlp"}, "does not combine with VDVAE"),
        ("nvae", {"size": "smal"}, "Did you mean 'small'"),
        ("nvae", {"groups": 3}, "groups=3"),
        ("nvae", {"latent_size": 3}, "Expected latent_channels"),
        ("nvae", {"spectral_weight": -1}, "spectral_weight=-1"),
        ("biva", {"levels": (0,)}, "levels=(0,)"),
        ("biva", {"size": "paper"}, "Unknown size 'paper'"),
        ("biva", {"posterior": "iaf"}, "does not combine with BIVA"),
        ("nvae", {"posterior": "iaf"}, "does not combine with NVAE"),
    ],
)
def test_arguments_that_make_no_very_deep_vae_are_refused(name, arguments, words):
    with pytest.raises(vae_zoo.UserError) as error:
        vae_zoo.create_model(name, image_shape=(28, 28, 1), **arguments)
    assert words in str(error.value)
