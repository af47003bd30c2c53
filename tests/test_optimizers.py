"""What guards a training: skipped steps, averaged weights, loss scaling, restarts."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from vae_zoo import errors, runs, training
from vae_zoo.runs import report, summary
from vae_zoo.training import optimizers


@pytest.fixture
def weight():
    return keras.Variable([1.0, 2.0], name="weight")


def apply(optimizer, weight, *gradients):
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient, tf.float32)], [weight])


def test_a_good_step_is_adams(weight):
    other = keras.Variable([1.0, 2.0])
    gradients = ([0.5, -1.0], [0.1, 3.0], [2.0, 0.0])
    apply(optimizers.GuardedAdam(0.1, skip_norm=100.0), weight, *gradients)
    apply(keras.optimizers.Adam(0.1), other, *gradients)
    np.testing.assert_allclose(weight.numpy(), other.numpy(), rtol=1e-5)  # another kernel


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_is_skipped_and_counted(bad, weight):
    optimizer = optimizers.GuardedAdam(0.1)
    apply(optimizer, weight, [0.5, -1.0])
    before = [variable.numpy() for variable in (weight, *optimizer._momentums)]
    apply(optimizer, weight, [1.0, bad], [bad, bad])
    after = [variable.numpy() for variable in (weight, *optimizer._momentums)]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(optimizer.skipped) == int(optimizer.skipped_in_a_row) == 2
    assert int(optimizer.iterations) == 3  # data and noise go on
    apply(optimizer, weight, [0.5, -1.0])
    assert int(optimizer.skipped) == 2 and int(optimizer.skipped_in_a_row) == 0
    assert np.isfinite(weight.numpy()).all() and (weight.numpy() != before[0]).any()


def test_a_gradient_beyond_the_norm_is_skipped(weight):
    optimizer = optimizers.GuardedAdam(0.1, skip_norm=5.0)
    apply(optimizer, weight, [3.0, 4.0])  # a norm of 5 is not beyond it
    assert int(optimizer.skipped) == 0
    apply(optimizer, weight, [3.0, 4.1])
    assert int(optimizer.skipped) == 1


def test_averaged_weights_are_those_of_a_hand_computation(tiny, batch):
    model = tiny("vae")
    model.compile(optimizers.GuardedAdam(0.01, use_ema=True, ema_momentum=0.6))
    model.optimizer.build(model.trainable_variables)
    expected = [np.full_like(value, np.nan) for value in model.get_weights()]  # not of a start
    stream = tf.data.Dataset.from_tensors(batch).repeat()
    for done in range(12):
        model.fit(stream, steps_per_epoch=1, verbose=0, shuffle=False)
        momentum = min(0.6, done / (9 + done))
        for average, raw in zip(expected, model.get_weights(), strict=True):
            average[:] = raw if momentum == 0 else average + (1 - momentum) * (raw - average)
    raw = model.get_weights()
    with optimizers.averaged(model):
        for ours, theirs in zip(expected, model.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for before, after in zip(raw, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("name", ["amsgrad", "weight_decay", "global_clipnorm"])
def test_what_would_get_round_the_guard_is_refused(name):
    with pytest.raises(errors.UserError, match=f"{name}=0.1: GuardedAdam has none"):
        optimizers.GuardedAdam(**{name: 0.1})


def test_raw_weights_come_back_even_after_an_error(tiny):
    model = tiny("vae")
    model.compile(optimizers.GuardedAdam(0.01, use_ema=True, ema_momentum=0.5))
    model.optimizer.build(model.trainable_variables)
    raw = [value + 1 for value in model.get_weights()]
    model.set_weights(raw)
    with pytest.raises(RuntimeError), optimizers.averaged(model):
        raise RuntimeError
    for before, after in zip(raw, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_loss_scaling_counts_its_overflows_too(tiny, digits):
    model = tiny("vae", dtype="mixed_float16")
    settings = training.Settings(epochs=1, precision="mixed_float16", schedule="constant")
    training.compile_model(model, settings, 10)
    model.fit(digits.train_from(0), epochs=1, steps_per_epoch=10, verbose=0, shuffle=False)
    guard = optimizers.guard(model.optimizer)
    assert isinstance(guard, optimizers.GuardedAdam) and int(guard.iterations) == 10
    assert int(guard.skipped) < 5  # the first scale is too large
    scale, weights = float(model.optimizer.dynamic_scale), model.get_weights()
    skipped = int(guard.skipped)
    nothing = {"image": np.full((64, 28, 28, 1), np.nan, np.float32)}
    bad = tf.data.Dataset.from_tensors(nothing).repeat()
    model.fit(bad, epochs=1, steps_per_epoch=10, verbose=0, shuffle=False)
    assert int(guard.skipped) == skipped + 10 and int(guard.iterations) == 20
    assert float(model.optimizer.dynamic_scale) == scale / 2**10
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


class Spoilt:
    """The splits, their batches spoilt from one step to another."""

    def __init__(self, splits, first, last):
        self._splits, self._first, self._last = splits, first, last

    def __getattr__(self, name):
        return getattr(self._splits, name)

    def train_from(self, step):
        def spoil(number, batch):
            bad = (number >= self._first) & (number < self._last)
            return {**batch, "image": tf.where(bad, np.nan, batch["image"])}

        return self._splits.train_from(step).enumerate(step).map(spoil)


def train(tiny, splits, directory, **settings):
    settings = training.Settings(**{"epochs": 3, "schedule": "constant", **settings})
    model = tiny("vae")
    training.compile_model(model, settings, splits.steps_per_epoch)
    return model, training.train(model, splits, directory, settings)


def test_after_many_bad_steps_the_last_good_state_is_restored(tiny, digits, tmp_path):
    model, outcome = train(tiny, Spoilt(digits, 22, 44), tmp_path)
    assert outcome.restarts == 1 and outcome.steps == 66 and outcome.skipped == 22
    assert all(np.isfinite(value).all() for value in model.get_weights())
    rows = runs.read_rows(tmp_path / "metrics.csv")
    assert [row["skipped"] for row in rows] == [0, 22, 22]
    assert all(np.isfinite(row["val_elbo"]) for row in rows)


def test_a_training_that_stays_lost_ends_with_the_remedy(tiny, digits, tmp_path):
    with pytest.raises(errors.UserError, match="training is lost.*Lower --learning_rate"):
        train(tiny, Spoilt(digits, 0, 10**9), tmp_path, epochs=20)


@pytest.mark.parametrize("skipped, said", [(1, False), (2, True)])
def test_more_than_a_hundredth_of_steps_skipped_is_said(skipped, said, tiny, digits, tmp_path):
    steady = {"median": 0.1, "p95": 0.2}
    figures = {"elbo": -1.0, "rate": 0.5, "distortion": 0.5, "nll": 1.0, "nll_stderr": 0.1}
    figures |= {"num_images": 1, "num_samples": 1, "is_bound": False, "active_units": 1}
    figures |= {"continuity": steady, "completeness": {"reason": "no labels"}}
    outcome = training.Outcome(1, 1, 100, skipped, 0, 1.0, 1.0, 100.0)
    config = {"model": "vae", "arguments": {}, "binarization": "dynamic"}
    written = report.write_report(tmp_path, tiny("vae"), digits, config, outcome, figures)
    stored = json.loads((tmp_path / "report.json").read_text())
    assert stored["skipped"] == skipped
    assert any("more than 1%" in note for note in stored["notes"]) == said
    assert ("WARNING" in summary.summary(tmp_path, written)) == said
