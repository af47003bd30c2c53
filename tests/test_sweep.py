"""Sweeps: which runs are trained, what a second call leaves alone, the page that compares them."""

import contextlib
import io
import json
import shutil

import numpy as np
import pytest
from conftest import run_here

from vae_zoo import errors, sweep
from vae_zoo.runs import comparison

TINY = ("--model=beta_vae", "--set=hidden=(16,)", "--steps=20", "--report_samples=2")


def test_all_combinations_are_trained():
    found = sweep.combinations(["beta=0.5,4", "hidden=(8,),(8,8)", "prior=standard"])
    assert len(found) == 4 and found[1] == {"beta": 0.5, "hidden": (8, 8), "prior": "standard"}
    names = {sweep.run_name(arguments, seed) for arguments in found for seed in (0, 1)}
    assert len(names) == 8 and "beta=4,hidden=8,8,prior=standard,seed=1" in names
    assert sweep.combinations([]) == [{}] and sweep.run_name({}, 3) == "seed=3"


@pytest.mark.parametrize("given", [["beta"], ["beta="], ["beta=1", "beta=2"]])
def test_a_setting_without_a_value_is_refused(given):
    with pytest.raises(errors.UserError, match="expected"):
        sweep.combinations(given)


@pytest.mark.parametrize(
    "flags", [["--seeds=0"], ["--seed=1"], [], ["--model=beta_vea"], ["--steps=0"]]
)
def test_a_mistake_is_one_line(flags, one_line):
    given = ["--model=vae", *flags] if flags and "model" not in flags[0] else flags
    assert one_line(sweep.sweep, sweep.FLAGS, given)


@pytest.fixture(scope="module")
def swept(data_dir, tmp_path_factory):
    """A sweep over two values of beta, and a function that gives its command again."""
    directory = tmp_path_factory.mktemp("sweep") / "sweep"
    flags = (*TINY, "--set=beta=0.5,8", f"--output_dir={directory}", f"--data_dir={data_dir}")

    def again():
        with contextlib.redirect_stdout(io.StringIO()) as said:
            run_here(sweep.sweep, sweep.FLAGS, *flags)
        return said.getvalue()

    again()
    return directory, again


def test_a_sweep_leaves_runs_and_a_comparison(swept):
    directory, _ = swept
    rows = json.loads((directory / "sweep.json").read_text(encoding="utf-8"))["runs"]
    assert [row["setting"] for row in rows] == ["hidden=(16,), beta=0.5", "hidden=(16,), beta=8"]
    for row in rows:
        folder = directory / row["run"].rpartition("/")[2]
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        assert row["rate"] == report["rate"] and row["elbo"] == report["elbo"]
    assert rows[0]["rate"] > rows[1]["rate"]  # a higher beta buys fewer nats
    text = (directory / "sweep.html").read_text(encoding="utf-8")
    assert "beta=0.5" in text and "<script" not in text
    assert (directory / "rate_distortion.png").stat().st_size > 5000


def test_the_same_command_trains_what_is_missing_alone(swept):
    directory, again = swept
    first, second = sorted(path for path in directory.iterdir() if path.is_dir())
    before = (first / "model.keras").stat().st_mtime_ns
    shutil.rmtree(second)
    said = again()
    assert "is done" in said and (second / "report.json").exists()
    assert (first / "model.keras").stat().st_mtime_ns == before


def test_seeds_are_compared_by_their_codes(trained, data_dir, tmp_path):
    rows = comparison.compare([("beta=1", 0, trained), ("beta=1", 1, trained)], data_dir=data_dir)
    assert 0 < rows[0]["udr"] == rows[1]["udr"] <= 1
    comparison.write(tmp_path, "one run twice", rows)
    assert np.isfinite(rows[0]["elbo"]) and "UDR" in (tmp_path / "sweep.html").read_text()
