"""python -m benchmarks report: RESULTS.md and its plots, from the files under results/ alone.

README's table of models is written too, from the registry and zoo.json, and what its picture of
own images shows, from images.json.
"""

from benchmarks import (
    device_report,
    harness,
    reliability_report,
    scaling_report,
    sections,
    telling_report,
)
from benchmarks.markdown import given_label, table
from vae_zoo import registry

FLAGS = harness.define()
_HEAD = """# Results

Written by `python -m benchmarks report` from the files under `benchmarks/results`, each of which
holds the command, commit, machine and versions behind it. Nothing here is typed by hand.
"""


def run():
    """Writes RESULTS.md and its plots."""
    results = [harness.read(path) for path in sorted(harness.RESULTS.glob("*.json"))]
    parts = [_HEAD, *(text for section in _SECTIONS for text in section(results))]
    (sections.ROOT / "RESULTS.md").write_text("\n".join(parts), encoding="utf-8")
    readme = sections.ROOT / "README.md"
    text = with_shapes(with_models(readme.read_text(encoding="utf-8")))
    readme.write_text(text, encoding="utf-8")
    print(f"written to {sections.ROOT / 'RESULTS.md'} and {readme}")


_MODELS = {
    "name": "`{name}`",
    "what it is": "{idea}",
    "source": "{source}",
    "parameters": "{parameters:,}",
    "NLL": "{nll}",
}


_SHAPES = """\
That is `shapes` after {minutes:.1f} minutes of `conv_vae` on two cores: {psnr:.1f} dB,
where each image's mean colour gives {psnr_mean_colour:.1f} ([RESULTS.md](RESULTS.md)).
"""


def with_models(text):
    """Returns README's text with the table of models, and their NLLs, between its two markers."""
    measured = _nll_of_models()
    rows = [
        {"name": name, **registry.spec(name)._asdict(), "nll": measured.get(name, "not measured")}
        for name in registry.model_names()
    ]
    return _between(text, "models", table(_MODELS, rows))


def with_shapes(text):
    """Returns README's text with conv_vae's figures on shapes between its two markers."""
    rows = harness.read(harness.RESULTS / "images.json")["figures"]
    wished = ("conv_vae", "shapes", 5)
    [row] = [row for row in rows if (row["model"], row["dataset"], row["mark"]) == wished]
    figures = {"minutes": row["minutes"], **row["reconstruction"]}
    return _between(text, "shapes", _SHAPES.format(**figures))


def _between(text, name, words):
    """Returns a text with these words between the markers of a name."""
    before, start, rest = text.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    return before + start + words + end + after


def _nll_of_models():
    """Returns {model: its NLL on binary digits, linked to its samples}, of the zoo's file."""
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


_SECTIONS = (
    sections.quality,
    sections.zoo,
    sections.images,
    sections.peers,
    sections.throughput,
    device_report.programs,
    sections.input,
    sections.likelihood,
    sections.latency,
    sections.memory,
    scaling_report.scaling,
    telling_report.telling,
    reliability_report.reliability,
)
