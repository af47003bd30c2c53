"""Numbers that make no sense, and files of another run: one line, exit code 2, nothing is built."""

import shutil

import pytest
from conftest import ROOT

import vae_zoo
from vae_zoo import errors, evaluate, limits, train

RUNS = ROOT / "tests" / "runs"  # stored ones


@pytest.mark.parametrize(
    "given, words",
    [
        (["--learning_rate=1e300"], "--learning_rate=1e+300: expected a number above 0, at most"),
        ([f"--epochs={10**20}"], f"--epochs={10**20}: expected at most 1,000,000,000"),
        ([f"--steps={10**20}"], f"--steps={10**20}: expected at most"),
        ([f"--set=latent_size={10**12}"], "--set latent_size=1000000000000: the model would have"),
        (["--set=latent_size=10**12"], "latent_size"),
        (["--set=prior=vamp", f"--set=components={10**8}"], "--set components=100000000: the"),
        ([f"--set=hidden=(64,{10**9})"], "--set hidden=(64, 1000000000): the model would have"),
        (["--set=network=resnet", f"--set=blocks={10**12}"], "--set blocks=1000000000000: the"),
    ],
)
def test_what_no_machine_holds_is_refused_by_name(given, words, one_line, data_dir):
    line = one_line(train.train, train.FLAGS, ["--model=vae", f"--data_dir={data_dir}", *given])
    assert words in line, line


def test_fewer_classes_than_the_data_has_are_refused(one_line, data_dir):
    given = ["--model=cvae", "--set=num_classes=3", f"--data_dir={data_dir}"]
    assert "--set num_classes=3: digits has 10 classes" in one_line(train.train, train.FLAGS, given)


def test_what_fits_is_not_refused_and_what_does_not_is(monkeypatch):
    arguments = {"image_shape": (8, 8, 1), "latent_size": 5000, "hidden": (8,)}
    wished = ["latent_size", "hidden"]
    assert limits.check("vae", arguments, wished, 32) is None
    monkeypatch.setattr(limits, "_memory", lambda: 10**6)  # bytes: less than the model takes
    with pytest.raises(errors.UserError, match="latent_size=5000: the model would have about"):
        limits.check("vae", arguments, wished, 32)


def test_what_each_image_meets_counts_too(monkeypatch):
    monkeypatch.setattr(limits, "_memory", lambda: 25 * 10**9)
    arguments = {"image_shape": (8, 8, 1), "latent_size": 3, "hidden": (8,), "prior": "mixture"}
    assert limits.check("vae", {**arguments, "components": 10**5}, ["components"], 32) is None
    with pytest.raises(errors.UserError, match="components=100000000: the model would have"):
        limits.check("vae", {**arguments, "components": 10**8}, ["components"], 32)
    with pytest.raises(errors.UserError, match="blocks=1000000000000: expected at most 1,000"):
        vae_zoo.create_model("vae", image_shape=(8, 8, 1), blocks=10**12)


def test_a_size_that_has_a_least_value_is_not_refused_for_it():
    arguments = {"image_shape": (8, 8, 1), "codebook_size": 8192}
    assert limits.check("vq_vae", arguments, ["codebook_size"], 32) is None
    with pytest.raises(errors.UserError, match=f"prior_width={10**12}: the model would have"):
        limits.check("vq_vae", {**arguments, "prior_width": 10**12}, ["prior_width"], 32)


@pytest.mark.parametrize(
    "given, words",
    [
        (["--num_images=0"], "--num_images=0: expected all, or a number"),
        (["--num_images=²"], "--num_images=²: expected all"),
        ([f"--num_samples={10**20}"], f"--num_samples={10**20}: expected a number from 1 to"),
        (["--num_images=" + "9" * 5000], "expected all, or a number from 1"),
        ([f"--seed={2**31}"], f"--seed={2**31}: expected a whole number that fits in int32"),
        (["--output=/proc/nowhere/a.json"], "--output=/proc/nowhere/a.json cannot be written"),
        (["--output=."], "--output=."),
    ],
)
def test_an_evaluation_that_cannot_be_is_refused(given, words, one_line):
    line = one_line(evaluate.evaluate, evaluate.FLAGS, [f"--run={RUNS / 'vae'}", *given])
    assert words in line, line


def test_a_file_of_another_model_is_named(tmp_path):
    run = shutil.copytree(RUNS / "vae", tmp_path / "run")
    shutil.copy(RUNS / "conv_vae" / "model.keras", run)
    with pytest.raises(vae_zoo.UserError, match="a model conv_vae, and config.json .* is of vae"):
        vae_zoo.load_run(run)
