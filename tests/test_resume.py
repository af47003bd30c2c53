"""A training that ends after any of its steps goes on as if it had not ended."""

import os
import shutil
import signal

import keras
import numpy as np
import pytest

from vae_zoo import datasets, registry, runs, training
from vae_zoo.runs import report
from vae_zoo.training import session

SETTINGS = training.Settings(epochs=2, ema=0.9, optimizer="muon")
CLOCKS = ("minutes", "cpu_minutes", "images_per_second")


class Killed(BaseException):
    """What stands for a kill: nothing but a test looks for it."""


class AfterStep(keras.callbacks.Callback):
    """Does something once some steps, or all, have been made, and saved where every step is."""

    def __init__(self, steps, action):
        super().__init__()
        self.steps, self.action = steps, action

    def on_train_batch_end(self, batch, logs=None):
        if self.steps is None or self.model.steps_made in self.steps:
            self.action(self.model.steps_made)


def kill(step):
    raise Killed


def copying(directory, copies):
    """Returns an action that copies a run to `copies`/<step>: what a kill at that moment leaves."""
    return lambda step: shutil.copytree(directory, copies / str(step))


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "images.npz"
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2, (80, 8, 8), dtype=np.uint8)
    np.savez(path, image=images, label=np.arange(80) % 4)
    return datasets.load(str(path), batch_size=16)


@pytest.fixture(scope="module")
def few(splits, tmp_path_factory):
    """A function of the name of a model: images in three steps an epoch, with labels if needed.

    Without labels the report trains no classifier, which would take longer than all else.
    """
    path = tmp_path_factory.mktemp("data") / "unlabelled.npz"
    np.savez(path, image=splits.raw("train"))

    def load(name):
        needs_labels = registry.model_class(name).needs_labels
        return datasets.load(splits.name if needs_labels else str(path), batch_size=17)

    return load


@pytest.fixture(scope="module")
def whole(splits, tmp_path_factory):
    """The training of a vae that nothing interrupts."""
    return train(splits, tmp_path_factory.mktemp("runs") / "whole")


def create(name, splits):
    if name == "vae":
        sizes = {"latent_size": 2, "hidden": (8,), "likelihood": splits.likelihood}
        return registry.create_model(name, image_shape=splits.image_shape, **sizes)
    given = {"image_shape": splits.image_shape}
    if registry.model_class(name).needs_labels:
        given["num_classes"] = splits.num_classes
    if "dataset_size" in registry.constructor_arguments(registry.model_class(name)):
        given["dataset_size"] = splits.num_train
    return registry.create_model(name, tiny=True, warmup_steps=6, **given)


def train(splits, directory, name="vae", after=None, **changes):
    """Returns (outcome, weights, rows of metrics.csv) of a training in the directory.

    Args:
        after: (steps, or None for all of them; what is done after each).
    """
    settings = SETTINGS._replace(**changes)
    model = compiled(name, splits, settings)
    directory.mkdir(exist_ok=True)
    callbacks = [AfterStep(*after)] if after else []
    outcome = training.train(model, splits, directory, settings, callbacks)
    return outcome, model.get_weights(), timeless(directory)


def compiled(name, splits, settings=SETTINGS):
    """Returns a model that comes back to Python after every step."""
    model = create(name, splits)
    training.compile_model(model, settings, splits.steps_per_epoch)
    model.steps_per_execution = 1
    return model


def timeless(directory):
    """Returns the rows of metrics.csv, but for their time."""
    rows = runs.read_rows(directory / runs.METRICS)
    return [{k: v for k, v in row.items() if k not in CLOCKS} for row in rows]


def assert_same(resumed, whole):
    """Asserts that two trainings came to the same, but for their time."""
    assert resumed[2] == whole[2]
    assert (resumed[0].best_epoch, resumed[0].steps) == (whole[0].best_epoch, whole[0].steps)
    assert resumed[0].ended == whole[0].ended == "epochs"
    assert all(map(np.array_equal, resumed[1], whole[1]))


def test_a_kill_after_any_saved_step_changes_nothing(splits, whole, tmp_path, monkeypatch):
    """The last step of an epoch too: its validation, best weights and row are still to come."""
    monkeypatch.setattr(session, "_CHECKPOINT_SECONDS", -1)  # after every step
    assert len(whole[2]) == 2 and splits.steps_per_epoch > 2
    directory = tmp_path / "run"
    train(splits, directory, after=(None, copying(directory, tmp_path)))
    for step in range(1, whole[0].steps + 1):
        assert_same(train(splits, tmp_path / str(step)), whole)


def test_a_resumed_training_keeps_where_its_likelihood_started(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (80, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", image=images)
    splits = datasets.load(str(tmp_path / "images.npz"), batch_size=16)
    whole = train(splits, tmp_path / "whole")
    starts = [weight for weight in whole[1] if weight.shape == (8, 8, 1)]
    mean = splits.images("train").mean(0)
    np.testing.assert_allclose(starts[0], 2 * mean - 1, atol=1e-5)
    monkeypatch.setattr(session, "_CHECKPOINT_SECONDS", -1)
    with pytest.raises(Killed):
        train(splits, tmp_path / "parts", after=([3], kill))
    assert_same(train(splits, tmp_path / "parts"), whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.model_names())
def test_kills_after_every_step_change_nothing_of_any_model(name, few, tmp_path, monkeypatch):
    """Weights, metrics.csv, report.json of a training that is killed after each of its steps.

    One model object is trained again and again, so that its graphs are built once: a kill is a
    state that is lost. One that is made anew goes on from within the second epoch.
    """
    monkeypatch.setattr(session, "_CHECKPOINT_SECONDS", -1)
    data = few(name)
    model, steps = compiled(name, data), SETTINGS.epochs * data.steps_per_epoch
    fresh = state(model)
    whole = run_and_report(model, data, tmp_path / "whole")
    restore(model, fresh)
    killed, within = tmp_path / "killed", tmp_path / "within"
    for step in range(1, steps + 1):
        with pytest.raises(Killed):
            training.train(model, data, killed, SETTINGS, [AfterStep([step], kill)])
        assert model.steps_made == step
        if step == data.steps_per_epoch + 1:
            shutil.copytree(killed, within)
        restore(model, [np.full_like(value, 7) for value in fresh])
    assert_same_run(run_and_report(model, data, killed), whole)
    assert_same(train(data, within, name), whole[:3])


def run_and_report(model, splits, directory):
    """Returns what `train` does, of a training to its end, and its report.json but for clocks."""
    directory.mkdir(exist_ok=True)
    outcome = training.train(model, splits, directory, SETTINGS)
    config = {"model": model.name, "arguments": model.get_config(), "training": {"seed": 0}}
    config["binarization"] = splits.binarization
    figures = report.model_figures(model, splits, config, num_images=4, num_samples=2)
    report.write_report(directory, model, splits, config, outcome, figures)
    return outcome, model.get_weights(), timeless(directory), runs.read_report(directory)


def assert_same_run(resumed, whole):
    """Asserts that two trainings came to the same, and to the same report."""
    assert_same(resumed[:3], whole[:3])
    assert whole[3]["nll"] and whole[3]["steps"] == whole[0].steps
    ours, theirs = ({k: v for k, v in r[3].items() if k not in CLOCKS} for r in (resumed, whole))
    assert ours == theirs


def variables(model):
    """Returns all that a new process would not know of a training: weights, moments, counts."""
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    moments = [variable for optimizer in model.optimizers for variable in optimizer.variables]
    return [*model.variables, *moments, *metrics]


def state(model):
    return [np.asarray(variable) for variable in variables(model)]


def restore(model, values):
    for variable, value in zip(variables(model), values, strict=True):
        variable.assign(value)


def test_what_is_read_of_a_run_is_what_its_checkpoint_holds(splits, whole, tmp_path, caplog):
    """metrics.csv is written anew; best.weights.h5, which an earlier version read, is nothing."""
    train(splits, tmp_path / "run")
    (tmp_path / "run" / runs.METRICS).write_bytes(b"epoch,val_elbo\r\n1,")
    (tmp_path / "run" / runs.CHECKPOINTS / "best.weights.h5").write_bytes(b"garbage")
    assert_same(train(splits, tmp_path / "run"), whole)
    assert "metrics.csv is damaged or gone: written anew" in caplog.text


def test_out_of_time_within_an_epoch_stops_there_and_more_time_goes_on(
    splits, whole, tmp_path, monkeypatch
):
    def out_of_time(self):  # every step takes a minute
        return self.step() >= (self.settings.max_minutes or np.inf)

    monkeypatch.setattr(session._Session, "out_of_time", out_of_time)
    first = train(splits, tmp_path / "run", max_minutes=2)
    assert (first[0].ended, first[0].steps, first[0].best_epoch, first[2]) == ("time", 2, 0, [])
    assert not all(map(np.array_equal, first[1], create("vae", splits).get_weights()))
    steps = splits.steps_per_epoch + 1
    second = train(splits, tmp_path / "run", max_minutes=steps)
    assert (second[0].ended, second[0].steps, second[0].best_epoch) == ("time", steps, 1)
    assert second[2] == whole[2][:1]
    assert_same(train(splits, tmp_path / "run"), whole)


def test_time_is_looked_at_within_a_call_of_the_loop(splits, tmp_path, monkeypatch):
    """A call of many slow steps may take far longer than the time that is left."""
    seen = []

    def out_of_time(self):
        seen.append(self.step())
        return self.step() >= 3

    monkeypatch.setattr(session._Session, "out_of_time", out_of_time)
    model = create("vae", splits)
    training.compile_model(model, SETTINGS, splits.steps_per_epoch)
    assert model.steps_per_execution == splits.steps_per_epoch > 3  # one call
    model.pace_seconds = 1e-9  # every step is a long one
    outcome = training.train(model, splits, tmp_path, SETTINGS)
    assert outcome.steps == 3 and seen[:4] == [0, 1, 2, 3]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_step_that_was_made(number, splits, whole, tmp_path):
    def terminated(number, frame):
        raise SystemExit(143)

    before = signal.signal(signal.SIGTERM, terminated)
    try:
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train(splits, tmp_path / "run", after=([3], lambda step: os.kill(os.getpid(), number)))
        assert signal.getsignal(signal.SIGTERM) is terminated  # as before the training
    finally:
        signal.signal(signal.SIGTERM, before)
    saved = sorted((tmp_path / "run" / runs.CHECKPOINTS).glob("*.index"))[-1].name
    assert saved in ("step-0000000003.index", "step-0000000004.index")
    assert_same(train(splits, tmp_path / "run"), whole)


def test_a_signal_during_validation_leaves_the_epoch_to_be_ended(
    splits, whole, tmp_path, monkeypatch
):
    """Averaged weights are in place at that moment: the raw ones are saved."""
    real = session.validation

    def interrupted(*given):
        validate = real(*given)

        def once(between):
            os.kill(os.getpid(), signal.SIGINT)
            return validate(between)

        return once

    monkeypatch.setattr(session, "validation", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(splits, tmp_path / "run")
    monkeypatch.setattr(session, "validation", real)
    assert not (tmp_path / "run" / runs.METRICS).exists()
    assert_same(train(splits, tmp_path / "run"), whole)
