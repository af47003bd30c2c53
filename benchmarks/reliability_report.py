"""RESULTS.md's section on what was done to the commands and parsers: faults, input, numbers."""

from benchmarks.markdown import provenance, table
from benchmarks.sections import of


def reliability(results):
    """Yields the section."""
    found = {name: of(name, results) for name in ("faults", "hostile", "numerics")}
    if any(found.values()):
        yield "## Faults, hostile input, numbers at their bounds\n"
        yield (
            "What failed was mended, and that case made again; a case that had ended well was not "
            "made again after a later change of the code.\n"
        )
    for name, section in (("faults", _faults), ("hostile", _hostile), ("numerics", _numerics)):
        for result in found[name]:
            yield from section(result["figures"])
            yield provenance([result])


def _count(*names):
    """Returns the cell of how many cases ended in one of some ways."""
    return lambda row: f"{sum(row.get(name, 0) for name in names):,}"


def _failed(*good):
    """Returns the cell of how many ended in none of the good ways."""
    return lambda row: f"{row['cases'] - sum(row.get(name, 0) for name in good):,}"


def _total(rows):
    return f"{sum(row['cases'] for row in rows):,}"


_FAULTS = {
    "fault": "{fault}",
    "cases": "{cases:,}",
    "the same in the end": _count("same"),
    "named in one line": _count("named"),
    "could not be made here": _count("skipped"),
    "failed": _failed("same", "named", "skipped"),
}


def _faults(figures):
    commands = ", ".join(f"{row['command']} ({row['cases']})" for row in figures["commands"])
    yield (
        f"{_total(figures['faults'])} cases: a fault at a random moment of {commands}, of "
        f"{', '.join(f'`{name}`' for name in figures['models'])} at a tiny size; then the same "
        "command again. The same in the end: weights and figures of an undisturbed command, bit "
        "for bit, and what the command had only read is as it was. The slowest stop after SIGTERM "
        f"or Ctrl-C took {figures['slowest_stop_seconds']:.1f} s of the processor's time, "
        "checkpoint included.\n"
    )
    yield table(_FAULTS, figures["faults"])


_HOSTILE = {
    "what is read": "{kind}",
    "inputs": "{cases:,}",
    "a result": _count("result"),
    "one clear error": _count("error"),
    "failed": _failed("result", "error"),
}


def _hostile(figures):
    yield (
        f"{_total(figures['kinds'])} generated inputs. Failed would be: an exception that is no "
        f"user's mistake, more than {figures['seconds']:.0f} s of the processor's time, more than "
        f"{figures['memory_bytes'] / 2**30:.0f} GiB of memory, code or a connection of the input's "
        "own, a file outside of the case's folder, the end of the process.\n"
    )
    yield table(_HOSTILE, figures["kinds"])


_NUMERICS = {
    "scenario": "{scenario}",
    "trainings": "{cases:,}",
    "all finite": _count("finite"),
    "said what happened": _count("said"),
    "failed": _failed("finite", "said"),
}


def _numerics(figures):
    yield (
        f"{_total(figures['scenarios'])} of {figures['pairs']:,} trainings, drawn from those of "
        f"every model, scenario and kind of pixels (binary, 8-bit); {figures['models']} models, "
        f"{figures['steps']} steps each, at the small size. Said: in one line, or by the steps "
        "that were skipped.\n"
    )
    yield table(_NUMERICS, figures["scenarios"])
