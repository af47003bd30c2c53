"""Files of a run: whole or not there, on the disk, and written by one training at a time."""

import json
import os
import signal
import subprocess
import sys
import types

import pytest
from absl import flags

from export import layout
from vae_zoo import cli, errors, runs
from vae_zoo.runs import files
from vae_zoo.training import ProgressLines, Settings

HOLD = "import sys, time; from vae_zoo import runs\nwith runs.held(sys.argv[1]):\n    {}"


def holder(directory, action):
    """Starts a process that holds a run, and does something once it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(action), str(directory)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_training_in_a_directory_is_refused_while_the_first_lives(tmp_path):
    first = holder(tmp_path, "print('held', flush=True); time.sleep(600)")
    try:
        with pytest.raises(errors.UserError, match="in use: another training"):
            with runs.held(tmp_path):
                pass
    finally:
        first.kill()
        first.wait()
    with runs.held(tmp_path):  # a dead owner holds nothing
        pass


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    action = (
        "partial = runs.atomic(sys.argv[1] + '/model.keras'); open(partial.__enter__(), 'w')\n"
        "    print('held', flush=True); time.sleep(600)"
    )
    first = holder(tmp_path, action)
    assert len(list(tmp_path.iterdir())) == 1
    first.kill()
    first.wait()
    (tmp_path / ".hidden").write_text("of the user")
    with files.atomic(tmp_path / "evaluation.json") as alive, runs.held(tmp_path):
        assert sorted(os.listdir(tmp_path)) == sorted([".hidden", os.path.basename(alive)])


def test_a_file_is_synced_before_its_name_and_its_directory_after(tmp_path, monkeypatch):
    done, fsync, replace = [], os.fsync, os.replace

    def synced(handle):
        done.append("directory" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("name"), replace(*names)))
    runs.write_json(tmp_path / "report.json", {})
    assert done == ["file", "name", "directory"]


def test_an_export_is_synced_before_its_name_and_its_directory_after(tmp_path, monkeypatch):
    output, synced = tmp_path / "export", []
    monkeypatch.setattr(
        files, "sync", lambda path: synced.append((os.path.basename(path), output.exists()))
    )
    with layout.staged(output) as written:
        (written / "tflite").mkdir()
        (written / "tflite" / "decoder.tflite").write_text("model")
    names = [name for name, there in synced if not there]
    assert names == ["decoder.tflite", "tflite", written.name]
    assert synced[-1] == (tmp_path.name, True)


@pytest.mark.parametrize("place", ["file/report.json", "gone/report.json", "folder"])
def test_a_file_that_cannot_be_written_is_one_line(place, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / "full").mkdir(parents=True)
    with pytest.raises(errors.UserError, match="cannot be written"):
        runs.write_json(tmp_path / place, {})
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_a_limit_on_the_size_of_files_leaves_the_old_file(tmp_path):
    runs.write_json(tmp_path / "report.json", {"old": 1})
    code = (
        "import resource, sys; from vae_zoo import cli, runs\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "cli.run(lambda: runs.write_json(sys.argv[1], {'new': 'x' * 1000}), None, ['command'])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "report.json")], capture_output=True, text=True
    )
    assert told.returncode == 2 and told.stderr.startswith("error: no space left")
    assert told.stderr.count("\n") == 1
    assert json.loads((tmp_path / "report.json").read_text()) == {"old": 1}
    assert os.listdir(tmp_path) == ["report.json"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_ends_with_the_code_of_the_signal(number, code, capsys):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop:
        cli.run(lambda: os.kill(os.getpid(), number), None, ["command"])
    assert stop.value.code == code
    assert capsys.readouterr().err == "interrupted: give the same command again to go on\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_places_of_flags_may_begin_at_the_user_s_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    given = flags.FlagValues()
    cli.define_run(given)
    cli.parse(given, ["command", "--run=~/runs/one"])
    assert given.run == "/home/somebody/runs/one"


def test_a_command_that_overwrites_goes_on_without_that(capsys):
    given = flags.FlagValues()
    flags.DEFINE_bool("overwrite", False, "", flag_values=given)
    with pytest.raises(SystemExit):
        cli.run(lambda: os.kill(os.getpid(), signal.SIGINT), given, ["command", "--overwrite"])
    assert "the same command again, without --overwrite, to go on" in capsys.readouterr().err


# The lines of a training without a terminal.


def lines_of(epochs, capsys, seconds, monkeypatch, calls=1):
    """Returns what is printed of epochs of ten steps, each of so many seconds."""
    now = [1000.0]
    monkeypatch.setattr("vae_zoo.training.progress_bar.time.monotonic", lambda: now[0])
    model = types.SimpleNamespace(steps_per_epoch=10 * calls, steps_made=0)
    lines = ProgressLines(Settings(epochs=epochs), batch_size=16)
    lines.set_model(model)
    lines.on_train_begin()
    logs = {"elbo": -3.0, "rate": 1.0, "distortion": 2.0}
    for epoch in range(epochs):
        for _ in range(calls):
            model.steps_made += 10
            now[0] += seconds / calls
            lines.on_train_batch_end(0, logs)
        lines.on_epoch_end(epoch, {**logs, "val_elbo": -3.5})
    return capsys.readouterr().out.splitlines()


def test_there_is_a_line_an_epoch(capsys, monkeypatch):
    printed = lines_of(3, capsys, 10, monkeypatch)
    assert len(printed) == 3 and "images/s" not in printed[0]  # its time is that of the first call
    assert printed[1] == (
        "epoch 2/3, step 20/30, 16 images/s, elbo -3.00, rate 1.00, distortion 2.00, "
        "validation elbo -3.50, 10 s left"
    )


def test_short_epochs_share_a_line_and_the_last_one_has_its_own(capsys, monkeypatch):
    printed = lines_of(1000, capsys, 0.1, monkeypatch)
    assert 15 < len(printed) < 25 and printed[-1].startswith("epoch 1000/1000, step 10,000/10,000")


def test_a_long_epoch_has_a_line_a_minute(capsys, monkeypatch):
    printed = lines_of(1, capsys, 600, monkeypatch, calls=100)
    assert 9 <= len(printed) <= 11 and "validation" not in printed[0]
