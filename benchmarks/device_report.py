"""RESULTS.md's section on programs that ran on a device without TensorFlow; see device/."""

from benchmarks.markdown import interval, percent, provenance, speed, table

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


def programs(results):
    """Yields the section; nothing of a run that was not on a GPU."""
    for result in _on_gpu("program", results):
        figures = result["figures"]
        peaks = ", ".join(f"{k} {v['median'] / 1e12:,.0f}" for k, v in figures["peaks"].items())
        yield f"## On one {figures['device']}\n"
        yield _TEXT.format(device=figures["device"], peaks=f"{peaks} TFLOP/s")
        lines = [["what", "model", "precision", "batch", "images/s", "MFLOP/image"]
                 + ["share of peak", "memory"]]  # fmt: skip
        yield table(lines + [_row(row) for row in figures["rows"]])
        peers = _same_device(result, _on_gpu("program_peers", results))
        if peers:
            yield _PEERS
            yield table(list(_against(figures["rows"], peers[0]["figures"]["rows"])))
        yield provenance([result, *peers])


def _on_gpu(name, results):
    found = [result for result in results if result["benchmark"] == name]
    return [result for result in found if result["figures"]["platform"] == "gpu"]


def _same_device(result, others):
    device = result["figures"]["device"]
    return [other for other in others if other["figures"]["device"] == device]


def _row(row):
    named = [row["what"], f"`{row['model']}`", row["precision"], str(row["batch_size"])]
    if "not_measured" in row:
        return [*named, f"not measured: {row['not_measured']}", "", "", ""]
    known = ("flops_per_image", "memory_bytes", "share_of_peak")
    flops, memory, share = (row.get(key) for key in known)
    return [
        *named,
        speed(row["images_per_second"]),
        "" if flops is None else f"{flops / 1e6:,.1f}",
        "" if share is None else f"{percent(share['median'])} of {row['peak']}",
        "" if memory is None else f"{memory / 1e9:.2f} GB",
    ]


def _against(ours, theirs):
    """Yields the lines that compare each model at its best batch size with PyTorch at its best."""
    yield ["model", "precision", "ours, images/s", "batch", "PyTorch, images/s", "batch", "ratio"]
    for model in dict.fromkeys(row["model"] for row in theirs):
        for precision in dict.fromkeys(row["precision"] for row in theirs):
            mine, other = _best(ours, model, precision), _best(theirs, model, precision)
            if mine and other:
                yield [f"`{model}`", precision, *_said(mine), *_said(other), _ratio(mine, other)]


def _best(rows, model, precision):
    found = [
        row
        for row in rows
        if (row["what"], row["model"], row["precision"]) == ("train", model, precision)
        and "images_per_second" in row
    ]
    return max(found, key=lambda row: row["images_per_second"]["median"], default=None)


def _said(row):
    return speed(row["images_per_second"]), str(row["batch_size"])


def _ratio(mine, other):
    """Returns the ratio of the medians, and the widest that the two intervals allow."""
    one, two = mine["images_per_second"], other["images_per_second"]
    ends = {"low": one["low"] / two["high"], "high": one["high"] / two["low"]}
    return interval({"median": one["median"] / two["median"], **ends})
