"""One to several training processes on this machine, and a model of how throughput grows on more.

Measured: the step of the project's own loop and pipeline, without a strategy, with one and with
several workers, each on a core of its own; several workers must give the losses of one process on
the same global batch. The model (scaling_model.py) is fitted to one worker, and to several at one
batch size; the other batch sizes check it. What it says of more machines is a prediction.
"""

import contextlib
import os

from benchmarks import harness, markdown, scaling_model, scaling_report, scaling_worker
from vae_zoo import errors, registry

FLAGS = harness.define(
    models=(
        ["conv_vae", "vae"],
        "the models to measure, separated by commas; the first is predicted, and a second one with "
        "another number of parameters tells latency from bytes",
    ),
    workers=(["1", "2"], "numbers of processes: 1, and one or several more"),
    batch_sizes=(["32", "64", "128", "256"], "images in a batch of each worker: two or more"),
    links_gbit=(["1", "10", "100", "400"], "assumed links, in Gbit/s"),
    link_latency_us=(20.0, "assumed latency of a message, in microseconds"),
    rounds=7,
    smoke=False,
)

_PREDICTED = (8, 64, 1024)  # workers
_SHARES = (1, 2, 8, 32)  # of a batch, of which one worker's input and noise is timed
_MOST_IMAGES = 1024  # of that batch: digits has little more
_TOLERANCE = 1e-4  # of losses and weights, relative: float32 sums in another order


def run():
    """Times one to several workers on this machine and predicts the throughput of more."""
    settings = _settings()
    measured = {name: measure(name, settings) for name in settings["models"]}
    harness.write("scaling", _figures(measured, settings), smoke=FLAGS.smoke)


def measure(name, settings):
    """Returns {"rows", "inputs", "agreement", "gradient_bytes"} of a model, from real processes."""
    with contextlib.ExitStack() as stack:
        groups = {
            kind: stack.enter_context(scaling_worker.Group(*kind, name, FLAGS.smoke))
            for kind in _kinds(settings["workers"])
        }
        alone = groups["one", 1]
        largest = max(settings["batch_sizes"]) * max(workers for _, workers in groups)
        gradient_bytes = alone.ask("gradient_bytes", largest)[0]
        agreement = _check_same(groups, settings["batch_sizes"][0])
        candidates = {
            (*kind, size): lambda group=group, images=kind[1] * size: group.ask("steps", images)[0]
            for kind, group in groups.items()
            for size in settings["batch_sizes"]
        }
        size = min(settings["batch_sizes"])
        candidates |= {
            ("inputs", shares, size): lambda own=(size, shares): alone.ask("make_inputs", own)[0]
            for shares in _SHARES
            if shares * size <= _MOST_IMAGES
        }
        speeds = harness.interleave(candidates, settings["rounds"], settings["seconds"])
    rows = [_row(name, *candidate, speeds) for candidate in candidates]
    inputs = [row for row in rows if row["strategy"] == "inputs"]
    for row in rows:
        print(markdown.line(scaling_report.ROWS, row), flush=True)
    return {
        "rows": [row for row in rows if row not in inputs],
        "inputs": inputs,
        "agreement": agreement,
        "gradient_bytes": gradient_bytes,
    }


def _settings():
    """Returns the flags' values, checked."""
    rounds, seconds = harness.turns(FLAGS, smoke_rounds=2)
    settings = {"models": FLAGS.models, "rounds": rounds, "seconds": seconds}
    for name in ("workers", "batch_sizes", "links_gbit"):
        kind = float if name == "links_gbit" else int
        settings[name] = harness.numbers(name, FLAGS[name].value, kind)
    if 1 not in settings["workers"] or len(settings["workers"]) < 2:
        raise errors.UserError(f"--workers={','.join(FLAGS.workers)}: expected 1 and more.")
    if settings["workers"][-1] > len(os.sched_getaffinity(0)):
        raise errors.UserError(
            f"--workers={','.join(FLAGS.workers)}: expected at most as many as there are cores, "
            f"{len(os.sched_getaffinity(0))}: workers that share a core wait for each other."
        )
    if len(settings["batch_sizes"]) < 2:
        raise errors.UserError("--batch_sizes: expected two or more, to fit a line to.")
    errors.at_least("--link_latency_us", FLAGS.link_latency_us, 0)
    for name in settings["models"] or [""]:
        registry.spec(name)
    settings["models"] = list(dict.fromkeys(settings["models"]))
    if FLAGS.smoke:
        settings |= {"batch_sizes": [8, 16], "models": settings["models"][:1]}
    return settings


def _kinds(workers):
    """Returns (strategy, workers) of all groups."""
    return [("one", 1), *(("multi_worker", count) for count in workers), ("mirrored", 2)]


def _check_same(groups, batch_size):
    """Returns each group's largest relative difference from one process on the global batch.

    Raises:
        RuntimeError: where it is beyond rounding.
    """
    alone = groups["one", 1]
    expected = {n: alone.ask("losses", n * batch_size)[0] for n in {n for _, n in groups}}
    rows = []
    for (strategy, workers), group in groups.items():
        if group is alone:
            continue
        answers = group.ask("losses", workers * batch_size)
        difference = max(_difference(given, expected[workers]) for given in answers)
        if not difference <= _TOLERANCE:
            raise RuntimeError(
                f"{strategy} with {workers} workers is {difference:.1e} from one process; "
                f"expected {_TOLERANCE:.0e} at most"
            )
        rows.append({"strategy": strategy, "workers": workers,
                     "global_batch": workers * batch_size,
                     "largest_difference": difference})  # fmt: skip
    return rows


def _difference(given, expected):
    return max(abs(one / two - 1) for one, two in zip(given, expected, strict=True))


def _row(name, strategy, workers, batch_size, speeds):
    """Returns a candidate's step, and its speed as a share of one process's without a strategy."""
    steps = speeds[strategy, workers, batch_size]
    return {
        "model": name,
        "strategy": strategy,
        "workers": workers,
        "batch_size": batch_size,
        "step": harness.figure([1000 / speed for speed in steps], "ms"),
        "to_one": harness.ratio(steps, speeds["one", 1, batch_size]),
    }


def _figures(measured, settings):
    """Returns the content of the result: measurements, the model's check, its predictions."""
    works = {name: _work(part) for name, part in measured.items()}
    # Where the link is fitted: the fewest workers and images.
    several = [row for part in measured.values() for row in part["rows"]
               if row["strategy"] == "multi_worker" and row["workers"] > 1]  # fmt: skip
    place = min((row["workers"], row["batch_size"]) for row in several)
    fitted = [row for row in several if (row["workers"], row["batch_size"]) == place]
    link = scaling_model.fit_link(
        [(works[row["model"]], *place, row["step"]["median"] / 1000) for row in fitted],
        FLAGS.link_latency_us / 1e6,
    )
    first = settings["models"][0]
    return {
        "rows": [row for part in measured.values() for row in part["rows"]],
        "inputs": [row for part in measured.values() for row in part["inputs"]],
        "agreement": {name: part["agreement"] for name, part in measured.items()},
        "tolerance": _TOLERANCE,
        "work": {name: work._asdict() for name, work in works.items()},
        "link": {**link._asdict(), "latency_assumed": len(fitted) == 1,
                 "workers": place[0], "batch_size": place[1]},
        "check": [_check(row, works[row["model"]], link) for row in several if row not in fitted],
        "predictions": _predictions(first, works[first], link, settings),
    }  # fmt: skip


def _work(part):
    """Returns the scaling_model.Work of a model's measurements."""
    alone = [r for r in part["rows"] if r["strategy"] == "multi_worker" and r["workers"] == 1]
    times = {row["batch_size"]: row["step"]["median"] / 1000 for row in alone}
    inputs = {
        row["workers"] * row["batch_size"]: row["step"]["median"] / 1000 for row in part["inputs"]
    }
    return scaling_model.fit_work(times, inputs, part["gradient_bytes"])


def _check(row, work, link):
    """Returns a measured step next to the model's."""
    step = 1000 * scaling_model.step_time(work, link, row["workers"], row["batch_size"])
    named = {key: row[key] for key in ("model", "workers", "batch_size")}
    measured = row["step"]["median"]
    return {**named, "measured_ms": measured, "predicted_ms": step,
            "relative_error": step / measured - 1}  # fmt: skip


def _predictions(name, work, measured, settings):
    """Returns predictions for links that carry the bytes alone, and with the transport measured."""
    rows, size = [], settings["batch_sizes"][-1]
    latency = measured.latency if len(settings["models"]) > 1 else 0.0  # else the assumed one
    for gbit in settings["links_gbit"]:
        wire = scaling_model.Link(8 / (gbit * 1e9), FLAGS.link_latency_us / 1e6)
        both = scaling_model.Link(wire.byte + measured.byte, wire.latency + latency)
        for transport, link in (("ideal", wire), ("measured", both)):
            named = {"model": name, "link_gbit": gbit, "transport": transport}
            rows += [{**named, **_prediction(work, link, count, size)} for count in _PREDICTED]
    return rows


def _prediction(work, link, workers, batch_size):
    parts = scaling_model.step_parts(work, link, workers, batch_size)
    return {
        "workers": workers,
        "batch_size": batch_size,
        "parts_ms": {part: 1000 * seconds for part, seconds in parts.items()},
        "images_per_second": workers * batch_size / sum(parts.values()),
        "efficiency": scaling_model.efficiency(work, link, workers, batch_size),
        "all_reduced_bytes": work.gradient_bytes,
        "sent_bytes_each": scaling_model.ring_terms(work, workers)[0],
    }
