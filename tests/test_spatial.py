"""The map of latents: its shape, where each of its places is in the image, what is refused."""

import numpy as np
import pytest
import tensorflow as tf

import vae_zoo
from vae_zoo.metrics import latent_space


@pytest.fixture(scope="module")
def model(tiny):
    return tiny("spatial_vae", image_shape=(40, 48, 1))


@pytest.mark.parametrize(
    "shape, arguments, grid",
    [
        ((28, 28, 1), {}, (7, 7)),
        ((8, 8, 1), {}, (4, 4)),
        ((40, 48, 1), {}, (5, 6)),
        ((100, 75, 1), {}, (13, 10)),
        ((256, 256, 1), {}, (32, 32)),
        ((30, 30, 1), {"downsampling": 2}, (15, 15)),
        ((32, 32, 1), {"downsampling": 16}, (2, 2)),
    ],
)
def test_the_map_follows_the_image(shape, arguments, grid, tiny):
    model = tiny("spatial_vae", image_shape=shape, latent_channels=3, **arguments)
    assert model.grid == grid and model.latent_size == grid[0] * grid[1] * 3
    z = model.sample_prior(vae_zoo.noise.rows(0, 2))
    assert z.shape == (2, model.latent_size) and model.decode(z).shape == (2, *shape)


def test_a_place_of_the_map_is_at_its_place_in_the_image(model):
    """In the encoder and in the decoder: the rows of z are [h, w, c] of the image's own axes."""
    rng = np.random.default_rng(0)
    for stack in (model.encoder, model.decoder):
        for weight in stack.trainable_weights:  # the zero-initialised ones too
            weight.assign(rng.normal(0, 0.2, weight.shape))
    image = tf.constant(rng.random((1, 40, 48, 1)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(image)
        places = tf.reshape(model.posterior(image).mean(), [1, 5, 6, 2])
        value = tf.reduce_sum(places[:, 0, 5])
    seen = np.abs(tape.gradient(value, image))[0, :, :, 0]  # [40, 48]
    assert seen[:8, 40:].sum() > 0 and seen[32:, :8].sum() == 0
    z = np.zeros((1, 5, 6, 2), np.float32)
    moved = z.copy()
    moved[0, 4, 0] = 3.0
    images = [model.decode(tf.reshape(part, [1, -1])) for part in (z, moved)]
    change = np.abs(images[0] - images[1])[0, :, :, 0]
    assert change[32:, :8].sum() > 0 and change[:8, 40:].sum() == 0


def test_the_rate_is_that_of_all_places(model):
    image = np.random.default_rng(1).integers(0, 2, (3, 40, 48, 1)).astype(np.float32)
    terms = model.terms({"image": image}, seed=(0, 7))
    posterior = model.posterior(image)
    mean, scale = posterior.mean().numpy(), posterior.stddev().numpy()
    by_hand = 0.5 * (mean**2 + scale**2 - 1 - 2 * np.log(scale)).sum(axis=1)
    np.testing.assert_allclose(terms.rate[:, 0, 0], by_hand, rtol=1e-4)


def test_paths_between_maps_are_images(model):
    paths = latent_space.interpolations(model, count=2, steps=3)
    assert paths.shape == (2, 3, 40, 48, 1)


def test_traversals_are_of_the_first_dimensions_or_of_those_asked_for(tiny):
    model = tiny("spatial_vae")  # 7 x 7 x 2 dimensions
    some = latent_space.traversals(model, steps=2)
    assert some.shape == (64, 2, 28, 28, 1)
    chosen = latent_space.traversals(model, steps=2, dimensions=[5, 97])
    assert chosen.shape == (2, 2, 28, 28, 1)
    np.testing.assert_allclose(chosen[0], some[5], atol=1e-5)


def test_widths_that_differ_make_a_model_of_one_stage(tiny):
    model = tiny("spatial_vae", hidden=(8, 16))
    assert model.generate(vae_zoo.noise.rows(0, 2)).shape == (2, 28, 28, 1)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"latent_size": 3}, "Expected latent_channels"),
        ({"latent_channels": 0}, "latent_channels=0"),
        ({"downsampling": 3}, "downsampling=3: expected a power of two"),
        ({"downsampling": 1}, "downsampling=1"),
        ({"network": "mlp"}, "Expected network to be 'resnet'"),
        ({"posterior": "iaf"}, "does not combine with SpatialVAE"),
    ],
)
def test_what_makes_no_map_is_refused(arguments, words, tiny):
    with pytest.raises(vae_zoo.UserError, match=words):
        tiny("spatial_vae", **arguments)
