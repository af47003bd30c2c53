"""RESULTS.md's section on several workers: measurements, the model's check, predictions."""

from benchmarks.markdown import interval, table
from benchmarks.sections import section

ROWS = {
    "model": "`{model}`",
    "workers": "{workers}",
    "images a worker": "{batch_size}",
    "strategy": "{strategy}",
    "ms a step": lambda row: interval(row["step"]),
    "images/s": lambda row: (
        f"{1000 * row['workers'] * row['batch_size'] / row['step']['median']:,.0f}"
    ),
    "a worker, to `one`": lambda row: interval(row["to_one"]),
}
_CHECK = {
    "model": "`{model}`",
    "workers": "{workers}",
    "images a worker": "{batch_size}",
    "measured, ms": "{measured_ms:.2f}",
    "model, ms": "{predicted_ms:.2f}",
    "error": lambda row: f"{100 * row['relative_error']:+.0f}%",
}
_PREDICTIONS = {
    "link, Gbit/s": "{link_gbit:g}",
    "ring": "{transport}",
    "workers": "{workers:,}",
    "ms: compute": "{parts_ms[compute]:.2f}",
    "other workers' images": "{parts_ms[global_batch]:.2f}",
    "all-reduce": "{parts_ms[all_reduce]:.2f}",
    "images/s": "{images_per_second:,.0f}",
    "efficiency": lambda row: f"{100 * row['efficiency']:.0f}%",
}


@section("scaling", "Several workers")
def scaling(figures):
    """Yields the section: measurements, the model's check, predictions."""
    agreement = [row for rows in figures["agreement"].values() for row in rows]
    largest = max(row["largest_difference"] for row in agreement)
    yield (
        "The command's own loop and pipeline, one thread and one core a worker, processes on one "
        "machine; `one` is without a strategy, `mirrored` two logical CPUs in one process. Losses, "
        "and the sum of all |weights|, differ from those of one process on the same global batch "
        f"by {largest:.0e} at most, relative ({figures['tolerance']:.0e} is allowed).\n"
    )
    yield table(ROWS, figures["rows"])
    yield _model(figures)
    yield table(_CHECK, figures["check"])
    yield from _predictions(figures["predictions"])


def _model(figures):
    link = figures["link"]
    latency = "assumed" if link["latency_assumed"] else "fitted"
    return (
        "The model: a + c b + r (N - 1) b, and a ring's 2 (N - 1) / N of the gradient's bytes and "
        "2 (N - 1) messages (Patarasuk and Yuan, 2009); r is what an image of another worker costs "
        f"each worker's input and noise. Fitted to one worker, and to {link['workers']} workers of "
        f"{link['batch_size']} images: {1e9 * link['byte']:.2f} ns a byte, "
        f"{1e6 * link['latency']:.0f} µs a message ({latency}). {_unchecked(figures)}Checked on "
        "the rest:\n"
    )


def _unchecked(figures):
    """Returns what the measurements cannot tell."""
    counts = {row["workers"] for row in figures["check"]} | {figures["link"]["workers"]}
    if len(counts) == 1:
        return (
            "One number of workers above 1 was measured: the check is of the batch size, and what "
            "a step costs a strategy whatever the gradient counts as messages. "
        )
    return ""


def _predictions(predictions):
    """Yields what the model says of more workers, at the largest batch."""
    size = max(row["batch_size"] for row in predictions)
    shown = [row for row in predictions if row["batch_size"] == size]
    yield (
        f"**Predictions, not measurements**: `{shown[0]['model']}`, {size} images a worker, one of "
        "these cores each; the links are assumptions. `ideal` is the link alone, `measured` adds "
        "what a byte and a message cost above. All-reduced: "
        f"{shown[0]['all_reduced_bytes'] / 1e6:.2f} MB a step. A GPU: not measured.\n"
    )
    yield table(_PREDICTIONS, shown)
