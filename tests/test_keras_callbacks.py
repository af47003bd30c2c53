"""Keras's own callbacks, optimizers and switches on a model of the zoo: each does what it says."""

import csv
import re

import keras
import numpy as np
import pytest

import vae_zoo
from vae_zoo import replicas


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return (rng.random((40, 8, 8, 1)) < 0.3).astype(np.float32)


def made(optimizer="adam", **arguments):
    model = vae_zoo.create_model("vae", image_shape=(8, 8, 1), latent_size=2, hidden=(8,))
    model.compile(optimizer, **{"jit_compile": False, **arguments})
    return model


def fit(model, images, epochs=1, callbacks=(), **arguments):
    return model.fit(
        images,
        epochs=epochs,
        batch_size=20,
        validation_data=images[:20],
        callbacks=list(callbacks),
        verbose=0,
        **arguments,
    ).history


def test_early_stopping_waits_for_the_bound(images):
    stop = keras.callbacks.EarlyStopping("val_elbo", mode="max", patience=1, min_delta=1e6)
    assert len(fit(made(), images, 5, [stop])["elbo"]) == 2


def test_the_best_model_is_kept(images, tmp_path):
    path = tmp_path / "best.keras"
    keep = keras.callbacks.ModelCheckpoint(path, "val_elbo", mode="max", save_best_only=True)
    model = made()
    fit(model, images, 2, [keep])
    loaded = keras.saving.load_model(path)
    np.testing.assert_array_equal(loaded.predict(images, verbose=0).shape, images.shape)
    assert len(loaded.weights) == len(model.weights)


def test_the_learning_rate_falls_on_a_plateau(images):
    fall = keras.callbacks.ReduceLROnPlateau("val_elbo", mode="max", patience=1, min_delta=1e6)
    model = made(keras.optimizers.Adam(1e-2))
    fit(model, images, 3, [fall])
    assert float(model.optimizer.learning_rate) < 5e-3


def test_figures_are_logged(images, tmp_path):
    logs = [
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.TensorBoard(tmp_path / "board"),
    ]
    fit(made(), images, 2, logs)
    with open(tmp_path / "log.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert {"elbo", "rate", "distortion", "val_elbo"} <= rows[0].keys()
    assert {path.name for path in (tmp_path / "board").iterdir()} == {"train", "validation"}


def test_a_broken_training_goes_on_from_its_backup(images, tmp_path):
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)

    class Broken(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(made(), images, 3, [backup, Broken()])
    model = made()
    assert len(fit(model, images, 3, [backup])["elbo"]) <= 2
    assert int(model.optimizer.iterations) == 6


def test_another_optimizer_with_clipping_trains(images):
    model = made(keras.optimizers.AdamW(1e-2, global_clipnorm=1.0))
    losses = fit(model, images, 4)["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("switch", ["jit_compile", "run_eagerly"])
def test_every_way_of_running_gives_finite_figures_that_fall(switch, images):
    losses = fit(made(keras.optimizers.Adam(1e-2), **{switch: True}), images, 3)["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]


def test_xla_compiles_on_a_gpu_alone_unless_it_is_asked_for(images):
    model = made(keras.optimizers.Adam(1e-2), jit_compile="auto")
    assert model.jit_compile is replicas.on_gpu()
    assert made(jit_compile=True).jit_compile is True
    assert made(jit_compile="auto", run_eagerly=True).jit_compile is False
    fresh = type(model).from_config(model.get_config())  # not compiled
    fresh.predict(images, verbose=0)
    assert fresh.jit_compile is replicas.on_gpu()


def test_single_batches_are_trained_tested_and_predicted_on(images):
    model = made(keras.optimizers.Adam(1e-2))
    first = model.test_on_batch(images, return_dict=True)
    for _ in range(5):
        model.train_on_batch(images)
    assert int(model.optimizer.iterations) == 5
    assert model.test_on_batch(images, return_dict=True)["loss"] < first["loss"]
    assert model.predict_on_batch(images).shape == images.shape


def test_a_frozen_encoder_stays_as_it_is(images):
    model = made()
    model.encoder.trainable = False
    model.compile(jit_compile=False)
    kept, moved = model.encoder.get_weights(), model.decoder.get_weights()
    fit(model, images)
    for before, after in zip(kept, model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert any((a != b).any() for a, b in zip(moved, model.decoder.get_weights(), strict=True))


def test_the_progress_shows_the_bound_and_its_parts(images, capsys):
    made().fit(images, verbose=2)
    shown = capsys.readouterr().out
    for name in ("elbo", "rate", "distortion"):
        assert re.search(rf"{name}: -?\d", shown), shown
