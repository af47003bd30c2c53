"""python -m benchmarks report: RESULTS.md and its plots, from the files under results/ alone.

README's table of models is written too, from the registry and zoo.json.
"""

import pathlib

from absl import flags

from benchmarks import device_report, sections
from benchmarks.markdown import given_label, interval, provenance, table
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


def with_models(text):
    """Returns README's text with the table of models, and their NLLs, between its two markers."""
    before, start, rest = text.partition("<!-- models -->\n")
    _, end, after = rest.partition("<!-- /models -->")
    nll = _nll_of_models()
    rows = [["name", "what it is", "source", "parameters", "NLL"]]
    for name in registry.model_names():
        spec = registry.spec(name)
        rows.append([f"`{name}`", spec.idea, spec.source, f"{spec.parameters:,}"])
        rows[-1].append(nll.get(name, "not measured"))
    return before + start + table(rows) + end + after


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


def quality(results):
    """Yields the section on likelihood against minutes."""
    found = [result for result in results if result["benchmark"].startswith("quality-")]
    if not found:
        return
    from vae_zoo.runs import plots

    yield "## Likelihood on binarised MNIST\n"
    yield (
        "Nats, with the standard error over images: the first so many of the test images, with so "
        "many importance samples each. Minutes are of training and its validation, on the cores "
        "named below; the figure is of the weights with the best validation objective.\n"
    )
    rows = [["model", "parameters", "epochs", "minutes", "CPU minutes", "ELBO", "NLL"]]
    rows[0] += ["test images", "samples", "images/s"]
    rows += [_quality_row(result["figures"]) for result in found]
    yield table(rows)
    curves = {
        result["figures"]["model"]: [(p["minutes"], p["nll"]) for p in result["figures"]["curve"]]
        for result in found
    }
    plots.nll_curves(ROOT / _CURVES, curves)
    yield "Minutes of training until the curve is at or below so many nats:\n"
    rows = [["model", *(f"{target} nats" for target in _TARGETS), "the curve's end"]]
    rows += [
        [
            f"`{name}`",
            *(minutes_to(curve, target) for target in _TARGETS),
            f"{curve[-1][1]:.2f} nats at {curve[-1][0]:.1f}",
        ]
        for name, curve in curves.items()
    ]
    yield table(rows)
    point = found[0]["figures"]
    yield (
        f"![NLL against minutes]({_CURVES})\n\nThe curve: "
        f"{point['curve_images']:,} test images, {point['curve_samples']:,} importance samples: "
        "the first ones, fewer than the first table's.\n"
    )
    yield provenance(found)


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
    for result in results:
        if result["benchmark"] != "latency":
            continue
        for what, title in (("decode", "decoder"), ("sample", "sampler")):
            # Where a row does not say, it is the decoder's.
            rows = [row for row in result["figures"] if row.get("what", "decode") == what]
            if rows:
                yield f"## Latency of the {title}\n"
                yield from _latency(rows)
        yield provenance([result])


def memory(results):
    """Yields the section on memory."""
    for result in results:
        if result["benchmark"] == "memory":
            figures = result["figures"]
            yield "## Memory\n"
            yield (
                f"`python -m vae_zoo.train --model={figures['model']}`: "
                f"{figures['peak_bytes'] / 1e9:.2f} GB resident at the peak.\n"
            )
            yield provenance([result])


def scaling(results):
    """Yields the section on several workers."""
    from benchmarks import scaling_report

    for result in results:
        if result["benchmark"] == "scaling":
            for part in scaling_report.parts(result["figures"]):
                yield part if isinstance(part, str) else table(part)
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
    scaling,
)


def _quality_row(figures):
    last, final = figures["curve"][-1], figures["final"]
    return [
        f"`{figures['model']}`",
        f"{figures['parameters']:,}",
        str(last["epochs"]),
        f"{last['minutes']:.1f}",
        f"{last['cpu_minutes']:.1f}",
        f"{final['elbo']:.2f}",
        f"{final['nll']:.2f} ± {final['nll_stderr']:.2f}{given_label(figures['model'])}",
        f"{final['num_images']:,}",
        f"{final['num_samples']:,}",
        f"{figures['images_per_second']:,.0f}",
    ]


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
    lines = [["", *(f"batch {row['batch_size']}" for row in rows)]]
    for name in rows[0]["latency"]:
        lines.append([name.replace("_", " "), *(_milliseconds(row, name) for row in rows)])
    yield table(lines)


def _milliseconds(row, name):
    figures = row["latency"][name]
    if "not_measured" in figures:
        return f"not measured: {figures['not_measured']}"
    return f"{figures['p50']['median']:.3f} ({figures['p99']:.3f}; {figures['first_ms']:.1f})"
