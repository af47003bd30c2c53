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


def new_result(benchmark, platform_name, device, packages, lowered):
    """Returns a result without rows, of the shape that the benchmarks' results have.

    Args:
        benchmark: its name.
        platform_name: "gpu" or "cpu".
        device: its name.
        packages: whose versions count.
        lowered: {"commit", "versions"} of the source that the programs come from.
    """
    return {
        "benchmark": benchmark,
        "command": " ".join(["python", pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]),
        "measured": now(),
        "commit": lowered["commit"],
        "machine": machine(device),
        "versions": {**lowered["versions"], **_versions(packages)},
        "figures": {"platform": platform_name, "device": device, "peaks": {}, "rows": []},
    }


def now():
    """Returns the time in UTC as text."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def machine(processor):
    """Returns what figures were measured on, without a name or address."""
    return {
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.system(),
    }


def _versions(packages):
    installed = {each.metadata["Name"].lower(): each.version for each in metadata.distributions()}
    found = {name: installed[name] for name in packages if name in installed}
    return {"python": platform.python_version(), **found}


def attempt(measured, budget):
    """Returns a function's figures, or {"not_measured": why}: a case that fails is a row too."""
    try:
        if budget.left() <= 0:
            raise TimeoutError("the seconds are over")
        return measured()
    except Exception as error:
        return {"not_measured": f"{type(error).__name__}: {line(error)}"}


def line(error):
    """Returns what an exception says, in one line."""
    return " ".join(str(error).split())[:200]


def write_rows(path, result, rows):
    """Adds rows to a result one by one; each is told, and the file written, as soon as it is there.

    Args:
        path: of the file.
        result: of new_result.
        rows: an iterable of dicts.
    """
    write(path, result)
    written = result["figures"]["rows"]
    for row in rows:
        named = " ".join(str(row[k]) for k in ("what", "model", "precision", "batch_size"))
        say(named, row.get("images_per_second") or row["not_measured"])
        written.append(row)
        write(path, result)
    failed = sum("not_measured" in row for row in written)
    print(f"written to {path}: {len(written) - failed} of {len(written)} cases measured")


def say(name, found):
    """Prints a figure, or why there is none."""
    said = found if isinstance(found, str) else f"{found['median']:,.4g} {found['unit']}"
    print(f"{name}: {said}", flush=True)


def write(path, content):
    """Writes a JSON file as a whole: a reader sees the old one or the new one."""
    path = pathlib.Path(path)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)


def read(path):
    """Returns the content of a JSON file."""
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
