"""Paths and Jacobians of decoders whose geometry is known."""

import numpy as np
import pytest
import tensorflow as tf

import vae_zoo
from vae_zoo import registry
from vae_zoo.metrics import geometry


class Known:
    """A decoder that is a function of z alone."""

    needs_labels, decodes_z, latent_size = False, True, 2

    def __init__(self, function, image_shape):
        self.decode = lambda z, label=None: tf.reshape(function(z), [-1, *image_shape])
        self.image_shape = image_shape

    def sample_prior(self, rows, label=None):
        del label
        return np.random.default_rng(0).normal(size=(len(rows), 2)).astype(np.float32)


LINEAR = np.array([[3.0, 0, 0, 0], [0, 0.5, 0, 0]], np.float32)


def hill(z):
    """A plane with a steep hill at 0: the shortest way goes around it."""
    return tf.concat([z, 3 * tf.exp(-2 * tf.reduce_sum(z**2, axis=1, keepdims=True))], axis=1)


def test_singular_values_of_a_linear_decoder_are_those_of_its_matrix():
    found = geometry.singular_values(Known(lambda z: z @ LINEAR, (2, 2, 1)), count=20)
    np.testing.assert_allclose(found, np.tile([3.0, 0.5], (20, 1)), rtol=1e-5)


def test_a_geodesic_of_a_linear_decoder_is_the_straight_path():
    model = Known(lambda z: z @ LINEAR, (2, 2, 1))
    starts, ends = np.array([[-1, 1.0]], np.float32), np.array([[1, 1.0]], np.float32)
    paths = geometry.interpolation_paths(model, starts, ends, steps=8)
    np.testing.assert_allclose(paths["geodesic"][0], paths["straight"][0], atol=1e-3)
    assert paths["straight"][1] == pytest.approx(6.0, rel=1e-4)
    assert paths["spherical"][1] > 6.01


def test_a_geodesic_goes_around_a_hill():
    starts, ends = np.array([[-1.5, 0.1]], np.float32), np.array([[1.5, 0.1]], np.float32)
    paths = geometry.interpolation_paths(Known(hill, (3, 1, 1)), starts, ends, steps=16)
    assert paths["geodesic"][1] < 0.75 * paths["straight"][1]
    assert np.abs(paths["geodesic"][0][0, 7, 1]) > 0.5
    np.testing.assert_array_equal(paths["geodesic"][0][:, [0, -1]], np.stack([starts, ends], 1))


def test_a_spherical_path_keeps_its_length_and_its_pace():
    starts, ends = np.eye(3, dtype=np.float32)[:1], np.eye(3, dtype=np.float32)[1:2]
    [path] = geometry.spherical(starts, ends, 5)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(path[2], [np.sqrt(0.5), np.sqrt(0.5), 0], rtol=1e-6)
    np.testing.assert_allclose(geometry.spherical(starts, -2 * starts, 3)[0, 1], [-0.5, 0, 0])


@pytest.mark.parametrize("name", ["conv_vae", "cvae", "ladder_vae"])
def test_the_jacobian_is_that_of_finite_differences(name, tiny):
    model = tiny(name)
    found = geometry.singular_values(model, count=2)
    label = np.arange(2, dtype=np.int32) if model.needs_labels else None
    z = np.asarray(model.sample_prior(vae_zoo.noise.rows(0, 2), label))
    columns = [
        (np.asarray(model.decode(z + step, label)) - np.asarray(model.decode(z - step, label)))
        / 0.002
        for step in 0.001 * np.eye(model.latent_size, dtype=np.float32)
    ]
    jacobian = np.stack(columns, axis=-1).reshape(2, -1, model.latent_size)
    np.testing.assert_allclose(found[:, 0], np.linalg.norm(jacobian, 2, axis=(1, 2)), rtol=0.05)


def test_models_without_a_z_have_no_geometry(tiny):
    assert "vq_vae" in registry.model_names()
    assert geometry.singular_values(tiny("vq_vae")) is None
