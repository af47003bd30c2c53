"""Muon: kernels' steps have singular values near 1; the rest is Adam's; guarded like it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import vae_zoo
from vae_zoo import datasets, training
from vae_zoo.training import muon, optimizers


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (200, 130), (64, 1), (6, 6)])
def test_an_orthogonal_matrix_keeps_the_directions_of_its_blocks(shape):
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=shape).astype(np.float32)
    found = muon.orthogonal([tf.ones((7, 3)), tf.constant(matrix)])[1].numpy()
    tall, made = (matrix, found) if shape[0] >= shape[1] else (matrix.T, found.T)
    blocks = 1 if min(shape) <= 64 else 5  # of 130 columns: the fewest equal ones of 64 at most
    for block, of_it in zip(
        np.split(tall, blocks, axis=1), np.split(made, blocks, axis=1), strict=True
    ):
        left, _, right = np.linalg.svd(block, full_matrices=False)
        values = left.T @ of_it @ right.T
        assert (np.diag(values) > 0.6).all() and (np.diag(values) < 1.3).all()
        np.testing.assert_allclose(values, np.diag(np.diag(values)), atol=2e-3)


def test_a_matrix_of_zeros_stays_one():
    assert not muon.orthogonal([tf.zeros((8, 4))])[0].numpy().any()


def test_kernels_take_muon_s_step_and_all_else_adam_s():
    layer = keras.layers.Conv2D(4, 3)
    layer.build((None, 8, 8, 2))
    vector, table = keras.Variable([1.0, 2.0], name="scale"), keras.Variable(np.ones((3, 2)))
    variables = [layer.kernel, layer.bias, vector, table]
    rng = np.random.default_rng(1)
    gradients = [tf.constant(rng.normal(size=v.shape), tf.float32) for v in variables]
    before = [variable.numpy() for variable in variables]
    muon.GuardedMuon(0.01).apply(gradients, variables)
    after = [variable.numpy() for variable in variables]

    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    optimizers.GuardedAdam(0.01).apply(gradients, variables)
    for row in (1, 2, 3):
        np.testing.assert_array_equal(after[row], variables[row].numpy())
    step = (after[0] - before[0]).reshape(18, 4)
    expected = muon.orthogonal([tf.reshape(gradients[0], (18, 4))])[0].numpy()
    np.testing.assert_allclose(step, -0.01 * 18**0.5 * expected, rtol=1e-3, atol=1e-5)


def test_it_skips_what_adam_skips_and_comes_back_from_its_configuration(tiny, batch):
    model = tiny("conv_vae")
    training.compile_model(model, training.Settings(epochs=1, optimizer="muon", skip_norm=1e-9), 2)
    before = model.get_weights()
    model.train_on_batch(batch)
    assert int(model.optimizer.skipped) == 1
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(model.optimizer)
    )
    assert isinstance(copy, muon.GuardedMuon) and copy.skip_norm == 1e-9


@pytest.mark.slow
def test_two_hundred_steps_on_digits_go_further_than_adam_s():
    splits = datasets.load("digits", batch_size=64)

    def elbo(optimizer):
        model = vae_zoo.create_model(
            "conv_vae", image_shape=splits.image_shape, hidden=(16, 32), latent_size=8
        )
        settings = training.Settings(epochs=10, optimizer=optimizer)
        training.compile_model(model, settings, 20)
        history = model.fit(
            splits.train_from(0), epochs=10, steps_per_epoch=20, verbose=0, shuffle=False
        )
        return history.history["elbo"][-1]

    assert elbo("muon") > elbo("adam") + 10  # nats
