"""What the commands do, from Python: a run, the list of models, pictures; models of one's own."""

import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

import vae_zoo

EXAMPLES = pathlib.Path(__file__).parent.parent / "docs" / "examples"
SMALL = {"report_samples": 4, "report_images": 20}


@pytest.fixture
def examples(tmp_path, monkeypatch):
    """A folder with the example files, the current one, as a user's."""
    for path in EXAMPLES.glob("*.py"):
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_run_is_trained_and_opened_from_python(tmp_path, data_dir):
    run = vae_zoo.train(
        "vae",
        "digits",
        tmp_path / "run",
        arguments={"hidden": (16,), "latent_size": 3},
        epochs=1,
        data_dir=data_dir,
        **SMALL,
    )
    model = vae_zoo.load_run(run)
    assert run == tmp_path / "run" and model.latent_size == 3
    assert model.generate(seed=0, num=3).shape[0] == 3
    assert {"report.json", "samples.png", "metrics.csv"} <= {path.name for path in run.iterdir()}
    with pytest.raises(vae_zoo.UserError, match="holds a run with other settings"):
        vae_zoo.train("vae", output_dir=run, epochs=1, data_dir=data_dir, **SMALL)


def test_what_no_run_can_be_made_of_is_refused(tiny):
    with pytest.raises(vae_zoo.UserError, match="Did you mean 'conv_vae'"):
        vae_zoo.train("conv_vea")
    with pytest.raises(vae_zoo.UserError, match="epochz"):
        vae_zoo.train("vae", epochz=3)
    with pytest.raises(vae_zoo.UserError, match="train of dict: expected a model's name"):
        vae_zoo.train({"a": 1})
    with pytest.raises(vae_zoo.UserError, match="the object has its own"):
        vae_zoo.train(tiny("vae"), arguments={"latent_size": 3})
    with pytest.raises(vae_zoo.UserError, match="seed=...: the object has its own"):
        vae_zoo.train(tiny("vae"), seed=3)


class Unregistered(vae_zoo.VAE):
    """A user's class, of which no command knows."""


def test_a_model_object_is_trained_into_a_run(tmp_path, data_dir):
    shape = (28, 28, 1)
    encoder = keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(8)])
    model = vae_zoo.create_model(
        "vae", image_shape=shape, latent_size=3, hidden=(16,), encoder=encoder, seed=5
    )
    given = ("digits", tmp_path / "run")
    settings = {"epochs": 1, "data_dir": data_dir, **SMALL}
    before = model.get_weights()
    run = vae_zoo.train(model, *given, **settings)
    opened = vae_zoo.load_run(run)
    trained = model.get_weights()
    assert any((a != b).any() for a, b in zip(before, trained))
    for ours, theirs in zip(trained, opened.get_weights()):
        np.testing.assert_array_equal(ours, theirs)
    model.set_weights(before)
    vae_zoo.train(model, *given, **settings)  # done already: the object gets the run's weights
    np.testing.assert_array_equal(model.get_weights()[0], trained[0])
    with pytest.raises(vae_zoo.UserError, match="holds a run with other settings"):
        other = vae_zoo.create_model("vae", image_shape=shape, latent_size=4, hidden=(16,))
        vae_zoo.train(other, *given, **settings)
    with pytest.raises(vae_zoo.UserError, match=r"takes images \(8, 8, 1\)"):
        vae_zoo.train(
            vae_zoo.create_model("vae", image_shape=(8, 8, 1), tiny=True), data_dir=data_dir
        )
    with pytest.raises(vae_zoo.UserError, match="vae_zoo.register"):
        vae_zoo.train(Unregistered(shape, latent_size=3, hidden=(4,)), data_dir=data_dir)


def test_the_module_of_the_command_is_still_there():
    import vae_zoo.train

    assert callable(vae_zoo.train) and callable(vae_zoo.train.main)


def test_models_are_listed_by_pattern_and_tag():
    assert vae_zoo.list_models() == vae_zoo.model_names()
    assert vae_zoo.list_models("*conv*") == ["conv_vae"]
    assert "cvae" in vae_zoo.list_models(tag="conditional")
    with pytest.raises(vae_zoo.UserError, match="Did you mean 'conditional'"):
        vae_zoo.list_models(tag="conditionel")


@pytest.mark.parametrize("shape", [(9, 8, 8, 1), (4, 8, 8, 3), (5, 8, 8), (8, 8, 3), (8, 8)])
def test_images_are_shown_as_a_picture(shape):
    figure = vae_zoo.show(np.random.default_rng(0).random(shape))
    assert figure._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(vae_zoo.UserError, match="expected images"):
        vae_zoo.show(np.zeros(3))


def test_arrays_are_no_name_of_a_data_set():
    with pytest.raises(vae_zoo.UserError, match="Arrays go to model.fit"):
        vae_zoo.load_dataset(np.zeros((4, 28, 28, 1)))


def test_a_registered_model_is_one_of_the_zoo(examples):
    import own_model  # noqa: F401 - the example

    assert "sparse_vae" in vae_zoo.list_models(tag="sparse")
    model = vae_zoo.create_model("sparse_vae", image_shape=(28, 28, 1), tiny=True, sparsity=2.0)
    terms = model.terms(np.ones((2, 28, 28, 1), np.float32), seed=(0, 0))
    assert (terms.penalty.numpy() > 0).all()
    with pytest.raises(vae_zoo.UserError, match="a model of the zoo"):
        vae_zoo.register("conv_vae", type(model))


@pytest.mark.slow
def test_the_commands_know_an_imported_model(examples, data_dir, tmp_path):
    def run(module, *flags):
        command = [sys.executable, "-m", module, "--import=own_model", *map(str, flags)]
        return subprocess.run(command, cwd=examples, capture_output=True, text=True, check=False)

    trained = run(
        "vae_zoo.train",
        *("--model=sparse_vae", "--epochs=1", "--set=hidden=(4,4)", "--set=latent_size=3"),
        *("--report_samples=4", "--report_images=20"),
        *(f"--data_dir={data_dir}", f"--output_dir={tmp_path / 'run'}"),
    )
    assert trained.returncode == 0, trained.stderr
    drawn = run("vae_zoo.sample", f"--run={tmp_path / 'run'}", "--num=4")
    assert drawn.returncode == 0, drawn.stderr


def test_an_import_that_fails_is_told_in_one_line(command):
    result = command("vae_zoo.train", "--import=no_such_package", "--model=vae")
    assert result.returncode == 2 and "--import=no_such_package" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_every_example_runs(path, examples, data_dir):
    import os

    result = subprocess.run(
        [sys.executable, path.name],
        cwd=examples,
        env={**os.environ, "TFDS_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
