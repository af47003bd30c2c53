"""What lies in a run is checked before it is used: damage is one line, never another result."""

import copy
import errno
import importlib
import json
import pathlib
import shlex
import shutil
import warnings

import numpy as np
import pytest

from vae_zoo import cli, errors, runs
from vae_zoo.metrics import partial_results
from vae_zoo.runs import files, finished, schema
from vae_zoo.training import settings
from vae_zoo.training.history import History

STORED = pathlib.Path(__file__).parent / "runs" / "vae"
DEEP = json.loads("[" * 200 + "]" * 200)
WRONG = {
    "arguments": [
        *(("latent_size", value) for value in (None, "3", 3.5, [3], {"a": 1}, DEEP, 4)),
        *(("hidden", value) for value in (None, 16, ["16"], [[16]], [])),
        *(("likelihood", value) for value in (None, 7, "discretized_logistic", ["bernoulli"])),
        *(("image_shape", value) for value in (None, "12x12", [12, 12], [12, 12, "1"], [1.5] * 3)),
        *(("seed", "zero"), ("dtype", 32), ("network", None), ("unheard_of", 1)),
    ],
    "dataset": [
        *(("name", value) for value in (None, 3, ["digits"], {})),
        *(("batch_size", value) for value in ("32", 3.5, [32], True, DEEP)),
        *(("image_size", value) for value in (1.5, {"a": 1}, True)),
        *(("crop", "8"), ("binarization", 1), ("data_dir", 5), ("manual_dir", [])),
        *(("memory_budget_mb", value) for value in (None, "much", float("nan"))),
        *(("augment", "flip"), ("augment", [1]), ("skip_broken", 1), ("unheard_of", None)),
    ],
    "training": [
        *(("seed", value) for value in (None, "0", 0.5, [0], True)),
        *(("epochs", value) for value in (None, "1", 1.5, [1], DEEP)),
        *(("learning_rate", value) for value in (None, "fast", [0.1], float("inf"))),
        *(("schedule", 1), ("precision", None), ("ema", None), ("patience", 0.5)),
        *(("max_minutes", "1"), ("skip_norm", "1"), ("strategy", {}), ("unheard_of", 1)),
    ],
}
MUTATIONS = [(group, *change) for group, changes in WRONG.items() for change in changes]


@pytest.fixture
def run(tmp_path):
    """A copy of a run, to be damaged."""
    return shutil.copytree(STORED, tmp_path / "run")


def write(run, config):
    (run / runs.CONFIG).write_text(json.dumps(config))


def test_there_are_enough_mutations():
    assert len(MUTATIONS) >= 40


@pytest.mark.parametrize(("group", "name", "value"), MUTATIONS)
def test_a_mistyped_value_of_the_config_is_one_line(group, name, value, run):
    good = runs.read_config(run)
    config = copy.deepcopy(good)
    config[group][name] = value
    write(run, config)
    with pytest.raises(errors.UserError, match=name if name != "latent_size" else "config.json"):
        runs.load_run(run)
    with pytest.raises(errors.UserError):
        runs.open_run(run, good)  # as train does to go on
    if group != "arguments":
        with pytest.raises(errors.UserError, match="config.json is not a run's"):
            runs.load_splits(run)


@pytest.mark.parametrize("name", ["image_shape", "latent_size", "hidden"])
def test_a_missing_argument_is_one_line(name, run):
    good = runs.read_config(run)
    write(run, {**good, "arguments": {k: v for k, v in good["arguments"].items() if k != name}})
    with pytest.raises(errors.UserError, match=name):
        runs.load_run(run)
    with pytest.raises(errors.UserError):
        runs.open_run(run, good)


@pytest.mark.parametrize("group", ["arguments", "dataset", "training", "model"])
def test_a_missing_part_is_one_line(group, run):
    good = runs.read_config(run)
    write(run, {k: v for k, v in good.items() if k != group})
    for use in (runs.load_run, runs.load_splits, lambda place: runs.open_run(place, good)):
        with pytest.raises(errors.UserError, match=group):
            use(run)


def test_the_schema_knows_every_setting():
    assert set(schema._TYPES["training"]) == set(settings.Settings._fields)


def test_a_flipped_bit_in_the_model_is_never_loaded(run):
    path = run / runs.MODEL
    content = path.read_bytes()
    weights = runs.load_run(run).get_weights()
    for place in range(0, len(content), len(content) // 12):
        spoilt = bytearray(content)
        spoilt[place] ^= 1
        path.write_bytes(spoilt)
        try:
            found = runs.load_run(run).get_weights()
        except errors.UserError as error:
            assert "\n" not in str(error) and "model.keras" in str(error)
        else:
            assert all(map(np.array_equal, found, weights)), place


# metrics.csv

ROWS = [{"epoch": 1, "step": 4, "val_elbo": -2.5}, {"epoch": 2, "step": 8, "val_elbo": -1.25}]


@pytest.mark.parametrize(
    "content", [b"", b"epoch,step,val_elbo\r\n1,4", b"\xff\x00garbage", b'"', None]
)
def test_metrics_are_written_anew_from_the_checkpoint(content, tmp_path, caplog):
    path = tmp_path / runs.METRICS
    if content is not None:
        path.write_bytes(content)
    history = History(tmp_path, writes=True)
    history.deserialize(json.dumps(ROWS).encode())
    history.open()
    assert runs.read_rows(path) == ROWS
    assert "metrics.csv is damaged or gone" in caplog.text


def test_rows_after_the_checkpoint_are_no_damage(tmp_path, caplog):
    later = [*ROWS, {"epoch": 3, "step": 12, "val_elbo": float("nan")}]
    runs.write_rows(tmp_path / runs.METRICS, later)
    history = History(tmp_path, writes=True)
    history.deserialize(json.dumps(ROWS).encode())
    history.open()
    assert runs.read_rows(tmp_path / runs.METRICS) == ROWS
    assert not caplog.text


@pytest.mark.parametrize("content", [b"\xff\xfe", b"epoch,step\n1,2,3\n", b"epoch,step\n1\n"])
def test_rows_that_are_no_table_are_one_line(content, tmp_path):
    (tmp_path / runs.METRICS).write_bytes(content)
    with pytest.raises(errors.UserError, match="metrics.csv cannot be read.*damaged"):
        runs.read_rows(tmp_path / runs.METRICS)


# report.json

REPORT = {
    **{"model": "vae", "dataset": "digits", "epochs": 3, "best_epoch": 2, "steps": 9},
    **{"minutes": 1.5, "ended": "epochs", "elbo": -80.25},
}


def finish(run, report):
    """Makes a run a finished one."""
    runs.write_json(run / runs.REPORT, report)
    rows = [{"epoch": number} for number in range(1, report["epochs"] + 1)]
    runs.write_rows(run / runs.METRICS, rows)


def test_a_finished_training_says_so(run):
    finish(run, REPORT)
    report = finished.report_of(run)
    text = finished.text(run, report)
    assert "is done: vae on digits, 3 epochs in 1.5 min, best epoch 2, ELBO -80.25" in text
    assert f"vae_zoo.evaluate --run={run}" in text and "--overwrite" in text


@pytest.mark.parametrize("content", ["", "{", "[]", "null", json.dumps({**REPORT, "epochs": "3"})])
def test_a_damaged_report_is_made_again(content, run, caplog):
    (run / runs.REPORT).write_text(content)
    assert finished.report_of(run) is None
    assert "evaluated again" in caplog.text
    with pytest.raises(errors.UserError, match="report.json"):
        runs.read_report(run)


@pytest.mark.parametrize("content", ["", "epoch,step\n1", "epoch,step\n1,2\n2,4\n", None])
@pytest.mark.parametrize("checkpoint", [True, False])
def test_damaged_or_missing_rows_are_made_again_or_said(content, checkpoint, run, caplog):
    finish(run, REPORT)  # of three epochs
    if checkpoint:
        (run / runs.CHECKPOINTS).mkdir()
        (run / runs.CHECKPOINTS / "step-0000000009.index").touch()
    assert finished.report_of(run) and not caplog.text
    if content is None:
        (run / runs.METRICS).unlink()
    else:
        (run / runs.METRICS).write_text(content)
    assert (finished.report_of(run) is None) == checkpoint  # without one, nothing trains anew
    told = "metrics.csv is damaged or gone, and no checkpoint is left" in caplog.text
    assert told == (not checkpoint)  # with one, History says it


def test_without_a_report_or_a_whole_model_a_training_goes_on(run):
    assert finished.report_of(run) is None
    finish(run, REPORT)
    (run / runs.MODEL).write_bytes((run / runs.MODEL).read_bytes()[:-200])
    assert finished.report_of(run) is None


def test_a_training_out_of_time_goes_on_with_more(run):
    finish(run, {**REPORT, "ended": "time"})
    assert finished.report_of(run, max_minutes=1.0)
    assert finished.report_of(run, max_minutes=3.0) is None
    assert finished.report_of(run, max_minutes=None) is None


def test_only_the_same_command_is_answered_without_a_look_at_the_data(run):
    finish(run, REPORT)
    given = shlex.split(runs.read_config(run)["command"])[3:]
    assert finished.report_of_command(run, [*given, "--max_minutes=1", "--resume", "--overwrite"])
    assert finished.report_of_command(run, [*given, "--seed=1"]) is None
    assert finished.report_of_command(run / "nowhere", given) is None


# evaluation.partial.npz


def test_a_flipped_bit_in_partial_results_starts_them_anew(tmp_path):
    path = tmp_path / "evaluation.partial.npz"
    with partial_results.PartialResults(path, "key") as store:
        store.add(np.arange(8.0).reshape(4, 2))
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        spoilt = bytearray(content)
        spoilt[place] ^= 2
        path.write_bytes(spoilt)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            blocks = partial_results.PartialResults(path, "key").blocks
        assert not blocks or np.array_equal(blocks[0], np.arange(8.0).reshape(4, 2)), place


def test_partial_results_that_cannot_be_written_are_done_without(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="cannot be written.*will start anew"):
        with partial_results.PartialResults(tmp_path / "file" / "part.npz", "key") as store:
            store.add(np.zeros((2, 3)))
    store.delete()


@pytest.mark.parametrize("name", ["evaluate", "sample"])
def test_a_run_that_cannot_be_written_is_one_line(name, run, data_dir, monkeypatch, capsys):
    """A directory that is read-only, also to root, as on a read-only file system."""
    command = importlib.import_module(f"vae_zoo.{name}")

    def read_only(**options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(files.tempfile, "mkstemp", read_only)
    given = ["command", f"--run={run}", f"--data_dir={data_dir}"]
    given += ["--num_images=4", "--num_samples=2"] if name == "evaluate" else ["--num=2"]
    for flag in command.FLAGS:
        command.FLAGS[flag].unparse()
    with warnings.catch_warnings(), pytest.raises(SystemExit) as stop:
        warnings.simplefilter("ignore")
        cli.run(getattr(command, name), command.FLAGS, given)
    told = capsys.readouterr()
    assert stop.value.code == 2
    assert "cannot be written (Read-only file system)" in told.err.splitlines()[-1]
    assert ("ELBO" in told.out) == (name == "evaluate")  # the figures are not lost
