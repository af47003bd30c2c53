"""python -m benchmarks report: RESULTS.md and its plots, from the files under results/ alone.

README's table of models is written too, from the registry.
"""

import pathlib

from absl import flags

from vae_zoo import registry

FLAGS = flags.FlagValues()

ROOT = pathlib.Path(__file__).parent.parent
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
    """Returns README's text with the table of the registry's models between its two markers."""
    before, start, rest = text.partition("<!-- models -->\n")
    _, end, after = rest.partition("<!-- /models -->")
    rows = [["name", "what it is", "source", "parameters", "tags"]]
    for name in registry.model_names():
        spec = registry.spec(name)
        tags = ", ".join(spec.tags)
        rows.append([f"`{name}`", spec.idea, spec.source, f"{spec.parameters:,}", tags])
    return before + start + _table(rows) + end + after


def quality(results):
    """Yields the section on likelihood against minutes."""
    found = [result for result in results if result["benchmark"].startswith("quality-")]
    if not found:
        return
    from vae_zoo import plots

    yield "## Likelihood on binarised MNIST\n"
    final = found[0]["figures"]["final"]
    yield (
        f"The first {final['num_images']:,} test images, {final['num_samples']:,} importance "
        "samples each; nats, with the standard error over images. Minutes are of training alone, "
        "on the cores named below; the figure is of the weights with the best validation ELBO.\n"
    )
    rows = [["model", "parameters", "epochs", "minutes", "CPU minutes", "ELBO", "NLL", "images/s"]]
    rows += [_quality_row(result["figures"]) for result in found]
    yield _table(rows)
    curves = {
        result["figures"]["model"]: [(p["minutes"], p["nll"]) for p in result["figures"]["curve"]]
        for result in found
    }
    plots.nll_curves(ROOT / _CURVES, curves)
    point = found[0]["figures"]
    yield (
        f"![NLL against minutes]({_CURVES})\n\nThe curve: "
        f"{point['curve_images']:,} test images, {point['curve_samples']:,} importance samples.\n"
    )
    yield _provenance(found)


def peers(results):
    """Yields the section on training against PyTorch."""
    found = [result for result in results if result["benchmark"] == "peers"]
    for result in found:
        yield "## Training against PyTorch\n"
        yield (
            "The same architecture, weights, batch, precision and threads, taking turns in one "
            "process; parameter counts and losses were compared first. Ratios of images a second, "
            "medians with the interval that holds the median at 95%. Ours runs with its data "
            "pipeline and guard; PyTorch has its batches in memory, channels last, and a fused "
            "Adam.\n"
        )
        rows = [
            ["model", "batch", "precision", "ours, images/s", "to torch.compile", "to eager"]
            + ["share of float32 peak"]
        ]
        rows += [_peer_row(row) for row in result["figures"]]
        yield _table(rows)
    yield from map(_provenance, ([result] for result in found))


def latency(results):
    """Yields the section on the decoder's latency."""
    for result in results:
        if result["benchmark"] != "latency":
            continue
        rows = result["figures"]
        yield "## Latency of the decoder\n"
        ratios = ", ".join(
            f"{interval(row['torch_eager_to_tflite_float32'])} at batch {row['batch_size']}"
            for row in rows
        )
        yield (
            f"`{rows[0]['model']}`, one thread, milliseconds a call: p50 (p99; first call). "
            f"PyTorch eager takes {ratios} times as long as the float32 TFLite file.\n"
        )
        table = [["", *(f"batch {row['batch_size']}" for row in rows)]]
        for name in rows[0]["latency"]:
            table.append([name.replace("_", " "), *(_milliseconds(row, name) for row in rows)])
        yield _table(table)
        yield _provenance([result])


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
            yield _provenance([result])


def scaling(results):
    """Yields the section on several workers."""
    from benchmarks import scaling_report

    for result in results:
        if result["benchmark"] == "scaling":
            for part in scaling_report.parts(result["figures"]):
                yield part if isinstance(part, str) else _table(part)
            yield _provenance([result])


_SECTIONS = (quality, peers, latency, memory, scaling)


def _quality_row(figures):
    last, final = figures["curve"][-1], figures["final"]
    return [
        f"`{figures['model']}`",
        f"{figures['parameters']:,}",
        str(last["epochs"]),
        f"{last['minutes']:.1f}",
        f"{last['cpu_minutes']:.1f}",
        f"{final['elbo']:.2f}",
        f"{final['nll']:.2f} ± {final['nll_stderr']:.2f}",
        f"{figures['images_per_second']:,.0f}",
    ]


def _peer_row(row):
    return [
        f"`{row['model']}`",
        str(row["batch_size"]),
        row["precision"],
        f"{row['images_per_second']['vae_zoo']['median']:,.0f}",
        interval(row["ratio"]["torch_compile"]),
        interval(row["ratio"]["torch_eager"]),
        f"{100 * row['share_of_float32_peak']:.0f}%",
    ]


def interval(figure):
    """Returns a figure as text: the median and its interval."""
    return f"{figure['median']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})"


def _milliseconds(row, name):
    figures = row["latency"][name]
    return f"{figures['p50']['median']:.3f} ({figures['p99']:.3f}; {figures['first_ms']:.1f})"


def _table(rows):
    """Returns rows of text as a Markdown table."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _provenance(results):
    """Returns the line that says where and of what the figures are."""
    machine = results[0]["machine"]
    commits = ", ".join(sorted({str(result["commit"]) for result in results}))
    commands = "; ".join(sorted({f"`{result['command']}`" for result in results}))
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB; "
        f"TensorFlow {results[0]['versions']['tensorflow']}; commit {commits}; {commands}\n"
    )
