"""How long a training is: steps and minutes instead of epochs."""

import json

import numpy as np
import pytest

import vae_zoo
from vae_zoo import errors, recipes, runs, training

MINUTES = 0.05


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A .npz of 60 grey images: no recipe knows it."""
    path = tmp_path_factory.mktemp("own") / "own.npz"
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    np.savez(path, image=images)
    return path


def train(pictures, directory, **length):
    """Trains a small model of the pictures; returns its run."""
    arguments = {"hidden": (8,), "latent_size": 2}
    given = {"output_dir": directory, "arguments": arguments, "report_samples": 2, "patience": 0}
    return vae_zoo.train("vae", pictures, **given, **length)


@pytest.fixture(scope="module")
def by_minutes(pictures, tmp_path_factory):
    """A run of some seconds."""
    return train(pictures, tmp_path_factory.mktemp("runs") / "minutes", minutes=MINUTES)


@pytest.mark.parametrize(
    "steps, of_a_pass, epochs, length",
    [
        (6000, 7, 60, 100),  # 600 pictures: a validation every 100 steps, not every 7
        (6000, 720, 20, 300),  # 46,080 pictures: at least twenty validations
        (10_000, 200, 50, 200),  # a pass
        (50, 7, 1, 50),
        (1, 1, 1, 1),
        (5003, 15, 50, 101),  # the last epoch is filled
    ],
)
def test_an_epoch_is_neither_a_few_steps_nor_most_of_the_training(steps, of_a_pass, epochs, length):
    assert training.plan(steps, of_a_pass) == (epochs, length)


def test_data_without_a_recipe_gets_thousands_of_steps_however_few_its_images():
    for name in ("conv_vae", "vae", "resnet_vae", "ladder_vae", "vdm"):
        recipe = recipes.recipe(name, "path/to/folder")
        assert 4000 <= recipe.steps <= 20_000 and recipe.batch_size == 64
    assert recipes.recipe("resnet_vae", "own.npz").steps > recipes.recipe("vae", "own.npz").steps
    assert recipes.recipe("resnet_vae", "digits").steps is None  # as before


def test_steps_are_trained_in_epochs_of_a_hundred(pictures, tmp_path, capsys):
    train(pictures, tmp_path / "run", steps=300)
    assert "300 steps" in capsys.readouterr().out
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["steps"] == 300 and report["epochs"] == 3
    rows = runs.read_rows(tmp_path / "run" / "metrics.csv")
    assert [row["step"] for row in rows] == [100, 200, 300]
    assert rows[-1]["learning_rate"] == pytest.approx(0, abs=1e-8)  # the schedule fits the steps


def test_minutes_become_steps_once_and_the_schedule_ends_with_them(by_minutes):
    config = json.loads((by_minutes / "config.json").read_text())["training"]
    report = json.loads((by_minutes / "report.json").read_text())
    assert config["minutes"] == MINUTES and config["steps"] > 0
    assert 0 <= report["steps"] - config["steps"] < config["epochs"]
    assert report["minutes"] < 2  # on a busy machine
    rows = runs.read_rows(by_minutes / "metrics.csv")
    assert rows[-1]["learning_rate"] == pytest.approx(0, abs=1e-8)


def test_the_same_minutes_again_are_the_same_training(by_minutes, pictures, tmp_path, capsys):
    before = (by_minutes / "config.json").read_bytes()
    train(pictures, by_minutes, minutes=MINUTES)
    assert "is done" in capsys.readouterr().out
    (by_minutes / "report.json").unlink()  # as if it had been stopped before
    train(pictures, by_minutes, minutes=MINUTES)
    assert "going on" in capsys.readouterr().out
    assert (by_minutes / "config.json").read_bytes() == before
    steps = json.loads(before)["training"]["steps"]
    same = train(pictures, tmp_path / "b", steps=steps)
    weights = [runs.load_run(place).get_weights() for place in (by_minutes, same)]
    assert all(np.array_equal(*pair) for pair in zip(*weights, strict=True))


def test_the_time_is_said_as_soon_as_the_speed_is_known(capsys):
    class Model:
        steps_made, steps_per_epoch = 10, 100

    forecast = training.Forecast(training.Settings(epochs=3), seconds=0.0)
    forecast._model = Model()
    forecast.on_train_batch_end(0)
    assert capsys.readouterr().out == ""
    Model.steps_made = 60
    forecast.started = (forecast.started[0] - 5.0, 10)
    forecast.on_train_batch_end(1)
    forecast.on_train_batch_end(2)
    assert capsys.readouterr().out == "about 24 s left: 240 steps, 10.0 a second\n"


def test_one_length_at_a_time(one_line):
    from vae_zoo import train

    given = ["--model=vae", "--steps=5", "--minutes=2"]
    assert "--steps=5 and --minutes=2.0: expected one" in one_line(train.train, train.FLAGS, given)
    for wrong in ("--steps=0", "--minutes=0", "--minutes=-1"):
        assert wrong in one_line(train.train, train.FLAGS, ["--model=vae", wrong])


def test_a_training_of_an_earlier_version_goes_on_as_it_was_begun(
    pictures, tmp_path, capsys, monkeypatch
):
    """With its noise and batches, its activation and its optimizer, none of which it names."""
    monkeypatch.setattr(vae_zoo.train, "_finish", lambda *given: None)  # its report takes seconds
    old = {"optimizer": "adam", "set": ["activation=relu"]}
    run = train(pictures, tmp_path / "run", epochs=1, max_minutes=1e-9, **old)
    assert runs.is_started(run) and not runs.draws_differ(run)
    config = runs.read_config(run)
    assert config["arguments"].pop("activation") == "relu"
    assert config["training"].pop("optimizer") == "adam"
    runs.write_json(run / runs.CONFIG, {k: v for k, v in config.items() if k != "draws"})
    capsys.readouterr()
    train(pictures, run, epochs=1)
    assert "begun with a version that drew noise and data otherwise" in capsys.readouterr().out
    assert len(runs.read_rows(run / runs.METRICS)) == 1
    with pytest.raises(errors.UserError, match="optimizer was 'adam', now 'muon'"):
        train(pictures, run, epochs=1, optimizer="muon")


def test_components_are_not_added_to_a_training_that_was_begun_without(
    pictures, tmp_path, monkeypatch
):
    monkeypatch.setattr(vae_zoo.train, "_finish", lambda *given: None)
    arguments = {"hidden": (4, 4), "latent_size": 2}
    given = {"output_dir": tmp_path / "run", "epochs": 1, "report_samples": 2}
    without = {**arguments, "principal": False}
    run = vae_zoo.train("conv_vae", pictures, arguments=without, max_minutes=1e-9, **given)
    config = runs.read_config(run)
    assert config["arguments"].pop("principal") is False
    runs.write_json(run / runs.CONFIG, config)
    vae_zoo.train("conv_vae", pictures, arguments=arguments, **given)
    assert runs.read_rows(run / runs.METRICS)
    assert not runs.read_config(run)["arguments"].get("principal")
    vae_zoo.train("conv_vae", pictures, arguments=arguments, overwrite=True, **given)
    assert runs.read_config(run)["arguments"]["principal"] is True
