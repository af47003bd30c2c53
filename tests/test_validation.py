"""Which epoch's weights a training keeps: the lowest of its own objective, after warm-up."""

import numpy as np
import pytest

from vae_zoo import datasets, registry, runs, training
from vae_zoo.training import validation

KINDS = ("iwae", "beta_tc_vae", "factor_vae", "info_vae", "vq_vae", "vdm")


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    """160 images of 8 x 8 pixels, each row black or white; batches of 4."""
    path = tmp_path_factory.mktemp("data") / "images.npz"
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 2, (160, 8, 1), dtype=np.uint8)
    np.savez(path, image=np.repeat(rows, 8, axis=2))
    return datasets.load(str(path), batch_size=4)


def train(splits, directory, *, epochs=4, patience=0, **arguments):
    """Returns (outcome, model, rows of metrics.csv) of a small VAE."""
    settings = training.Settings(epochs=epochs, learning_rate=1e-2, patience=patience)
    model = registry.create_model(
        "vae", image_shape=splits.image_shape, latent_size=4, hidden=(32,), **arguments
    )
    training.compile_model(model, settings, splits.steps_per_epoch)
    outcome = training.train(model, splits, directory, settings)
    return outcome, model, runs.read_rows(directory / runs.METRICS)


def test_an_epoch_of_warm_up_is_not_kept_for_its_elbo(splits, tmp_path):
    """With beta = 20 the ELBO falls as the weight of the rate rises; the objective decides."""
    warm = 10 * splits.steps_per_epoch
    outcome, model, rows = train(splits, tmp_path, epochs=14, beta=20.0, warmup_steps=warm)
    assert max(rows, key=lambda row: row["val_elbo"])["step"] < warm
    after = [row for row in rows if row["step"] >= warm]
    best = min(after, key=lambda row: row["val_loss"])
    assert outcome.best_epoch == best["epoch"]
    assert best["val_loss"] == pytest.approx(best["val_distortion"] + 20 * best["val_rate"])
    kept = validation.validation(model, splits)()  # the model has that epoch's weights
    assert kept["loss"] == pytest.approx(best["val_loss"], rel=1e-5)


def test_the_last_epoch_is_kept_where_warm_up_does_not_end(splits, tmp_path):
    outcome, _, rows = train(splits, tmp_path, beta=20.0, warmup_steps=10**6, patience=1)
    assert outcome.epochs == outcome.best_epoch == len(rows) == 4


def test_patience_counts_from_the_best_epoch_after_warm_up(splits, tmp_path, monkeypatch):
    """Were every epoch worse than the one before it: two of warm-up, one, and two more."""
    losses = iter(range(10))

    def worse(*given):
        figures = validation.validation(*given)
        return lambda *given: {**figures(*given), "loss": next(losses)}

    monkeypatch.setattr(training.session, "validation", worse)
    warm = 2 * splits.steps_per_epoch + 1
    outcome, _, _ = train(splits, tmp_path, epochs=9, warmup_steps=warm, patience=2)
    assert (outcome.best_epoch, outcome.epochs) == (3, 5)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_objective_is_measured_the_same_each_time(name, tiny, digits):
    model = tiny(name)
    model.compile()
    validate = validation.validation(model, digits)
    figures = validate()
    assert validate() == figures and np.isfinite(list(figures.values())).all()
    penalty = figures["loss"] + figures.get("bound", figures["elbo"])
    if name == "iwae":
        assert penalty == pytest.approx(0, abs=1e-3) and figures["loss"] != -figures["elbo"]
    elif name == "info_vae":
        assert figures["loss"] > figures["distortion"] + model.beta * figures["rate"]
    elif name == "vdm":
        assert penalty == pytest.approx(0, abs=1e-2)
    else:
        assert abs(penalty) > 1e-4


def test_batches_of_validation_are_nearly_equal():
    starts, stops = validation.even_batches(130, 64)
    sizes = np.subtract(stops, starts)
    assert starts[1:] == stops[:-1] and (starts[0], stops[-1]) == (0, 130)
    assert set(sizes) == {43, 44}
    assert validation.even_batches(5, 64) == ([0], [5])
