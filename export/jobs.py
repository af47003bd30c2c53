"""Runs fresh.py: an export's signatures in a process that has nothing of ours."""

import json
import pathlib
import subprocess
import sys
import tempfile
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

_SCRIPT = pathlib.Path(__file__).with_name("fresh.py")
_SECONDS = 600


class Call(NamedTuple):
    """One call of a signature.

    Attributes:
        signature: its name.
        arrays: {input name: array}.
        inputs: {name: name of the tensor in the graph}; the C API alone needs it.
        outputs: the same.
    """

    signature: str
    arrays: dict
    inputs: dict = MappingProxyType({})
    outputs: dict = MappingProxyType({})


class JobError(RuntimeError):
    """The fresh process failed; the message is its last line."""


def run(how, path, calls):
    """Returns the outputs of each call, {name: array}, computed in a fresh process.

    Args:
        how: "v1", "c_api", "tflite" or "stablehlo"; see fresh.py.
        path: a SavedModel's version directory, a TFLite file, or the JSON of StableHLO programs.
        calls: Calls.

    Raises:
        JobError: with the reason, where the process failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        job = pathlib.Path(scratch)
        _write(job, path, calls)
        command = [sys.executable, "-I", str(_SCRIPT), how, str(job)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise JobError(f"no result after {_SECONDS} s") from error
        if done.returncode:
            raise JobError(_reason(done))
        return _read(job, len(calls))


def _write(job, path, calls):
    plan = {
        "path": str(pathlib.Path(path).resolve()),
        "calls": [
            {
                "signature": call.signature,
                "inputs": {key: call.inputs.get(key) for key in call.arrays},
                "outputs": dict(call.outputs),
            }
            for call in calls
        ],
    }
    (job / "job.json").write_text(json.dumps(plan), encoding="utf-8")
    arrays = {
        f"{number}/{key}": array
        for number, call in enumerate(calls)
        for key, array in call.arrays.items()
    }
    np.savez(job / "inputs.npz", **arrays)


def _read(job, count):
    outputs = [{} for _ in range(count)]
    with np.load(job / "outputs.npz") as file:
        for entry in file.files:
            number, _, key = entry.partition("/")
            outputs[int(number)][key] = file[entry]
    return outputs


def _reason(done):
    if done.returncode < 0:
        return f"the process was ended by signal {-done.returncode}"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [i for i, line in enumerate(lines) if line.partition(":")[0].endswith("Error")]
    # TensorFlow's own message may begin on the line after the one that names the error.
    told = lines[errors[-1] : errors[-1] + 2] if errors else lines[-1:]
    return " ".join(told)[:300] or "no message"
