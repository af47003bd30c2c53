"""Our own commands, as a user gives them, for the benchmarks of whole trainings."""

import json
import pathlib
import subprocess
import sys

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
        raise errors.UserError(result.stderr.strip().splitlines()[-1].removeprefix("error: "))


def evaluate(directory, num_images, num_samples, data_dir=None):
    """Returns the evaluation.json of a run on its first test images."""
    flags = (f"--num_images={num_images}", f"--num_samples={num_samples}")
    command("vae_zoo.evaluate", f"--run={directory}", *flags, data_dir=data_dir)
    return read(pathlib.Path(directory) / "evaluation.json")


def read(path):
    """Returns the content of a JSON file."""
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


def metrics(directory):
    """Returns the rows of a run's metrics.csv, one an epoch."""
    return runs.read_rows(pathlib.Path(directory) / runs.METRICS)
