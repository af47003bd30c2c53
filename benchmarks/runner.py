"""Our own commands, as a user gives them, for the benchmarks of whole trainings."""

import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile

from benchmarks import harness
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


def read(path):
    """Returns the content of a JSON file."""
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


def metrics(directory):
    """Returns the rows of a run's metrics.csv, one an epoch."""
    return runs.read_rows(pathlib.Path(directory) / runs.METRICS)
