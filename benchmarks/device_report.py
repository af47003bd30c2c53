"""RESULTS.md's section on programs that ran on a device without TensorFlow; see device/."""

from benchmarks.markdown import interval, mflop, percent, provenance, speed, table
from benchmarks.sections import of

_TEXT = """The training program of TensorFlow (Keras's train_step with its guard, ink and noise, \
many steps a call), run by XLA through JAX on one {device}. `python -m benchmarks program` wrote \
the programs; images lie in the device's memory. Images a second, medians with the interval that \
holds the median at 95%. The peak is that of the device's own matrix products in the same run: \
{peaks}.
"""
_PEERS = """PyTorch on the same card: the same networks and batches, channels last, fused Adam, \
autocast to bfloat16, compiled with `mode="max-autotune"`; images in the card's memory. Each at \
its best batch size:
"""
_ROW = {
    "what": "{what}",
    "model": "`{model}`",
    "precision": "{precision}",
    "batch": "{batch_size}",
    "images/s": lambda row: speed(row["images_per_second"]),
    "MFLOP/image": mflop,
    "share of peak": lambda row: f"{percent(row['share_of_peak']['median'])} of {row['peak']}",
    "memory": lambda row: f"{row['memory_bytes'] / 1e9:.2f} GB",
}


def programs(results):
    """Yields the section; nothing of a run that was not on a GPU."""
    for result in _on_gpu("program", results):
        figures = result["figures"]
        device = figures["device"]
        peaks = ", ".join(f"{k} {v['median'] / 1e12:,.0f}" for k, v in figures["peaks"].items())
        yield f"## On one {device}\n"
        yield _TEXT.format(device=device, peaks=f"{peaks} TFLOP/s")
        yield table(_ROW, figures["rows"])
        others = _on_gpu("program_peers", results)
        peers = [other for other in others if other["figures"]["device"] == device]
        if peers:
            yield _PEERS
            yield table(_AGAINST, list(_pairs(figures["rows"], peers[0]["figures"]["rows"])))
        yield provenance([result, *peers])


def _on_gpu(name, results):
    return [result for result in of(name, results) if result["figures"]["platform"] == "gpu"]


def _pairs(ours, theirs):
    """Yields each network's rows at its best batch size, ours and PyTorch's."""
    for model in dict.fromkeys(row["model"] for row in theirs):
        for precision in dict.fromkeys(row["precision"] for row in theirs):
            mine, other = _best(ours, model, precision), _best(theirs, model, precision)
            if mine and other:
                yield {"model": model, "precision": precision, "ours": mine, "theirs": other}


def _best(rows, model, precision):
    wanted = {"what": "train", "model": model, "precision": precision}
    found = [r for r in rows if wanted.items() <= r.items() and "images_per_second" in r]
    return max(found, key=lambda row: row["images_per_second"]["median"], default=None)


def _ratio(pair):
    """Returns the ratio of the medians, and the widest that the two intervals allow."""
    one, two = (pair[whose]["images_per_second"] for whose in ("ours", "theirs"))
    ends = {"low": one["low"] / two["high"], "high": one["high"] / two["low"]}
    return interval({"median": one["median"] / two["median"], **ends})


_AGAINST = {
    "model": "`{model}`",
    "precision": lambda pair: pair["precision"],
    "ours, images/s": lambda pair: speed(pair["ours"]["images_per_second"]),
    "our batch": lambda pair: str(pair["ours"]["batch_size"]),
    "PyTorch, images/s": lambda pair: speed(pair["theirs"]["images_per_second"]),
    "PyTorch's batch": lambda pair: str(pair["theirs"]["batch_size"]),
    "ratio": _ratio,
}
