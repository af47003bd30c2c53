"""The commands as real processes: what they write, what they refuse, what a kill leaves."""

import contextlib
import csv
import io
import json
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import h5py
import numpy as np
import pytest
from conftest import run_here

import vae_zoo
from vae_zoo import evaluate, recipes, registry, runs, sample
from vae_zoo import train as train_module
from vae_zoo import train_flags

ROOT = pathlib.Path(__file__).parent.parent
CLOCKS = ("minutes", "cpu_minutes", "images_per_second")
SMALL = ("--set=hidden=(32,)", "--set=latent_size=4", "--report_samples=10")
FILES = (
    "config.json",
    "report.json",
    "model.keras",
    "metrics.csv",
    "curves.png",
    "reconstructions.png",
    "samples.png",
    "interpolations.png",
)


def weights(directory):
    """Returns every array of a run's model.keras."""
    found = {}
    with zipfile.ZipFile(directory / "model.keras") as archive:
        file = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    file.visititems(
        lambda name, item: (
            found.__setitem__(name, item[()]) if isinstance(item, h5py.Dataset) else None
        )
    )
    return found


def test_a_run_leaves_everything(trained):
    for name in FILES:
        assert (trained / name).stat().st_size > 0, name
    assert list((trained / "tensorboard").iterdir())
    config = json.loads((trained / "config.json").read_text())
    assert config["versions"]["tensorflow"] and config["data_checksum"]
    assert config["arguments"]["latent_size"] == 4 and config["training"]["epochs"] == 2
    rows = list(csv.DictReader((trained / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {"elbo", "rate", "distortion", "val_elbo", "images_per_second"} <= set(rows[0])


def test_the_report_is_of_the_test_split_and_adds_up(trained):
    report = json.loads((trained / "report.json").read_text())
    assert report["split"] == "test" and report["binarization"] == "dynamic"
    assert report["elbo"] == pytest.approx(-report["rate"] - report["distortion"], rel=1e-5)
    assert report["nll"] <= -report["elbo"] + 1 and report["num_samples"] == 10
    assert report["num_images"] == 179 and report["nll_stderr"] > 0
    assert 0 <= report["completeness"]["share"] <= 1 and report["completeness"]["classes"] == 10
    assert 0 < report["continuity"]["median"] <= report["continuity"]["p95"]
    assert any("published" in note for note in report["notes"])


def test_a_run_loads_in_python(trained):
    model = vae_zoo.load_run(trained)
    assert model.generate(0).shape == (64, 28, 28, 1)
    for seed in ((1, 2), [[1, 2, 3]], [[2**31, 0]], [[0.5, 1.0]], np.zeros((0, 2), int), "a", None):
        with pytest.raises(vae_zoo.UserError, match="expected a whole number"):
            model.generate(seed)
    with pytest.raises(vae_zoo.UserError, match="is not a run"):
        vae_zoo.load_run(trained / "nowhere")


def test_evaluation_agrees_with_the_report(trained, command, data_dir):
    flags = (f"--run={trained}", "--num_samples=10", f"--data_dir={data_dir}")
    output = command("vae_zoo.evaluate", *flags, check=True).stdout
    assert "about" in output.splitlines()[0]
    report = json.loads((trained / "report.json").read_text())
    evaluation = json.loads((trained / "evaluation.json").read_text())
    assert evaluation["nll"] == pytest.approx(report["nll"], rel=1e-6)
    assert len(evaluation["rate_per_dimension"]) == 4
    assert sum(evaluation["rate_per_dimension"]) == pytest.approx(evaluation["rate"], rel=1e-4)


def test_samples_are_those_of_generate(trained, command, tmp_path):
    """In this process and in another one."""
    output = tmp_path / "a.npz"
    flags = (f"--run={trained}", "--seed=7", "--num=5", "--format=npz", f"--output={output}")
    command("vae_zoo.sample", *flags, check=True)
    ours = vae_zoo.load_run(trained).generate(vae_zoo.noise.rows(7, 5))
    np.testing.assert_array_equal(np.load(output)["image"], ours)


@pytest.mark.parametrize("mode", ["interpolate", "traverse", "reconstruct"])
def test_other_pictures(mode, trained, tmp_path, data_dir):
    output = tmp_path / f"{mode}.png"
    flags = (f"--run={trained}", f"--{mode}", f"--output={output}", f"--data_dir={data_dir}")
    run_here(sample.sample, sample.FLAGS, *flags)
    assert output.read_bytes().startswith(b"\x89PNG")


def of_trained(directory, data_dir):
    """Returns the command line of `trained`, for a copy of it."""
    flags = ["--model=vae", "--epochs=2", *SMALL]
    return [*flags, f"--output_dir={directory}", f"--data_dir={data_dir}"]


def test_the_same_command_again_says_at_once_that_it_is_done(trained, data_dir):
    before = {path: path.read_bytes() for path in trained.glob("*.*")}
    code = (
        "import sys; from vae_zoo import cli, train\n"
        "try: cli.run(train.train, train.FLAGS)\n"
        "finally: print('tensorflow' in sys.modules)"
    )
    start = [sys.executable, "-c", code, *of_trained(trained, data_dir)]
    told = subprocess.run(start, capture_output=True, text=True, check=True).stdout
    assert told.startswith(f"{trained} is done: vae on digits, 2 epochs")
    assert f"vae_zoo.evaluate --run={trained}" in told and told.endswith("False\n")
    assert before == {path: path.read_bytes() for path in trained.glob("*.*")}


def test_a_training_killed_while_it_was_evaluated_is_evaluated(
    trained, command, data_dir, tmp_path
):
    copy = shutil.copytree(trained, tmp_path / "glob[1]*")
    report = json.loads((copy / "report.json").read_text())
    (copy / "report.json").unlink()
    (copy / "model.keras").write_bytes(b"cut")
    told = command("vae_zoo.train", *of_trained(copy, data_dir), check=True).stdout
    assert "going on" in told
    again = json.loads((copy / "report.json").read_text())
    assert {k: v for k, v in again.items() if k not in CLOCKS} == {
        k: v for k, v in report.items() if k not in CLOCKS
    }
    before, after = weights(trained), weights(copy)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_mistyped_config_is_one_line_of_a_command(
    trained, command, data_dir, tmp_path, one_line
):
    copy = shutil.copytree(trained, tmp_path / "run")
    config = json.loads((copy / "config.json").read_text())
    config["training"]["epochs"] = [2]
    (copy / "config.json").write_text(json.dumps(config))
    told = command("vae_zoo.train", *of_trained(copy, data_dir))
    assert told.returncode == 2 and told.stderr.count("\n") == 1
    lines = [told.stderr]
    for module, main in ((evaluate, evaluate.evaluate), (sample, sample.sample)):
        lines.append(one_line(main, module.FLAGS, [f"--run={copy}"]))
    assert all("'epochs' of its training is [2]" in line for line in lines)


@contextlib.contextmanager
def files_of(kilobytes):
    """Limits how large a file may become that this process, or one that it starts, writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * kilobytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def of_no_class(npz, directory):
    """Returns the flags of a small training whose report needs no classifier."""
    image = 255 * (np.random.default_rng(0).random((200, 28, 28)) < 0.3).astype(np.uint8)
    flags = [f"--dataset={npz(image=image)}", "--model=vae", "--epochs=2", "--ema=0.9", *SMALL]
    return [*flags, f"--output_dir={directory}"]


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [1, 5, 20, 60, 150, 300])
def test_a_limit_on_files_ends_a_training_in_one_line(kilobytes, npz, one_line, tmp_path):
    """The same training goes on without the limit, whatever file it was that had no room."""
    flags = of_no_class(npz, tmp_path / "run")
    with files_of(kilobytes):
        line = one_line(train_module.train, train_flags.FLAGS, flags)
    assert line.startswith("error: no space left")
    assert not list((tmp_path / "run").glob(".partial-*"))
    run_here(train_module.train, train_flags.FLAGS, *flags)
    assert (tmp_path / "run" / "report.json").exists()


@pytest.mark.slow
def test_a_limit_on_files_is_an_exit_code_of_the_command(npz, command, tmp_path):
    flags = of_no_class(npz, tmp_path / "run")
    with files_of(60):
        told = command("vae_zoo.train", *flags)
    assert told.returncode == 2, told.stderr
    assert "Traceback" not in told.stderr
    assert told.stderr.splitlines()[-1].startswith("error: no space left")


def train_small(directory, data_dir, **settings):
    """Does what the command of `trained` does, in this process and with settings of its own."""
    given = {"arguments": {"hidden": (32,), "latent_size": 4}, "report_samples": 5, **settings}
    return vae_zoo.train("vae", output_dir=directory, data_dir=data_dir, **given)


def test_two_latent_dimensions_give_a_manifold_and_grey_values_bce(data_dir, tmp_path, capsys):
    arguments = {"hidden": (16,), "latent_size": 2}
    settings = {"arguments": arguments, "binarization": "none", "bce": True}
    train_small(tmp_path / "run", data_dir, epochs=1, **settings)
    assert (tmp_path / "run" / "manifold.png").stat().st_size > 0
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert "bce" in report and "nll" not in report and "elbo" not in report
    assert "not a likelihood" in capsys.readouterr().out


def test_a_density_of_grey_values_is_reported_as_one(data_dir, tmp_path, capsys):
    arguments = {"hidden": (16,), "likelihood": "normal", "scale": "channel"}
    train_small(tmp_path / "run", data_dir, epochs=1, arguments=arguments, binarization="none")
    output = capsys.readouterr().out
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["is_density"] and report["likelihood"] == "normal"
    assert "bits_per_dim" not in report and "bits/dim" not in output
    assert "of a density, not of 8-bit images" in output


def bad_flags(directory):
    """Flags that no run can come of, and what the one line must say."""
    (directory / "foreign").mkdir()
    (directory / "foreign" / "thesis.tex").write_text("do not delete")
    (directory / "file").write_text("")
    return [
        (["--model=conv_vea"], "Did you mean 'conv_vae'"),
        ([], "--model is missing"),
        (["--model=vae", "--dataset=digit"], "Did you mean 'digits'"),
        (["--model=vae", "--dataset=mnist:9.9.9"], "at version 9.9.9"),
        (["--model=vae", "--epoch=3"], "Did you mean"),
        (["--model=vae", "--epochs=0"], "--epochs=0"),
        (["--model=vae", "--memory_budget_mb=-1"], "--memory_budget_mb=-1"),
        (["--model=vae", "--epochs=many"], "epochs"),
        (["--model=vae", "--precision=float8"], "precision"),
        (["--model=vae", "--set=latent_size=0"], "latent_size=0"),
        (["--model=vae", "--set=latent_sise=3"], "Did you mean 'latent_size'"),
        (["--model=vae", "--set=latent_size"], "expected name=value"),
        (["--model=vae", "--set=seed=3"], "--seed"),
        (["--model=vae", "--batch_size=100000"], "100000"),
        (["--model=vae", "--binarization=none", "--set=likelihood=bernoulli"], "--bce"),
        (["--model=vae", "--binarization=none", "--bce", "--set=likelihood=normal"], "exclude"),
        (["--model=vae", "--binarization=none", "--set=scale=shred"], "Did you mean 'shared'"),
        (["--model=vae", "--binarization=none", "--set=channels=linear"], "colour"),
        (["--model=vdm", "--binarization=none", "--set=likelihood=normal"], "does not combine"),
        (["--model=vdm", "--binarization=none", "--set=scale=pixel"], "do not combine"),
        (["--model=vae", "--learning_rate=-1"], "--learning_rate=-1"),
        (["--model=vae", "extra"], "unexpected argument"),
        (["--model=vae", "--output_dir=gs://a/b"], "addresses are not supported"),
        (["--model=vae", "--data_dir=gs://a/b"], "addresses are not supported"),
        (["--model=vae", f"--output_dir={directory / 'foreign'}"], "not a run's"),
        (["--model=vae", f"--output_dir={directory / 'foreign'}", "--overwrite"], "not a run's"),
        (["--model=vae", f"--output_dir={directory / 'file'}"], "cannot be written"),
        (["--model=vae", f"--output_dir={directory / 'new'}", "--resume"], "no run in"),
    ]


def test_mistakes_get_one_line_and_exit_code_two(data_dir, tmp_path, capsys, monkeypatch):
    from vae_zoo import cli, train

    monkeypatch.chdir(tmp_path)
    for given, words in bad_flags(tmp_path):
        train.FLAGS.unparse_flags()
        for flag in train.FLAGS:
            train.FLAGS[flag].unparse()
        with pytest.raises(SystemExit) as stop:
            cli.run(train.train, train.FLAGS, ["train", f"--data_dir={data_dir}", *given])
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert stop.value.code == 2, given
        assert error.startswith("error: ") and words in error, (given, error)
    assert (tmp_path / "foreign" / "thesis.tex").read_text() == "do not delete"


def test_another_run_in_the_directory_is_left_alone(trained, data_dir):
    before = (trained / "config.json").read_bytes()
    with pytest.raises(vae_zoo.UserError, match="holds a run of vae"):
        vae_zoo.train("conv_vae", output_dir=trained, data_dir=data_dir, epochs=2)
    with pytest.raises(vae_zoo.UserError, match="epochs was 2, now 3"):
        train_small(trained, data_dir, epochs=3)
    assert (trained / "config.json").read_bytes() == before


def test_corrupt_files_are_named(trained, tmp_path):
    (tmp_path / "config.json").write_bytes((trained / "config.json").read_bytes())
    with pytest.raises(vae_zoo.UserError, match="has not finished"):
        vae_zoo.load_run(tmp_path)
    (tmp_path / "model.keras").write_bytes((trained / "model.keras").read_bytes()[:999])
    with pytest.raises(vae_zoo.UserError, match="model.keras cannot be loaded"):
        vae_zoo.load_run(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(vae_zoo.UserError, match="config.json cannot be read"):
        vae_zoo.load_run(tmp_path)


def test_help_and_lists_are_quick(command):
    for flag in ("--help", "--list_models", "--list_datasets", "--list_recipes"):
        started = time.monotonic()
        result = command("vae_zoo.train", flag, check=True)
        assert time.monotonic() - started < 2  # a second on an idle machine
        assert "vae" in result.stdout or "digits" in result.stdout
        if flag == "--list_models":
            assert all(name in result.stdout for name in registry.MODELS)


def test_a_paper_s_recipe_names_its_score_its_source_and_what_differs(capsys):
    run_here(train_module.train, train_flags.FLAGS, "--list_recipes")
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(recipes.PROTOCOLS) < set(lines)
    assert "87.63 (5,000 samples)  Burda et al. 2016, appendix D" in lines["iwae/sbm"]
    assert "not measured" in lines["conv_hvae/sbm"] and " min)" in lines["vae/sbm"]


@pytest.mark.parametrize("name", recipes.PROTOCOLS)
def test_a_paper_s_recipe_makes_its_model(name):
    protocol = recipes.PROTOCOLS[name]
    arguments = {**protocol.recipe.arguments, "components": 5}
    vae_zoo.create_model(protocol.model, image_shape=(28, 28, 1), **arguments)
    assert (protocol.dataset == "mnist") == name.endswith("/dynamic")


@pytest.mark.slow
def test_a_recipe_trains_with_its_numbers_unless_a_flag_says_otherwise(
    tmp_path, data_dir, monkeypatch, capsys
):
    monkeypatch.setitem(
        recipes.PROTOCOLS, "iwae/sbm", recipes.PROTOCOLS["iwae/sbm"]._replace(dataset="digits")
    )
    flags = ("--recipe=iwae/sbm", "--steps=2", "--set=hidden=(8,)", "--report_images=4")
    flags += ("--report_samples=2", f"--data_dir={data_dir}", f"--output_dir={tmp_path / 'run'}")
    run_here(train_module.train, train_flags.FLAGS, *flags)
    config = runs.read_config(tmp_path / "run")
    assert config["model"] == "iwae" and config["dataset"]["batch_size"] == 20
    found = config["arguments"]
    assert (found["num_samples"], found["latent_size"], tuple(found["hidden"])) == (5, 50, (8,))
    assert "has 87.63 nats (5,000 importance samples)" in capsys.readouterr().out


def test_a_recipe_that_cannot_be_is_refused(one_line):
    line = one_line(train_module.train, train_flags.FLAGS, ["--recipe=iwae/sbn"])
    assert "Unknown recipe 'iwae/sbn'. Did you mean 'iwae/sbm'" in line
    line = one_line(train_module.train, train_flags.FLAGS, ["--recipe=iwae/sbm", "--model=vae"])
    assert "--recipe=iwae/sbm and --model: expected one of them" in line


def kill_while_training(flags, directory, delay, stop=signal.SIGKILL):
    """Starts the command, and kills it `delay` seconds after its first epoch was recorded."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vae_zoo.train", *flags, f"--output_dir={directory}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 120
    while not (directory / "metrics.csv").exists() and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(delay)
    process.send_signal(stop)
    return process.wait()


@pytest.mark.parametrize("name", ["vae", pytest.param("ladder_vae", marks=pytest.mark.slow)])
def test_killed_twice_a_training_ends_with_the_same_bits(name, command, data_dir, tmp_path):
    if name not in vae_zoo.model_names():
        pytest.skip(f"{name} is not registered")
    flags = [f"--model={name}", "--ema=0.99", f"--data_dir={data_dir}"]
    small = [f"--set={key}={value}" for key, value in registry.spec(name).tiny.items()]
    flags += ["--epochs=30", *SMALL] if name == "vae" else ["--epochs=12", *SMALL[2:], *small]
    command("vae_zoo.train", *flags, f"--output_dir={tmp_path / 'whole'}", check=True)
    delays = random.Random(1)
    for stop in (signal.SIGKILL, signal.SIGTERM):
        code = kill_while_training(flags, tmp_path / "parts", delays.uniform(0, 1), stop)
        assert code == (143 if stop == signal.SIGTERM else -stop)
    command("vae_zoo.train", *flags, f"--output_dir={tmp_path / 'parts'}", check=True)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)
    rows = [
        [{k: v for k, v in row.items() if k not in CLOCKS} for row in runs.read_rows(path)]
        for path in (tmp_path / "whole" / "metrics.csv", tmp_path / "parts" / "metrics.csv")
    ]
    assert rows[0] == rows[1]
    reports = [runs.read_report(tmp_path / run) for run in ("whole", "parts")]
    for report in reports:
        for name in CLOCKS:
            del report[name]
    assert reports[0] == reports[1]
