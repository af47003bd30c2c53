"""Timing that can be trusted: warm-up discarded, candidates interleaved, a spread with each figure.

A result is one JSON: benchmark, command, commit, machine, versions, figures. A figure is
{"median", "low", "high", "values", "unit"}; low and high are the order statistics that hold the
median with a probability of 95% or more (of six to eight values, the least and the greatest).
"""

import concurrent.futures
import math
import multiprocessing
import pathlib
import platform
import shlex
import sys
import time

from absl import flags

from benchmarks.device import measure
from benchmarks.device.measure import figure, ratio, share
from vae_zoo import errors, registry, runs

__all__ = ["figure", "ratio", "share"]  # and what follows
RESULTS = pathlib.Path(__file__).parent / "results"
SECONDS = 2.0
_LEAST_ROUNDS = 6  # the least and the greatest of so many values hold the median at 95%
_PLACES = ("--data_dir", "--output_dir")
_TEXTS = {  # of the flags that several benchmarks have
    "models": "the models to measure, separated by commas",
    "model": "the model to measure",
    "dataset": "the data set, by name",
    "data_dir": "folder of prepared TensorFlow Datasets (default: the environment variable "
    "TFDS_DATA_DIR, or ~/tensorflow_datasets)",
    "output_dir": "folder of the runs; the same command goes on with what is there",
    "batch_sizes": "images in a batch, one number or several, separated by commas",
    "num_images": "test images that are evaluated, the first ones",
    "num_samples": "importance samples of each image",
    "rounds": "how many times each candidate is timed, at least 6",
    "smoke": "a quick trial on small models and data that takes seconds and writes no result",
}


def define(**given):
    """Returns the FlagValues of a benchmark.

    Args:
        **given: {flag: default} for a flag of _TEXTS, else {flag: (default, help)}, or
            {flag: (default, help, choices)}. A list's default is a list of texts, and that of a
            flag without a default is its type.
    """
    values = flags.FlagValues()
    for name, about in given.items():
        default, text, *choices = about if isinstance(about, tuple) else (about, _TEXTS[name])
        kind = default if isinstance(default, type) else type(default)
        default = None if default is kind else default
        if name == "models" and default is None:
            text += " (default: every model)"
        if choices:
            flags.DEFINE_enum(name, default, *choices, text, flag_values=values)
        else:
            _DEFINE[kind](name, default, text, flag_values=values)
    return values


_DEFINE = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    list: flags.DEFINE_list,
}


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


def against_peak(work, unit, flops, rounds, seconds):
    """Returns the speeds of candidates, ours first, with its ratios and its share of the peak.

    Args:
        work: {candidate: function}; see `interleave`.
        unit: of the speeds, such as "images/s".
        flops: of one of ours.
        rounds, seconds: turns, and how long one lasts.
    """
    from benchmarks.flops import matmul_work

    speeds = interleave({**work, "matmul": matmul_work(seconds=seconds)}, rounds, seconds)
    peak, ours = speeds.pop("matmul"), next(iter(speeds.values()))
    return {
        f"{unit.removesuffix('/s')}_per_second": {k: figure(v, unit) for k, v in speeds.items()},
        "ratio": {k: ratio(ours, v) for k, v in speeds.items() if v is not ours},
        "float32_peak": figure(peak, "FLOP/s"),
        "share_of_float32_peak": share(ours, flops, peak),
    }


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


def turns(flag_values, smoke_rounds=3, smoke_seconds=0.1):
    """Returns (turns of each candidate, seconds of a turn), as `interleave` takes them.

    Raises:
        UserError: where --rounds is too small for an interval at 95%.
    """
    errors.at_least("--rounds", flag_values.rounds, _LEAST_ROUNDS)
    if flag_values.smoke:
        return smoke_rounds, smoke_seconds
    return flag_values.rounds, flag_values["seconds"].value if "seconds" in flag_values else SECONDS


def models(names):
    """Returns the models to measure, every one where none is named; a UserError if unknown."""
    for name in names or ():
        registry.spec(name)
    return names or registry.model_names()


def check_known(kind, values, known):
    """Raises a UserError for a value of a list flag that is not among the known ones."""
    for value in values:
        if value not in known:
            raise errors.unknown(kind, value, known)


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
        "measured": measure.now(),
        "commit": runs.git_commit(),
        "machine": machine(),
        "versions": runs.versions(packages),
    }


def _command(program, arguments):
    """Returns the command line, without the places of files, which are those of one machine."""
    kept = [each for each in arguments if not each.startswith(_PLACES)]
    return f"python -m {program} " + shlex.join(kept)


def write_rows(name, rows, key, smoke=False):
    """Writes the rows of a result, and those it has of what was not asked for, in order.

    Args:
        name: of the benchmark.
        rows: the new ones, each with a "model": a name, and flags of its training perhaps.
        key: the entries that tell rows apart; those before "model" come first in the order.
        smoke: True: print alone.
    """
    recorded = RESULTS / f"{name}.json"
    others = read(recorded)["figures"] if recorded.exists() and not smoke else []
    found = {tuple(row[part] for part in key): row for row in [*others, *rows]}
    models = registry.model_names()
    before = key[: key.index("model")]

    def place(row):
        model = row["model"]
        return [row[part] for part in before], models.index(model.partition(" ")[0]), model

    return write(name, sorted(found.values(), key=place), smoke=smoke)


def read(path):
    """Returns the content of a result file.

    Raises:
        UserError: where it is none.
    """
    try:
        result = measure.read(path)
        result["benchmark"], result["figures"]  # noqa: B018
        return result
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.UserError(
            f"{path} is no result of a benchmark ({error}). Expected a .json of benchmarks/results."
        ) from error


def machine():
    """Returns what the figures were measured on, without a name or address."""
    return measure.machine(_processor())


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
