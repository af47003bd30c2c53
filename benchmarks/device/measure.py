"""Figures with their interval, a budget of seconds, a result file: the standard library alone."""

import json
import math
import os
import pathlib
import platform
import statistics
import sys
import time
from importlib import metadata

_MOST_TURNS = 30


def figure(values, unit):
    """Returns a figure of repeated values: their median and the interval that holds it at 95%."""
    ordered = sorted(values)
    cut = _interval_rank(len(ordered))
    return {
        "median": statistics.median(ordered),
        "low": ordered[cut],
        "high": ordered[-1 - cut],
        "values": list(values),
        "unit": unit,
    }


def share(speeds, flops, peaks):
    """Returns the figure of a work's share of the peak, turn by turn.

    Args:
        speeds: items a second.
        flops: of an item.
        peaks: FLOP a second of the matrix product.
    """
    return figure([s * flops / p for s, p in zip(speeds, peaks, strict=True)], "share")


def ratio(above, below):
    """Returns the figure of two candidates' ratio, turn by turn."""
    return figure([a / b for a, b in zip(above, below, strict=True)], "ratio")


def _interval_rank(count):
    """Returns how many values at each end may lie outside the 95% interval of the median."""
    tail, rank = 0.5**count, 0
    while rank + 1 < count // 2 and tail + math.comb(count, rank + 1) * 0.5**count <= 0.025:
        rank += 1
        tail += math.comb(count, rank) * 0.5**count
    return rank


class Budget:
    """So many seconds, from now on."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def left(self):
        """Returns the seconds that are left, which may be below 0."""
        return self.end - time.monotonic()


def speeds(work, turns, seconds, budget):
    """Returns items a second in each turn: at least `turns`, or fewer where the budget ends.

    Args:
        work: a function that does some work, waits for it, and returns how many items it was; it
            is called twice before, and these calls do not count.
        turns: how many.
        seconds: of all turns together, at least, unless there are many turns.
        budget: Budget; after its end no turn begins but the first.
    """
    work()
    work()
    found, start = [], time.perf_counter()
    while not found or budget.left() > 0:
        begun = time.perf_counter()
        count = work()
        now = time.perf_counter()
        found.append(count / (now - begun))
        if len(found) >= turns and (now - start >= seconds or len(found) >= _MOST_TURNS):
            break
    return found


def origin(device, packages, lowered):
    """Returns where figures come from, as the benchmarks' results have it.

    Args:
        device: its name.
        packages: whose versions count.
        lowered: {"commit", "versions"} of the source that the programs come from.
    """
    return {
        "command": " ".join(["python", pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]),
        "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": lowered["commit"],
        "machine": {
            "processor": device,
            "cores": len(os.sched_getaffinity(0)),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            "system": platform.system(),
        },
        "versions": {**lowered["versions"], **_versions(packages)},
    }


def _versions(packages):
    installed = {each.metadata["Name"].lower(): each.version for each in metadata.distributions()}
    found = {name: installed[name] for name in packages if name in installed}
    return {"python": platform.python_version(), **found}


def write(path, content):
    """Writes a JSON file as a whole: a reader sees the old one or the new one."""
    path = pathlib.Path(path)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)


def read(path):
    """Returns the content of a JSON file."""
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
