"""Our own commands, as a user gives them, for the benchmarks of whole trainings."""

import contextlib
import pathlib
import shutil
import subprocess
import sys
import tempfile

from benchmarks import harness
from benchmarks.device.measure import read
from vae_zoo import errors, runs


def command(module, *arguments, data_dir=None):
    """Runs python -m module.

    Raises:
        UserError: where it fails, with its own last line.
    """
    data = [f"--data_dir={data_dir}"] if data_dir else []
    result = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments), *data],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if result.returncode:
        said = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        raise errors.UserError(f"python -m {module}: {said[-1].removeprefix('error: ')}")


def train(model, dataset, directory, *more, data_dir=None):
    """Trains a model by the command, more flags as given; returns the run's report.json."""
    named = (f"--model={model}", f"--dataset={dataset}", f"--output_dir={directory}")
    command("vae_zoo.train", *named, *more, data_dir=data_dir)
    return read(pathlib.Path(directory) / runs.REPORT)


def evaluate(directory, num_images, num_samples, data_dir=None):
    """Returns the evaluation.json of a run on its first test images."""
    flags = (f"--num_images={num_images}", f"--num_samples={num_samples}")
    command("vae_zoo.evaluate", f"--run={directory}", *flags, data_dir=data_dir)
    return read(pathlib.Path(directory) / "evaluation.json")


@contextlib.contextmanager
def directory(flag_values):
    """Yields where the runs go: --output_dir, or a place that is gone after a smoke run."""
    if not flag_values.smoke:
        yield pathlib.Path(flag_values.output_dir)
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield pathlib.Path(scratch)


def row(directory, asked, measure, pictures):
    """Returns a run's row with its origin: measured, or what an earlier call recorded.

    Args:
        directory: of the run.
        asked: {name: value} of what the figures depend on; see `recorded`.
        measure: a function that makes the run and returns its row.
        pictures: {a picture of the run: where its copy goes}.
    """
    done = pathlib.Path(directory) / "row.json"
    figures = recorded(done, asked)
    if figures is None:
        figures = {**measure(), "origin": harness.origin()}
        record(done, asked, figures)
    for name, path in pictures.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(done.parent / name, path)
    return figures


def recorded(path, asked):
    """Returns the value that `record` left at a path, or None where there is nothing.

    Raises:
        UserError: where it was asked for otherwise, or measured on another machine.
    """
    if not pathlib.Path(path).exists():
        return None
    found = read(path)
    asked = {**asked, "machine": harness.machine()}
    for name, value in asked.items():
        if found["asked"].get(name) != value:
            raise errors.UserError(
                f"{path} was begun with {name}={found['asked'].get(name)}, now it is {value}. "
                "Expected the same, or another --output_dir."
            )
    return found["value"]


def record(path, asked, value):
    """Writes a value with what was asked for and the machine; see `recorded`."""
    runs.write_json(path, {"asked": {**asked, "machine": harness.machine()}, "value": value})
