"""A training that ends after any of its steps goes on as if it had not ended."""

import keras
import numpy as np
import pytest

from vae_zoo import datasets, registry, runs, training
from vae_zoo.training import session

SETTINGS = training.Settings(epochs=2, ema=0.9)
CLOCKS = ("minutes", "cpu_minutes", "images_per_second")


class Killed(Exception):
    """What stands for a kill."""


class KillAfter(keras.callbacks.Callback):
    """Ends the process, so to say, once a step has been made and saved."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if self.model.steps_made == self.step:
            raise Killed


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "images.npz"
    images = np.random.default_rng(0).integers(0, 2, (80, 8, 8), dtype=np.uint8)
    np.savez(path, image=images)
    return datasets.load(str(path), batch_size=16)


def train(splits, directory, kill_after=None):
    """Returns (outcome, weights, rows of metrics.csv) of a training in the directory."""
    model = registry.create_model("vae", image_shape=splits.image_shape, latent_size=2, hidden=(8,))
    training.compile_model(model, SETTINGS, splits.steps_per_epoch)
    model.steps_per_execution = 1
    directory.mkdir(exist_ok=True)
    callbacks = [KillAfter(kill_after)] if kill_after else []
    outcome = training.train(model, splits, directory, SETTINGS, callbacks)
    rows = runs.read_rows(directory / runs.METRICS)
    timeless = [{k: v for k, v in row.items() if k not in CLOCKS} for row in rows]
    return outcome, model.get_weights(), timeless


def test_a_kill_after_any_saved_step_changes_nothing(splits, tmp_path, monkeypatch):
    """The last step of an epoch too: its validation, best weights and row are still to come."""
    monkeypatch.setattr(session, "_CHECKPOINT_SECONDS", -1)  # after every step
    outcome, weights, rows = train(splits, tmp_path / "whole")
    assert len(rows) == 2 and splits.steps_per_epoch > 2
    for step in range(1, outcome.steps + 1):
        directory = tmp_path / f"killed-{step}"
        with pytest.raises(Killed):
            train(splits, directory, kill_after=step)
        resumed, same_weights, same_rows = train(splits, directory)
        assert same_rows == rows, step
        assert (resumed.best_epoch, resumed.steps) == (outcome.best_epoch, outcome.steps), step
        assert all(map(np.array_equal, same_weights, weights)), step
