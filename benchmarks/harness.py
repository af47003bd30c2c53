"""Timing that can be trusted: warm-up discarded, candidates interleaved, a spread with each figure.

A result is one JSON: benchmark, command, commit, machine, versions, figures. A figure is
{"median", "low", "high", "values", "unit"}; low and high are the order statistics that hold the
median with a probability of 95% or more (of six to eight values, the least and the greatest).
"""

import concurrent.futures
import json
import math
import multiprocessing
import os
import pathlib
import platform
import shlex
import sys
import time

from benchmarks.device.measure import figure, ratio, share
from vae_zoo import errors, runs

__all__ = ["figure", "ratio", "share"]  # and what follows
RESULTS = pathlib.Path(__file__).parent / "results"
SECONDS = 2.0
_LEAST_ROUNDS = 6  # the least and the greatest of so many values hold the median at 95%
_PLACES = ("--data_dir", "--output_dir")


def interleave(candidates, rounds, seconds=SECONDS):
    """Returns {name: [items a second in each round]}, the candidates taking turns.

    Args:
        candidates: {name: function that does some work, waits for it, and returns how many items
            it was}; each is called once before, and that call does not count.
        rounds: turns of each.
        seconds: how long a turn lasts, at least.
    """
    speeds = {name: [] for name in candidates}
    for work in candidates.values():
        work()
    for _ in range(rounds):
        for name, work in candidates.items():
            speeds[name].append(_speed(work, seconds))
    return speeds


def isolated(function, *args, **kwargs):
    """Returns function(*args, **kwargs), computed in a fresh process: its memory is its own."""
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(function, *args, **kwargs).result()


def _speed(work, seconds):
    done, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or not done:
        done += work()
    return done / elapsed


def check_rounds(rounds):
    """Returns the number of turns; a UserError where it is too small for an interval at 95%."""
    return errors.at_least("--rounds", rounds, _LEAST_ROUNDS)


def numbers(name, texts, kind=int):
    """Returns the numbers of a list flag, rising, each once.

    Raises:
        UserError: where one is no such number above 0, or there is none.
    """
    try:
        values = sorted({kind(text) for text in texts})
        if values and 0 < values[0] and values[-1] < math.inf:
            return values
    except ValueError:
        pass
    wanted = "whole numbers" if kind is int else "numbers"
    raise errors.UserError(f"--{name}={','.join(texts)}: expected {wanted} above 0.")


def write(name, figures, smoke=False, packages=(), program="benchmarks"):
    """Writes a benchmark's result and prints where; a smoke run's is not kept.

    Args:
        name: of the file, without its suffix.
        figures: the content.
        smoke: True: print alone.
        packages: whose versions count too.
        program: the module that was run.
    """
    result = {"benchmark": name, **origin(packages, program), "figures": figures}
    if smoke:
        print(f"{name}: a smoke run, nothing written")
        return result
    RESULTS.mkdir(exist_ok=True)
    runs.write_json(RESULTS / f"{name}.json", result)
    print(f"written to {RESULTS / f'{name}.json'}")
    return result


def origin(packages=(), program="benchmarks"):
    """Returns where a figure comes from: command, time, commit, machine and versions.

    Args:
        packages: whose versions count too.
        program: the module that was run.
    """
    return {
        "command": _command(program, sys.argv[1:]),
        "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": runs.git_commit(),
        "machine": machine(),
        "versions": runs.versions(packages),
    }


def _command(program, arguments):
    """Returns the command line, without the places of files, which are those of one machine."""
    kept = [each for each in arguments if not each.startswith(_PLACES)]
    return f"python -m {program} " + shlex.join(kept)


def read(path):
    """Returns the content of a result file.

    Raises:
        UserError: where it is none.
    """
    try:
        result = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        result["benchmark"], result["figures"]  # noqa: B018
        return result
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.UserError(
            f"{path} is no result of a benchmark ({error}). Expected a .json of benchmarks/results."
        ) from error


def machine():
    """Returns what the figures were measured on, without a name or address."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.system(),
    }


def missing(precision):
    """Returns why this processor does not compute in a precision, or None where it does.

    What it lacks is emulated, which may take a hundred times as long and tells nothing.
    """
    wanted = next((kind for kind in _ARITHMETIC if kind in precision), None)
    has = _instructions()
    if wanted is None or not has or _ARITHMETIC[wanted] & has:
        return None
    return f"not measured: this processor has no {wanted} arithmetic"


_ARITHMETIC = {
    "bfloat16": {"avx512_bf16", "amx_bf16", "bf16"},
    "float16": {"avx512_fp16", "amx_fp16", "asimdhp"},
}


def _processor():
    """Returns the processor's name, with what decides its speed: virtual ones share a name."""
    name = _cpuinfo("model name") or platform.processor()
    return ", ".join([name, *(said for flag, said in _NOTABLE.items() if flag in _instructions())])


_NOTABLE = {"avx512f": "AVX-512", "avx512_bf16": "bfloat16", "amx_bf16": "AMX", "asimd": "NEON"}


def _instructions():
    return set(_cpuinfo("flags").split()) | set(_cpuinfo("Features").split())


def _cpuinfo(field):
    """Returns a field of the first processor, or "" where there is none."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")
