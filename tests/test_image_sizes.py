"""Images of any height and width: padded inside the networks, cropped at their end."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vae_zoo import networks
from vae_zoo.networks import sizes
from vae_zoo.probability import noise

NAMES = [
    *("conv_vae", "resnet_vae", "spatial_vae", "ladder_vae"),
    *("vdvae", "nvae", "biva", "vq_vae", "vdm"),
]
ODD = [(8, 8, 1), (9, 31, 1), (28, 30, 3), (100, 75, 3)]
LARGE = (178, 218, 3)


def images_of(shape):
    levels = np.random.default_rng(0).integers(0, 256, (2, *shape))
    return (levels // 128 if shape[-1] == 1 else levels / 255).astype(np.float32)


@pytest.mark.parametrize(
    "shape, least, wished",
    [
        ((28, 28), 1, [(28, 28), (14, 14), (7, 7)]),
        ((64, 32), 1, [(64, 32), (32, 16), (16, 8)]),
        ((12, 20), 1, [(12, 20), (6, 10)]),
        ((8, 8), 1, [(8, 8), (4, 4)]),
        ((8, 8), 0, [(8, 8)]),
        ((9, 31), 1, [(10, 32), (5, 16)]),
        ((100, 75), 1, [(112, 80), (56, 40), (28, 20), (14, 10), (7, 5)]),
        ((1, 1), 1, [(2, 2), (1, 1)]),
    ],
)
def test_maps_are_halved_from_the_image_where_that_goes(shape, least, wished):
    count = sizes.halvings(shape, least)
    assert sizes.resolutions(shape, count) == wished


@pytest.mark.parametrize("side", [*range(8, 41), 63, 64, 65, 100, 178, 218, 255, 256])
def test_padding_is_less_than_one_pixel_of_the_smallest_map(side):
    maps = sizes.resolutions((side, 300 - side, 1))
    for image, (whole, smallest) in zip((side, 300 - side), zip(maps[0], maps[-1]), strict=True):
        assert 0 <= whole - image < whole // smallest
    assert 4 <= min(maps[-1]) <= 8


@pytest.mark.parametrize("shape", ODD)
@pytest.mark.parametrize("name", NAMES)
def test_every_size_trains_and_gives_images_of_its_size(name, shape, tiny):
    likelihood = "bernoulli" if shape[-1] == 1 else "discretized_logistic"
    model = tiny(name, image_shape=shape, likelihood=likelihood)
    image = images_of(shape)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model.terms({"image": image}, seed=(0, 7)).loss)
    weights = [variable.value for variable in model.trainable_variables]
    gradients = map(tf.convert_to_tensor, tape.gradient(loss, weights))
    assert np.isfinite(loss) and all(np.isfinite(part).all() for part in gradients)
    assert model.generate(noise.rows(0, 2)).shape == model.reconstruct(image).shape == image.shape


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_large_odd_size_trains(name, tiny):
    test_every_size_trains_and_gives_images_of_its_size(name, LARGE, tiny)


@pytest.mark.parametrize("network", ["conv", "resnet"])
def test_every_pixel_is_seen_and_painted(network):
    shape, hidden = (9, 11, 1), (8, 8)
    encoder = networks.build_encoder(network, shape, hidden)
    image = tf.constant(images_of(shape)[:1])
    with tf.GradientTape() as tape:
        tape.watch(image)
        features = encoder(image)
    assert (np.abs(tape.jacobian(features, image)).max(axis=(0, 1, 2)) > 0).all()
    decoder = networks.build_decoder(network, 3, shape, 1, hidden)
    z = tf.random.stateless_normal([50, 3], (0, 1))
    assert (np.std(decoder(z), axis=0) > 0).all()


def test_a_model_of_an_odd_size_is_saved_whole(tiny, tmp_path):
    model = tiny("conv_vae", image_shape=(9, 31, 1))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    rows = noise.rows(0, 2)
    np.testing.assert_array_equal(model.generate(rows), loaded.generate(rows))
