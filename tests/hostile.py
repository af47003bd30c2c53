"""Hostile input, counted: python -m tests.hostile --cases=100000 --seed=0 --output_dir=OUT

Every case writes an input that means no good (tests/hostile_inputs/) and gives it to the parser
that a command would give it to. What must come of it is a result, or one clear error. It fails

    traceback  with another exception than a user's mistake
    hang       where it takes longer than SECONDS of the processor's time, or waits for longer
    memory     where resident memory rises by more than MEMORY
    executed   where code of the input runs: an unpickled name, a process, a connection
    outside    where something is written outside of the case's own folder
    died       where the process ends

Cases run in a process of their own, many one after the other; one that dies costs one case.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings

import numpy as np

from tests import campaign, hostile_inputs
from vae_zoo import cli, errors

FLAGS = campaign.FLAGS
SECONDS = 20.0
_WAIT = 30 * SECONDS  # on the clock: machines may be busy
MEMORY = 2**30  # bytes
FAILURES = ("traceback", "hang", "memory", "executed", "outside", "died")
_CODE = ("pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn")
_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname")
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.truncate")
_LINKS = ("os.link", "os.symlink")
_HARMLESS = ("/dev/null", "/proc/self/")


class Hang(BaseException):
    """A case took too long; no handler of the product catches it."""


class Watch:
    """Sees what Python does to the system while a case runs, by an audit hook.

    Attributes:
        seen: (kind of failure, what was done), in order.
    """

    def __init__(self):
        self.seen, self._place = [], None
        sys.addaudithook(self._hook)

    @contextlib.contextmanager
    def over(self, place):
        """Watches for the length of a `with`; writing below `place` is allowed."""
        self.seen, self._place = [], os.path.realpath(place)
        try:
            yield self
        finally:
            self._place = None

    def _hook(self, event, args):
        if self._place is None:
            return
        if event in _CODE or event in _NETWORK:
            self.seen.append(("executed", f"{event} {args!r:.80}"))
        elif event == "open" and isinstance(args[0], (str, bytes)) and _writes(args[1], args[2]):
            self._check(event, args[0])
        elif event in _CHANGES:
            self._check(event, args[0], args[-1])
            if event == "os.rename":
                self._check(event, args[1], args[-1])
        elif event in _LINKS:
            self._check(event, args[1])

    def _check(self, event, path, folder=-1):
        if isinstance(path, int):  # a file that is open
            return
        above = f"/proc/self/fd/{folder}" if folder not in (None, -1) else ""
        place = os.path.realpath(os.path.join(above, os.fsdecode(path)))
        if not place.startswith((self._place, *_HARMLESS)):
            self.seen.append(("outside", f"{event} {place}"))


def _writes(mode, how):
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool((how or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def run_case(seed, case, place, watch, shown=False):
    """Returns the line of a case: its kind, its outcome, and a few words.

    Args:
        seed: of the campaign.
        case: its number.
        place: an empty folder.
        watch: a Watch.
        shown: print tracebacks.
    """
    rng = np.random.default_rng([seed, case])
    kind = hostile_inputs.choose(rng)
    row = {"case": case, "kind": kind}
    before, tempfile.tempdir, os.environ["HOME"] = _peak(), str(place), str(place)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with watch.over(place):
            hostile_inputs.KINDS[kind](rng, pathlib.Path(place))
        row |= {"outcome": "result", "words": ""}
    except errors.UserError as error:
        row |= {"outcome": "error", "words": " ".join(str(error).split())[:160]}
    except MemoryError:
        row |= {"outcome": "error", "words": "not enough memory"}
    except Hang:
        row |= {"outcome": "hang", "words": ""}
    except KeyboardInterrupt:  # the campaign is to end
        raise
    except BaseException as error:  # noqa: B036 - the case's own, whatever it is
        if shown:
            traceback.print_exc()
        last = traceback.extract_tb(error.__traceback__)[-1]
        words = f"{type(error).__name__}: {error!s:.160} ({last.filename}:{last.lineno})"
        row |= {"outcome": "traceback", "words": words}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    grown = _peak() - before
    if watch.seen:
        row |= dict(zip(("outcome", "words"), watch.seen[0], strict=True))
    elif grown > MEMORY and row["outcome"] not in FAILURES:
        row |= {"outcome": "memory", "words": f"{grown / 2**20:.0f} MB more; {row['words']}"}
    return row


def _peak():
    """Returns the peak of resident memory since the last call, in bytes."""
    text = pathlib.Path("/proc/self/status").read_text()
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    return 1024 * int(text.partition("VmHWM:")[2].split()[0])


def _work(seed, cases, record, current):
    """Makes cases one after the other; says before each which it is."""
    sys.dont_write_bytecode = True
    signal.signal(signal.SIGPROF, _hang)
    watch = Watch()
    _peak()
    for case in cases:
        pathlib.Path(current).write_text(json.dumps([case, time.monotonic()]))
        place = tempfile.mkdtemp(prefix="case-", dir=pathlib.Path(record.path).parent)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                row = run_case(seed, case, place, watch)
            record.add(row)
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _hang(number, frame):
    raise Hang


def campaign_of(output_dir, cases, seed, minutes=None):
    """Makes the cases that are not done yet, and returns the Record."""
    output_dir = pathlib.Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    path, current = output_dir / f"hostile-{seed}.jsonl", output_dir / "current"
    hostile_inputs.prepare()
    while todo := list(campaign.left(campaign.Record(path), cases)):
        current.unlink(missing_ok=True)
        ends = None if minutes is None else time.monotonic() + 60 * minutes
        pid = campaign.fork(_work, seed, todo, campaign.Record(path), current)
        code = _watched(pid, current, ends)
        if code == 0 or (ends and time.monotonic() > ends):
            break
        case = json.loads(current.read_text())[0] if current.exists() else todo[0]
        record = campaign.Record(path)
        if case not in record.done():  # it ended the process
            kind = hostile_inputs.choose(np.random.default_rng([seed, case]))
            outcome = "hang" if code is None else "died"
            record.add({"case": case, "kind": kind, "outcome": outcome, "words": f"exit {code}"})
        minutes = ends and max(0, (ends - time.monotonic()) / 60)
    return campaign.Record(path)


def _watched(pid, current, ends):
    """Returns the exit code of the worker; kills one that is beyond the reach of a signal."""
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        with contextlib.suppress(OSError, ValueError):
            since = json.loads(current.read_text())[1]
            late = time.monotonic() > since + _WAIT
            if late or (ends and time.monotonic() > ends):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return None
        time.sleep(0.05)


def hostile():
    """Gives generated hostile input to every parser, and counts what comes of it."""
    output_dir = pathlib.Path(FLAGS.output_dir or "runs/hostile")
    if FLAGS.only is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
        hostile_inputs.prepare()
        signal.signal(signal.SIGPROF, _hang)
        place = output_dir / f"case-{FLAGS.only}"
        place.mkdir(exist_ok=True)
        print(run_case(FLAGS.seed, FLAGS.only, place, Watch(), shown=True))
        return
    record = campaign_of(output_dir, FLAGS.cases, FLAGS.seed, FLAGS.minutes)
    failed = [row for row in record.rows if row["outcome"] in FAILURES]
    for row in failed:
        print(json.dumps(row))
    rows = record.counts("kind")
    print(cli.table([("kind", "cases", "results", "errors", "failed"), *map(_cells, rows)]))
    if FLAGS.publish:
        figures = {"seed": FLAGS.seed, "seconds": SECONDS, "memory_bytes": MEMORY, "kinds": rows}
        campaign.publish("hostile", figures)


def _cells(row):
    failed = sum(row.get(name, 0) for name in FAILURES)
    numbers = (row["cases"], row.get("result", 0), row.get("error", 0), failed)
    return (row["kind"], *map(str, numbers))


if __name__ == "__main__":
    cli.run(hostile, FLAGS)
