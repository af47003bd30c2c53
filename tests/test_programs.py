"""Training steps as programs that run where TensorFlow is not: what they hold, and what they do."""

import importlib.util
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import vae_zoo
from benchmarks import device_report, harness, program
from export import lowering

STEPS, BATCH = 5, 16
needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="needs JAX, of the extra `accelerator`"
)


@pytest.fixture(scope="module")
def training(data_dir):
    """A function that returns (model, splits, Program, data) of a small model's training."""

    def make(name, steps=STEPS, batch_size=BATCH, tiny=True):
        model, splits = program.prepare(name, tiny=tiny, data_dir=data_dir)
        return model, splits, *program.training(model, splits, batch_size, steps)[:2]

    return make


@pytest.fixture(scope="module")
def folder(training, tmp_path_factory):
    """A folder to carry: training, sampling and decoding of a small model."""
    path = tmp_path_factory.mktemp("programs") / "folder"
    path.mkdir()
    written = program.Folder(path)
    model, splits, lowered, data = training("vae")
    about = {"model": "vae", "precision": "float32", "batch_size": BATCH}
    figures = {"steps": STEPS, "flops_per_image": 1e5}
    written.add(lowered, data, figures, {"name": "train-vae", "what": "train", **about})
    for what in ("sample", "decode"):
        found = program.generating(model, what, BATCH)
        written.add(*found, {"name": f"{what}-vae", "what": what, **about})
    written.finish()
    return path


def test_a_program_takes_the_state_and_gives_what_follows_it(training):
    model, _, lowered, data = training("vae")
    names = [each["name"] for each in lowered.inputs]
    assert names[:2] == ["rows", "images"] and len(lowered.state) == len(names) - 2
    assert lowered.inputs[0]["shape"] == [STEPS, BATCH] and data["images"].dtype == np.uint8
    followed = {into for _, into in lowered.following}
    moved = 3 * len(model.trainable_variables)  # the weights and both of Adam's moments
    assert len(followed) >= moved + 1 and min(followed) >= 2  # the step too
    for output, into in lowered.following:
        assert lowered.outputs[output]["shape"] == lowered.inputs[into]["shape"]
        assert lowered.outputs[output]["dtype"] == lowered.inputs[into]["dtype"]
    assert lowered.artifact.startswith(b"ML\xefR\x01StableHLO_v")


def test_a_folder_holds_equal_arrays_once_and_constants_as_a_number(folder):
    cases = json.loads((folder / program.MANIFEST).read_text())["cases"]
    inputs = [tensor for case in cases for tensor in case["inputs"]]
    named = [tensor["values"] for tensor in inputs if "values" in tensor]
    with np.load(folder / program.VALUES) as values:
        assert set(values.files) == set(named)
        for tensor in inputs:
            if "values" in tensor:
                assert list(values[tensor["values"]].shape) == tensor["shape"]
    assert len(set(named)) < len(named)  # the decoder's weights are those of the training
    assert sum(tensor.get("fill") == 0 for tensor in inputs) > 10  # moments, biases
    copied = {path.name for path in folder.glob("*.py")}
    assert {"programs.py", "peers.py", "networks.py", "measure.py", "stablehlo_reader.py"} == copied
    assert (folder / "run_all.sh").exists()


def test_what_makes_no_folder_is_refused(one_line, tmp_path, monkeypatch, folder):
    (tmp_path / "file").write_text("")
    for given, said in (
        ([], "--output_dir is missing"),
        ([f"--output_dir={tmp_path}"], "is not empty"),
        (["--models=vea", f"--output_dir={tmp_path / 'new'}"], "'vae'"),
        (["--precision=float8", f"--output_dir={tmp_path / 'new'}"], "precision"),
        (["--what=learn", f"--output_dir={tmp_path / 'new'}"], "what"),
    ):
        assert said in one_line(program.run, program.FLAGS, given)
    monkeypatch.setattr(program, "_MOST_BYTES", 1000)
    zeros = lowering.Program(bytes(2000), [], [], [], [])
    with pytest.raises(vae_zoo.UserError, match="at most 0: give fewer"):
        program.Folder(tmp_path).add(zeros, {}, {}, {"name": "much"})


@needs_jax
def test_every_case_is_run_and_a_broken_one_is_named(folder, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "decode-vae.stablehlo").write_bytes(b"ML\xefR nothing")
    figures = _run(broken, tmp_path / "result.json", seconds=60)["figures"]
    assert figures["platform"] == "cpu" and list(figures["peaks"]) == ["float32", "bfloat16"]
    train, sample, decode = figures["rows"]
    assert all(row["device"].startswith("cpu") for row in figures["rows"])
    assert train["last_loss"] < train["first_loss"] < 600 and train["steps"] == STEPS
    assert 0 < train["share_of_peak"]["median"] < 1 and train["peak"] == "float32"
    assert train["images_per_second"]["low"] > 0 and len(sample["images_per_second"]["values"]) > 6
    assert train["memory_bytes"] > 0 and "images_per_second" not in decode
    assert decode["not_measured"]
    assert not list(device_report.programs([json.loads((tmp_path / "result.json").read_text())]))


@needs_jax
def test_no_case_begins_when_the_seconds_are_over(folder, tmp_path):
    rows = _run(folder, tmp_path / "result.json", seconds=0)["figures"]["rows"]
    assert [row["not_measured"] for row in rows] == ["TimeoutError: the seconds are over"] * 3


def _run(folder, result, seconds):
    command = [sys.executable, folder / "programs.py", f"--seconds={seconds}", f"--result={result}"]
    subprocess.run([*command, "--workers=2"], check=True, timeout=300, capture_output=True)
    return harness.read(result)


def _row(model, batch_size, speed, **more):
    figure = harness.figure([0.9 * speed, *[speed] * 5, 1.1 * speed], "images/s")
    named = {"device": "gpu: A card", "what": "train", "model": model, "precision": "float32"}
    return {**named, "batch_size": batch_size, "images_per_second": figure, **more}


def _result(name, rows, platform="gpu"):
    machine = {"processor": "A card", "cores": 16, "memory_gb": 128.0, "system": "Linux"}
    figures = {"platform": platform, "device": "A card", "rows": rows}
    figures["peaks"] = {"tf32": harness.figure([4e14] * 7, "FLOP/s")}
    parts = {"command": "python programs.py", "commit": "c", "versions": {"jax": "0.11"}}
    return {"benchmark": name, "machine": machine, "figures": figures, **parts}


def test_the_report_says_whose_program_ran_on_which_card_and_compares_the_best():
    share = {"share_of_peak": harness.figure([0.3] * 7, "share"), "peak": "tf32"}
    failed = {**_row("vdm", 128, 1.0), "not_measured": "XlaRuntimeError: no memory"}
    del failed["images_per_second"]
    ours = [_row("vae", 128, 1e6, **share), _row("vae", 1024, 3e6, **share), failed]
    theirs = [_row("vae", 8192, 1.5e6), _row("vae", 128, 1e5)]
    text = "\n".join(
        device_report.programs([_result("program", ours), _result("program_peers", theirs)])
    )
    assert "## On one A card" in text and "run by XLA through JAX on one A card" in text
    assert "tf32 400 TFLOP/s" in text and "30% of tf32" in text
    assert "not measured: XlaRuntimeError: no memory" in text
    assert "| 1024 | 1,500,000 (1,350,000 to 1,650,000) | 8192 | 2.00 (1.64 to 2.44) |" in text
    assert not list(device_report.programs([_result("program", ours, platform="cpu")]))


def _rows(splits, start, steps, batch_size):
    """Returns the rows of the training command's batches, [steps, B]."""
    import tensorflow as tf

    rows = []
    for step in range(start, start + steps):
        epoch, place = divmod(step, splits.num_train // batch_size)
        index = place * batch_size + np.arange(batch_size)
        rows.append(
            tf.random.experimental.index_shuffle(index, [splits.seed, epoch], splits.num_train - 1)
        )
    return np.stack(rows).astype(np.int32)


# The steps agree to rounding, under XLA on either side. Training carries rounding errors on: a
# rectifier that one side finds open and the other closed changes a gradient as a whole.
@needs_jax
@pytest.mark.slow
@pytest.mark.parametrize(
    "name, tiny, weights_rtol, first_rtol, loss_rtol",
    [("vae", True, 1e-5, 1e-5, 1e-5), ("conv_vae", False, None, 1e-4, 5e-3)],
)
def test_two_hundred_steps_of_a_program_are_those_of_fit(
    name, tiny, weights_rtol, first_rtol, loss_rtol, training, data_dir
):
    import jax

    from benchmarks import candidates
    from export import stablehlo_reader

    steps, calls, batch_size = 50, 4, 16
    model, splits, lowered, data = training(name, steps, batch_size, tiny)
    run = jax.jit(
        stablehlo_reader.function_of(lowered.artifact, lowered.inputs, lowered.outputs)
    )
    arguments, losses = [None, *data.values(), *lowered.state], []
    place = [tensor["name"] for tensor in lowered.outputs].index("loss")
    for call in range(calls):
        arguments[0] = _rows(splits, call * steps, steps, batch_size)
        results = run(*arguments)
        for output, into in lowered.following:
            arguments[into] = results[output]
        losses.append(float(results[place]))
    reference, splits = candidates.prepare(
        name, batch_size, tiny=tiny, jit="on", data_dir=data_dir
    )
    reference.steps_per_epoch = steps
    history = reference.fit(
        splits.train_from(0), steps_per_epoch=steps, epochs=calls, verbose=0, shuffle=False
    )
    np.testing.assert_allclose(losses[0], history.history["loss"][0], rtol=first_rtol)
    np.testing.assert_allclose(losses, history.history["loss"], rtol=loss_rtol)
    assert losses[-1] < 0.9 * losses[0]
    if weights_rtol is not None:
        trained = [np.asarray(value) for value in arguments[1 + len(data) :]]
        for variable in reference.trainable_variables:
            wanted = variable.numpy()
            scale = np.abs(wanted).max()
            same = [v for v in trained if v.shape == wanted.shape]
            assert min(np.abs(v - wanted).max() for v in same) <= weights_rtol * scale
