"""python -m benchmarks report: RESULTS.md and its plots, from the files under results/ alone.

README's table of models is written too, from the registry and zoo.json.
"""

import pathlib

from absl import flags

from benchmarks import device_report, reliability_report, scaling_report, sections
from benchmarks.markdown import given_label, interval, nll, not_measured, provenance, table
from vae_zoo import registry

FLAGS = flags.FlagValues()

ROOT = pathlib.Path(__file__).parent.parent
_TARGETS = (90, 88, 86)  # nats
_CURVES = "benchmarks/results/nll_curves.png"
_HEAD = """# Results

Written by `python -m benchmarks report` from the files under `benchmarks/results`, each of which
holds the command, commit, machine and versions behind it. Nothing here is typed by hand.
"""


def run():
    """Writes RESULTS.md and its plots."""
    from benchmarks import harness

    results = [harness.read(path) for path in sorted(harness.RESULTS.glob("*.json"))]
    parts = [_HEAD, *(text for section in _SECTIONS for text in section(results))]
    (ROOT / "RESULTS.md").write_text("\n".join(parts), encoding="utf-8")
    readme = ROOT / "README.md"
    readme.write_text(with_models(readme.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"written to {ROOT / 'RESULTS.md'} and {readme}")


_MODELS = {
    "name": "`{name}`",
    "what it is": "{idea}",
    "source": "{source}",
    "parameters": "{parameters:,}",
    "NLL": "{nll}",
}


def with_models(text):
    """Returns README's text with the table of models, and their NLLs, between its two markers."""
    before, start, rest = text.partition("<!-- models -->\n")
    _, end, after = rest.partition("<!-- /models -->")
    measured = _nll_of_models()
    rows = [
        {"name": name, **registry.spec(name)._asdict(), "nll": measured.get(name, "not measured")}
        for name in registry.model_names()
    ]
    return before + start + table(_MODELS, rows) + end + after


def _nll_of_models():
    """Returns {model: its NLL on binary digits, linked to its samples}, of the zoo's file."""
    from benchmarks import harness

    found = {}
    for row in harness.read(harness.RESULTS / "zoo.json")["figures"]:
        if row["binarization"] == "none":  # grey values: other nats
            continue
        kind = " (bound)" if row["is_bound"] else ""
        if given_label(row["model"]):
            kind = " (given the label)"
        picture = f"benchmarks/results/zoo/{row['model']}-{row['dataset']}.png"
        found[row["model"]] = f"[{row['nll']:.1f}]({picture}){kind}"
    return found


_QUALITY = {
    "model": "`{model}`",
    "parameters": "{parameters:,}",
    "epochs": lambda row: str(row["curve"][-1]["epochs"]),
    "minutes": lambda row: f"{row['curve'][-1]['minutes']:.1f}",
    "CPU minutes": lambda row: f"{row['curve'][-1]['cpu_minutes']:.1f}",
    "ELBO": "{final[elbo]:.2f}",
    "NLL": lambda row: nll({**row["final"], "model": row["model"]}),
    "test images": "{final[num_images]:,}",
    "samples": "{final[num_samples]:,}",
    "images/s": "{images_per_second:,.0f}",
}
_MINUTES = {
    "model": "`{model}`",
    **{
        f"{target} nats": lambda row, target=target: minutes_to(_points(row), target)
        for target in _TARGETS
    },
    "the curve's end": lambda row: "{1:.2f} nats at {0:.1f}".format(*_points(row)[-1]),
}


def quality(results):
    """Yields the section on likelihood against minutes."""
    found = [result for result in results if result["benchmark"].startswith("quality-")]
    if not found:
        return
    from vae_zoo.runs import plots

    rows = [result["figures"] for result in found]
    yield "## Likelihood on binarised MNIST\n"
    yield (
        "Nats, with the standard error over images: the first so many of the test images, with so "
        "many importance samples each. Minutes are of training and its validation, on the cores "
        "named below; the figure is of the weights with the best validation objective.\n"
    )
    yield table(_QUALITY, rows)
    plots.nll_curves(ROOT / _CURVES, {row["model"]: _points(row) for row in rows})
    yield "Minutes of training until the curve is at or below so many nats:\n"
    yield table(_MINUTES, rows)
    yield (
        f"![NLL against minutes]({_CURVES})\n\nThe curve: "
        f"{rows[0]['curve_images']:,} test images, {rows[0]['curve_samples']:,} importance "
        "samples: the first ones, fewer than the first table's.\n"
    )
    yield provenance(found)


def _points(row):
    """Returns a model's curve, [(minutes, nats)]."""
    return [(point["minutes"], point["nll"]) for point in row["curve"]]


def minutes_to(curve, target):
    """Returns the minutes at which a curve [(minutes, nats)] first meets a target, as text.

    Straight lines join its points; "not reached" where it stays above.
    """
    before = None
    for minutes, nats in curve:
        if nats <= target:
            if before is None:
                return f"at most {minutes:.1f}"
            share = (before[1] - target) / (before[1] - nats)
            return f"{before[0] + share * (minutes - before[0]):.1f}"
        before = minutes, nats
    return "not reached"


def latency(results):
    """Yields the sections on the decoder's and the sampler's latency."""
    for result in sections.of("latency", results):
        for what, title in (("decode", "decoder"), ("sample", "sampler")):
            # Where a row does not say, it is the decoder's.
            rows = [row for row in result["figures"] if row.get("what", "decode") == what]
            if rows:
                yield f"## Latency of the {title}\n"
                yield from _latency(rows)
        yield provenance([result])


def _latency(rows):
    """Yields the text and the table of one signature's rows, one for each batch size."""
    ratios = ", ".join(
        f"{interval(row['torch_eager_to_tflite_float32'])} at batch {row['batch_size']}"
        for row in rows
    )
    yield (
        f"`{rows[0]['model']}`, one thread, milliseconds a call: p50 (p99; first call). "
        f"PyTorch eager takes {ratios} times as long as the float32 TFLite file.\n"
    )
    made = [
        {
            "name": sections.words(name),
            **{_batch(row): _milliseconds(row["latency"][name]) for row in rows},
        }
        for name in rows[0]["latency"]
    ]
    yield table({"": "{name}", **{_batch(row): f"{{{_batch(row)}}}" for row in rows}}, made)


def _batch(row):
    return f"batch {row['batch_size']}"


def _milliseconds(figures):
    if "not_measured" in figures:
        return not_measured(figures)
    return f"{figures['p50']['median']:.3f} ({figures['p99']:.3f}; {figures['first_ms']:.1f})"


def memory(results):
    """Yields the section on memory."""
    for result in sections.of("memory", results):
        figures = result["figures"]
        yield "## Memory\n"
        yield (
            f"`python -m vae_zoo.train --model={figures['model']}`: "
            f"{figures['peak_bytes'] / 1e9:.2f} GB resident at the peak.\n"
        )
        yield provenance([result])


_SECTIONS = (
    quality,
    sections.zoo,
    sections.images,
    sections.peers,
    sections.throughput,
    device_report.programs,
    sections.input,
    sections.likelihood,
    latency,
    memory,
    scaling_report.scaling,
    reliability_report.reliability,
)
