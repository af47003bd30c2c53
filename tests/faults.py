"""Faults, counted: python -m tests.faults --cases=1000 --seed=0 --output_dir=OUT

Every case runs a command on a tiny run, lets a fault happen to it at a random moment, and gives the
same command again. It ends well as

    same       the second command ends with the weights and figures of an undisturbed one, bit for
               bit
    named      what is lost beyond repair (the run's folder was removed) is named in one line

and fails where the first command ends with a traceback or another exit code than the fault's, takes
more than SECONDS of the processor's time to stop, or where the second differs, or the run that the
command only read is not what it was. Commands run in forks of a process that has imported
TensorFlow, and are really killed.
"""

import ctypes
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import numpy as np

from tests import campaign, fault_commands
from vae_zoo import cli

FLAGS = campaign.FLAGS
SECONDS = 10.0
FAILURES = ("traceback", "code", "slow", "differs", "lost", "hang")
_NOBODY = 65534
_MODELS = ("vae", "conv_vae", "cvae", "vq_vae", "ladder_vae")
_SHARES = {"train": 10, "evaluate": 3, "encode": 3, "report": 2, "fit_prior": 2, "export": 2}


# Faults. Each is given a Case and lets its command run once, disturbed; it returns the exit code.


class Case:
    """A command in a folder of its own, to which something will happen.

    Attributes:
        rng, place, model, command, moment: as the campaign drew them; the moment in seconds.
        run: the name of the run's folder below `place`.
    """

    def __init__(self, rng, place, model, command, reference):
        self.rng, self.place, self.model, self.command = rng, place, model, command
        self.moment = float(rng.uniform(0, 1.05)) * reference.of(model, command)["seconds"]
        self.trained = reference.place / model / "trained"
        self.run, self.cpu = fault_commands.RUN, 0.0

    def set_up(self, run=fault_commands.RUN):
        """Copies the trained run there, where the command needs one."""
        self.run = run
        if self.command != "train":
            shutil.copytree(self.trained, self.place / run)

    def argv(self):
        return fault_commands.argv_of(self.command, self.model, self.run, ".")

    def start(self, **limits):
        return fault_commands.start(self.command, self.argv(), self.place, **limits)

    def stopped_by(self, number):
        """Runs the command, sends it a signal at the moment, and returns the exit code."""
        pid = self.start()
        code = self.until_moment(pid)
        if code is not None:
            return code
        before = _cpu_seconds(pid)
        os.kill(pid, number)
        return self.end_of(pid, before)

    def until_moment(self, pid):
        """Returns the exit code where the command is done before its moment, or None."""
        end = time.monotonic() + self.moment
        while time.monotonic() < end:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        return None

    def end_of(self, pid, before=0.0):
        """Returns the exit code; keeps the processor's seconds that ending took."""
        end = time.monotonic() + fault_commands.WAIT
        while time.monotonic() < end:
            found, status, used = os.wait4(pid, os.WNOHANG)
            if found:
                self.cpu = used.ru_utime + used.ru_stime - before
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return None

    def log(self):
        return (self.place / "log").read_text(encoding="utf-8", errors="replace")


def _cpu_seconds(pid):
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kill(case):
    case.set_up()
    return case.stopped_by(signal.SIGKILL)


def terminate(case):
    case.set_up()
    return case.stopped_by(signal.SIGTERM)


def interrupt(case):
    case.set_up()
    return case.stopped_by(signal.SIGINT)


def small_files(case):
    """No file may be larger than some kilobytes; the command's words, in a file too, must fit."""
    case.set_up()
    return case.end_of(case.start(limit=int(2 ** case.rng.uniform(11, 18))))


def full_disk(case):
    """The folder is a disk of some kilobytes."""
    size = int(2 ** case.rng.uniform(2, 10))
    needs = sum(path.stat().st_size for path in case.trained.rglob("*") if path.is_file())
    size += 0 if case.command == "train" else needs // 1024 + 64
    _mount(case.place, f"size={size}k")
    try:
        case.set_up()
        code = case.end_of(case.start())
        _mount(case.place, "remount,size=64m")
        kept = case.place.with_name(f"{case.place.name}-kept")
        shutil.copytree(case.place, kept, symlinks=True)
    finally:
        _libc().umount2(os.fsencode(case.place), 2)
    case.place.rmdir()
    kept.rename(case.place)
    return code


def no_permission(case):
    """The folder may not be written to any more, by somebody who is not the administrator."""
    if os.getuid():
        raise Skipped("only the administrator can become somebody else")
    case.set_up()
    _for_all(case.place, lambda path: os.chown(path, _NOBODY, _NOBODY))
    pid = case.start(user=_NOBODY)
    code = case.until_moment(pid)
    if code is None:
        _for_all(case.place, lambda path: path.is_dir() and path.chmod(0o555))
        code = case.end_of(pid)
    _for_all(case.place, lambda path: path.is_dir() and path.chmod(0o755))
    return code


def removed(case):
    """The run's folder is removed."""
    case.set_up()
    pid = case.start()
    code = case.until_moment(pid)
    if code is None:
        shutil.rmtree(case.place / case.run, ignore_errors=True)
        code = case.end_of(pid)
    return code


def moved(case):
    """Killed; the run lies elsewhere then."""
    code = kill(case)
    if (case.place / case.run).exists():
        (case.place / case.run).rename(case.place / "elsewhere")
    case.run = "elsewhere"
    return code


def copied(case):
    """Killed; it goes on with a copy."""
    code = kill(case)
    if (case.place / case.run).exists():
        shutil.copytree(case.place / case.run, case.place / "copy")
        shutil.rmtree(case.place / case.run)
    case.run = "copy"
    return code


def link(case):
    """Killed; the run's folder is a symbolic link to one elsewhere."""
    (case.place / "there").mkdir()
    if case.command == "train":
        (case.place / fault_commands.RUN).symlink_to("there")
    else:
        shutil.copytree(case.trained, case.place / "there" / fault_commands.RUN)
        (case.place / fault_commands.RUN).symlink_to("there/run")
    return case.stopped_by(signal.SIGKILL)


def odd_name(case):
    """Killed; the run's name has spaces, other letters, or characters that mean something."""
    names = ("a b", "é 空 ж", "[x]*?{y}", "a'b\"c", "$(id);&", "new\nline", "x" * 200, "\udcff")
    case.set_up(str(case.rng.choice(names)))
    return case.stopped_by(signal.SIGKILL)


def clock(case):
    """Killed; all files are of another time, as where a clock was set back."""
    code = kill(case)
    for path in case.place.rglob("*"):
        moment = float(case.rng.choice((0, 10**9, 4 * 10**9)))
        os.utime(path, (moment, moment), follow_symlinks=False)
    return code


class Skipped(Exception):
    """A fault that cannot be made on this machine; the message says why."""


def _libc():
    return ctypes.CDLL(None, use_errno=True)


def _mount(place, options):
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True
    )
    if done.returncode:
        raise Skipped("a file system cannot be mounted here")


def _for_all(place, function):
    for path in [place, *place.rglob("*")]:
        function(path)


FAULTS = {
    "SIGKILL": (kill, 8, (-signal.SIGKILL,)),
    "SIGTERM": (terminate, 4, (128 + signal.SIGTERM,)),
    "Ctrl-C": (interrupt, 4, (128 + signal.SIGINT,)),
    "files limited in size": (small_files, 3, (2,)),
    "a full disk": (full_disk, 3, (2,)),
    "permission removed": (no_permission, 2, (2,)),
    "the run's folder removed": (removed, 2, (2,)),
    "killed, then moved": (moved, 1, (-signal.SIGKILL,)),
    "killed, then copied": (copied, 1, (-signal.SIGKILL,)),
    "killed, behind a link": (link, 1, (-signal.SIGKILL,)),
    "killed, an odd name": (odd_name, 2, (-signal.SIGKILL,)),
    "killed, file times changed": (clock, 1, (-signal.SIGKILL,)),
}


def draw(rng):
    """Returns (fault, model, command) of a case."""
    shares = {name: share for name, (_, share, _) in FAULTS.items()}
    name, command = _drawn(rng, shares), _drawn(rng, _SHARES)
    model = str(rng.choice(_MODELS))
    if command == "fit_prior" and model in ("vq_vae", "ladder_vae"):
        command = "evaluate"  # they have no prior that can be replaced
    return name, model, command


def _drawn(rng, shares):
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def run_case(number, rng, drawn, reference):
    """Returns the line of a case.

    Args:
        number: of the case.
        rng: of its moments.
        drawn: (fault, model, command).
        reference: the Reference.
    """
    name, model, command = drawn
    row = {"case": number, "fault": name, "model": model, "command": command}
    place = reference.place / f"case-{number}"  # next to the data
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    case = Case(rng, place, model, command, reference)
    fault, _, codes = FAULTS[name]
    try:
        code = fault(case)
        row |= {"code": code, "moment": round(case.moment, 2), "cpu": round(case.cpu, 2)}
        outcome = _first(case, name, code, codes) or _second(case, name, reference)
    except Skipped as skipped:
        outcome = ("skipped", str(skipped))
    row |= dict(zip(("outcome", "words"), outcome, strict=True))
    if row["outcome"] not in FAILURES:
        shutil.rmtree(place, ignore_errors=True)
    return row


def _first(case, name, code, codes):
    """Returns what is wrong with how the disturbed command ended, or None."""
    text = case.log() if (case.place / "log").exists() else ""
    last = (text.strip().splitlines() or [""])[-1]
    if code is None:
        return "hang", last
    if "Traceback" in text:
        return "traceback", text.strip()[-300:]
    if code not in (0, *codes):
        return "code", f"{code}: {last[:200]}"
    if code == 2 and not last.startswith("error: "):
        return "code", f"not one line: {last[:200]}"
    if name in ("SIGTERM", "Ctrl-C") and case.cpu > SECONDS:
        return "slow", f"{case.cpu:.1f} s of the processor's time"
    return None


def _second(case, name, reference):
    """Gives the same command again; returns the outcome and a few words."""
    run, out = case.place / case.run, case.place
    if case.command != "train":
        if not run.exists() and name == "the run's folder removed":
            return _named(case)
        if run.exists() and name != "the run's folder removed":
            untouched = reference.of(case.model, "train")["digest"]
            if fault_commands.digest("train", run, out) != untouched:
                return "lost", "the run is not what it was"
    code = case.end_of(case.start())
    if code == 2 and name == "the run's folder removed" and case.command != "train":
        return "named", case.log().strip().splitlines()[-1][:200]
    if code != 0:
        kind = "hang" if code is None else "differs"
        return kind, f"again: {code}: {case.log().strip()[-300:]}"
    found = fault_commands.digest(case.command, run, out)
    wanted = reference.of(case.model, case.command)["digest"]
    other = [what for what in wanted if found.get(what) != wanted[what]]
    return ("differs", f"other {', '.join(other)}") if other else ("same", "")


def _named(case):
    code = case.end_of(case.start())
    lines = case.log().strip().splitlines()
    if code == 2 and len(lines) == 1 and lines[0].startswith("error: "):
        return "named", lines[0][:200]
    return "code", f"{code}: {lines[-1:]}"


def prepare():
    """Imports what commands need, and runs no operation: the forks need not."""
    import importlib

    import matplotlib.pyplot  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    import tensorflow_probability  # noqa: F401

    for name, _ in fault_commands.COMMANDS.values():
        importlib.import_module(f"{name}.__main__" if name == "export" else name)
    from export import bundle  # noqa: F401
    from vae_zoo import training  # noqa: F401
    from vae_zoo.runs import examination, report, sections  # noqa: F401


def faults():
    """Lets faults happen to commands, gives them again, and counts what comes of it."""
    output_dir = pathlib.Path(FLAGS.output_dir or "runs/faults").absolute()
    prepare()
    reference = fault_commands.Reference(output_dir)

    def made(case):
        rng = np.random.default_rng([FLAGS.seed, case])
        return run_case(case, rng, draw(rng), reference)

    if FLAGS.only is not None:
        print(json.dumps(made(FLAGS.only)))
        return
    record = campaign.Record(output_dir / f"faults-{FLAGS.seed}.jsonl")
    for case in campaign.left(record, FLAGS.cases, FLAGS.minutes):
        record.add(made(case))
    for row in record.rows:
        if row["outcome"] in FAILURES:
            print(json.dumps(row))
    rows = record.counts("fault")
    heads = ("fault", "cases", "same", "named", "skipped", "failed")
    print(cli.table([heads, *map(_cells, rows)]))
    if FLAGS.publish:
        stopping = [row["cpu"] for row in record.rows if row["fault"] in ("SIGTERM", "Ctrl-C")]
        commands = record.counts("command")
        campaign.publish(
            "faults",
            {
                "seed": FLAGS.seed,
                "models": _MODELS,
                "faults": rows,
                "commands": commands,
                "slowest_stop_seconds": max(stopping, default=0.0),
            },
        )


def _cells(row):
    failed = sum(row.get(name, 0) for name in FAILURES)
    counts = [row["cases"], *(row.get(name, 0) for name in ("same", "named", "skipped")), failed]
    return (row["fault"], *map(str, counts))


if __name__ == "__main__":
    cli.run(faults, FLAGS)
