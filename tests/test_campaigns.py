"""The campaigns of faults, hostile input and numbers at their bounds: a sample, and how they judge.

python -m tests.faults, tests.hostile and tests.numerics make more.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest
from conftest import ROOT

from benchmarks import reliability_report
from tests import campaign, hostile, numerics


def test_a_campaign_goes_on_where_it_was_stopped(tmp_path):
    record = campaign.Record(tmp_path / "record.jsonl")
    record.add({"case": 0, "kind": "a", "outcome": "result"})
    record.add({"case": 2, "kind": "a", "outcome": "error"})
    with open(record.path, "a") as file:
        file.write('{"case": 1, "ki')  # a kill
    again = campaign.Record(record.path)
    assert list(campaign.left(again, 4)) == [1, 3]
    again.add({"case": 1, "kind": "b", "outcome": "result"})
    rows = campaign.Record(record.path).counts("kind")
    assert rows[0] == {"kind": "a", "cases": 2, "result": 1, "error": 1}
    assert rows[1] == {"kind": "b", "cases": 1, "result": 1}


JUDGE = """
import os, pathlib, pickle, signal, subprocess, sys, tempfile
from tests import hostile, hostile_inputs
signal.signal(signal.SIGPROF, hostile._hang)
hostile.SECONDS = 0.2
watch, outside = hostile.Watch(), sys.argv[1]
class Payload:
    def __reduce__(self):
        return os.getpid, ()
def loop(rng, place):
    while True:
        pass
def grow(rng, place):
    hostile.MEMORY = 2**20
    len(bytearray(2**26))
kinds = {
    "executed": lambda rng, place: pickle.loads(pickle.dumps(Payload())),
    "outside": lambda rng, place: pathlib.Path(outside).write_text("x"),
    "hang": loop,
    "memory": grow,
    "traceback": lambda rng, place: 1 / 0,
    "result": lambda rng, place: (place / "inside").write_text("x"),
}
for kind, function in kinds.items():
    hostile_inputs.KINDS = {kind: function}
    hostile_inputs._SHARES = {kind: 1}
    with tempfile.TemporaryDirectory(dir=os.path.dirname(outside)) as place:
        print(kind, hostile.run_case(0, 0, place, watch)["outcome"])
"""


def test_hostile_input_is_judged_as_what_it_does(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", JUDGE, str(tmp_path / "outside")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    rows = [line.split() for line in result.stdout.splitlines()]
    assert len(rows) == 6, result.stderr
    assert all(kind == outcome for kind, outcome in rows), rows


def test_what_ends_its_process_costs_one_case(tmp_path):
    def work(record):
        for case in campaign.left(record, 3):
            if case == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            record.add({"case": case})

    record = campaign.Record(tmp_path / "record.jsonl")
    assert campaign.wait(campaign.fork(work, record), 30) == -signal.SIGKILL
    assert campaign.Record(record.path).done() == {0}
    begun = time.monotonic()
    assert campaign.wait(campaign.fork(time.sleep, 60), 0.2) is None
    assert time.monotonic() - begun < 30


def test_the_report_has_a_row_for_each_kind_and_counts_what_failed():
    rows = [{"kind": "arrays", "cases": 1005, "result": 4, "error": 1000, "died": 1}]
    figures = {"kinds": rows, "seconds": 20.0, "memory_bytes": 2**30}
    text = "\n".join(reliability_report._hostile(figures))
    assert "| arrays | 1,005 | 4 | 1,000 | 1 |" in text and "1,005 generated inputs" in text


def test_every_scenario_is_drawn_once_for_each_model():
    found = numerics.cases(0)
    assert len(set(found)) == len(found) and found != numerics.cases(1)
    assert {scenario for _, scenario, _ in found} == set(numerics.SCENARIOS)
    assert ("vdm", "latent size 1,024", "binary") not in found  # it has none


@pytest.mark.slow
def test_a_sample_of_hostile_input(tmp_path):
    flags = ("--cases=300", "--seed=11", f"--output_dir={tmp_path}")
    result = _campaign("hostile", *flags)
    rows = [json.loads(line) for line in open(tmp_path / "hostile-11.jsonl", encoding="utf-8")]
    failed = [row for row in rows if row["outcome"] in hostile.FAILURES]
    assert len(rows) == 300 and not failed, (failed, result.stderr[-500:])
    assert {"result", "error"} == {row["outcome"] for row in rows}


FAULTS = """
import pathlib, sys
import numpy as np
from tests import fault_commands, faults
faults.prepare()
reference = fault_commands.Reference(pathlib.Path(sys.argv[1]))
for number, drawn in enumerate(
    [("SIGKILL", "vae", "train"), ("killed, then moved", "vae", "encode"),
     ("files limited in size", "vae", "encode"), ("killed, an odd name", "vae", "encode")]
):
    row = faults.run_case(number, np.random.default_rng(number), drawn, reference)
    print(row["outcome"], row)
"""


@pytest.mark.slow
def test_a_sample_of_faults(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", FAULTS, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    lines = result.stdout.splitlines()
    assert len(lines) == 4 and all(line.startswith("same ") for line in lines), (
        result.stdout + result.stderr[-1000:]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        ("iaf_vae", "batches of 1", "binary"),  # whose gradient once had another shape
        ("vae", "all black", "binary"),
        ("conv_vae", "mixed_float16", "8-bit"),
        ("vae", "learning rate 10", "8-bit"),
    ],
)
def test_a_sample_of_numbers_at_their_bounds(case):
    with tempfile.TemporaryDirectory() as place:
        outcome, words = numerics.train(*case, place, steps=40)
    assert outcome in ("finite", "said"), words


def _campaign(name, *flags):
    return subprocess.run(
        [sys.executable, "-m", f"tests.{name}", *flags], cwd=ROOT, capture_output=True, text=True
    )
