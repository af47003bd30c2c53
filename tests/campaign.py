"""What the campaigns share: a record of each case that a later start goes on from, forks, limits.

A campaign is a command that makes many generated cases, such as python -m tests.faults. Each case
is a function of (seed, its number); the record has a line of JSON for each. The totals go where
`python -m benchmarks report` finds them.
"""

import collections
import json
import os
import pathlib
import signal
import time

from absl import flags

import vae_zoo  # noqa: F401 - before TensorFlow: it turns on oneDNN

FLAGS = flags.FlagValues()
flags.DEFINE_integer("cases", 1000, "how many, from the first on", flag_values=FLAGS)
flags.DEFINE_integer("seed", 0, "of the cases", flag_values=FLAGS)
flags.DEFINE_integer("only", None, "one case alone, with its traceback", flag_values=FLAGS)
flags.DEFINE_float("minutes", None, "stop after so many", flag_values=FLAGS)
flags.DEFINE_bool("publish", False, "write the totals for RESULTS.md", flag_values=FLAGS)
flags.DEFINE_string("output_dir", None, "of the record and of working files", flag_values=FLAGS)


class Record:
    """The lines of a campaign, one for each case that is done.

    Args:
        path: the file; a line that was cut off by a kill is left out.
    """

    def __init__(self, path):
        self.path, self.rows = pathlib.Path(path), []
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        self.path.write_text(whole, encoding="utf-8")
        self.rows = [json.loads(line) for line in whole.splitlines()]

    def add(self, row):
        """Appends a case's line, a dict with its number as "case"."""
        self.rows.append(row)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def done(self):
        """Returns the numbers of the cases that are done."""
        return {row["case"] for row in self.rows}

    def counts(self, by):
        """Returns [{by: name, "cases": n, outcome: n, ...}], by name."""
        found = collections.defaultdict(collections.Counter)
        for row in self.rows:
            found[row[by]][row["outcome"]] += 1
        return [{by: name, "cases": c.total(), **c} for name, c in sorted(found.items())]


def left(record, cases, minutes=None):
    """Yields the numbers of the cases that are to be done, until the time is over."""
    end, done = time.monotonic() + 60 * (minutes or 1e9), record.done()
    for case in range(cases):
        if time.monotonic() > end:
            return
        if case not in done:
            yield case


def fork(function, *args):
    """Returns the process id of a child that calls a function, and exits with what it returns.

    The parent may have imported TensorFlow, and must not have run an operation of it: its threads
    would be missing in the child.
    """
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = function(*args) or 0
    except SystemExit as stop:
        code = stop.code or 0
    finally:
        os._exit(code)


def wait(pid, seconds):
    """Returns the exit code of a child, -N for signal N; None where it had to be killed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def publish(name, figures):
    """Writes the totals of a campaign under benchmarks/results."""
    from benchmarks import harness

    harness.write(name, figures, program=f"tests.{name}")
