"""RESULTS.md's sections: each takes all results, and yields what it says of those of its kind."""

import functools
import itertools
import pathlib

from benchmarks.markdown import (
    MEDIANS,
    interval,
    mflop,
    nll,
    not_measured,
    provenance,
    share,
    speed,
    table,
)

ROOT = pathlib.Path(__file__).parent.parent
_TARGETS = (90, 88, 86)  # nats
_CURVES = "benchmarks/results/nll_curves.png"


def of(name, results):
    """Returns the results of a benchmark."""
    return [result for result in results if result["benchmark"] == name]


def section(benchmark, title):
    """Makes a section of a function that yields what the figures of one result say.

    Args:
        benchmark: whose results.
        title: the heading; None where the function yields its own.
    """

    def decorate(paragraphs):
        @functools.wraps(paragraphs)
        def write(results):
            for result in of(benchmark, results):
                yield from [f"## {title}\n"] if title else []
                yield from paragraphs(result["figures"])
                yield provenance([result])

        return write

    return decorate


QUALITY = {
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
    yield table(QUALITY, rows)
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
    if curve[0][1] <= target:
        return f"at most {curve[0][0]:.1f}"
    for (start, above), (end, below) in itertools.pairwise(curve):
        if below <= target:
            return f"{start + (above - target) / (above - below) * (end - start):.1f}"
    return "not reached"


ZOO = {
    "model": "`{model}`",
    "data": "{dataset}, {binarization}",
    "minutes": "{minutes:.1f}",
    "epochs": "{epochs}",
    "batch": "{batch_size}",
    "ELBO": "{elbo:.2f}",
    "NLL": nll,
    "bits/dim": "{bits_per_dim:.3f}",
    "active units": "{active_units}",
    "images/s": "{images_per_second:,.0f}",
    "samples": "[grid](benchmarks/results/zoo/{model}-{dataset}.png)",
}


def zoo(results):
    """Yields the section on every model in equal time."""
    for result in of("zoo", results):
        rows = result["figures"]
        minutes = [row["minutes"] for row in rows]
        yield "## The zoo in equal time\n"
        yield (
            f"Every model, trained for {min(minutes):.1f} to {max(minutes):.1f} minutes, whole "
            f"epochs; the first {rows[0]['num_images']:,} test images, "
            f"{max(row['num_samples'] for row in rows)} importance samples each; nats, with the "
            "standard error over images. A bound: the negative ELBO, where importance weighting "
            "has no meaning. Given the label: of p(x | y), which does not compare with the others. "
            "A table for each machine: time is equal within one alone.\n"
        )
        machines = {}
        for row in rows:
            machines.setdefault(str(row["origin"]["machine"]), []).append(row)
        for same in machines.values():
            yield table(ZOO, same)
            yield provenance([row["origin"] for row in same])


IMAGES = {
    "data": "{dataset}",
    "model": "`{model}`",
    "minutes": "{minutes:.1f}",
    "steps": "{steps:,}",
    "bits/dim": lambda row: f"{row['bits_per_dim']:.2f}" + " (a bound)" * row["is_bound"],
    "PSNR, dB": "{reconstruction[psnr]:.1f}",
    "mean colour, dB": "{reconstruction[psnr_mean_colour]:.1f}",
    "completeness": "{completeness[share]:.0%}",
    "reconstructions": "{completeness[reconstruction_share]:.0%}",
    "real images": "{completeness[test_share]:.0%}",
    "active units": "{active_units}",
    "images/s": "{images_per_second:,.0f}",
    "samples": "[grid](benchmarks/results/images/{picture})",
}


def images(results):
    """Yields the section on pictures in colour."""
    for result in of("images", results):
        rows = result["figures"]
        yield "## Pictures in colour\n"
        yield (
            "The training command with its defaults, `--minutes` and the flags that a row names; "
            f"the first {rows[0]['num_images']:,} test images. PSNR of their reconstructions, "
            "next to that of each image's own mean colour; completeness: the share of prior "
            "samples that a classifier is surely of one class of, next to the same share of "
            "reconstructions and of real test images.\n"
        )
        yield table(IMAGES, rows)
        yield provenance([row["origin"] for row in rows])


def peers_columns(rows):
    """Returns the columns of the peers' table: one for each candidate of any row."""
    columns = {"model": "`{model}`", "batch": "{batch_size}", "precision": "{precision}"}
    for name in dict.fromkeys(name for row in rows for name in row.get("ratio", {})):
        columns[f"to {words(name)}"] = lambda row, name=name: interval(row["ratio"][name])
    columns["ours, images/s"] = "{images_per_second[vae_zoo][median]:,.0f}"
    columns["share of float32 peak"] = lambda row: share(row["share_of_float32_peak"])
    return columns


@section("peers", "Training against PyTorch, pythae and Keras's example")
def peers(rows):
    """Yields the section on training against other frameworks."""
    yield (
        "How many times as many images a second ours trains, on images of digits; the same "
        "architecture, weights, batch and threads, taking turns in one process; parameter "
        f"counts and losses were compared first. {MEDIANS} Ours runs with its data pipeline "
        "and guard; PyTorch has its batches in memory, channels last; all of them take Adam, "
        "PyTorch a fused one; "
        "pythae's trainer knows no bfloat16 on a CPU.\n"
    )
    yield table(peers_columns(rows), rows)


THROUGHPUT = {
    "device": "{device}",
    "model": "`{model}`",
    "precision": "{precision}",
    "batch": "{batch_size}",
    "training, images/s": lambda row: speed(row["train"]),
    "sampling, images/s": lambda row: speed(row["sample"]),
    "MFLOP/image": mflop,
    "share of peak": lambda row: share(row["share_of_peak"]),
    "memory": lambda row: f"{row['peak_memory_bytes'] / 1e9:.2f} GB",
}


@section("throughput", "Throughput")
def throughput(rows):
    """Yields the section on every model's speed."""
    yield (
        "Images a second of training and of sampling, arithmetic of a training step counted "
        "from its graph, its share of the matrix-product peak of that device and precision "
        "in the same process, and peak memory. Steps are Adam's; the training command takes "
        f"Muon's, which last longer. {MEDIANS}\n"
    )
    yield table(THROUGHPUT, rows)


_INPUT = {
    "pipeline": "the pipeline alone",
    "step": "training on one batch, again and again",
    "loop": "training on the pipeline's batches",
    "command": "the command over {epochs} epochs, validation, checkpoints and logs included",
}


@section("input", "The data pipeline, and the command")
def input(figures):
    """Yields the section on the data pipeline."""
    yield (
        f"`{figures['model']}` on {figures['dataset']}, binarization "
        f"{figures['binarization']}, batches of {figures['batch_size']}; images a second. "
        f"{MEDIANS}\n"
    )
    speeds = {**figures["speed"], "command": figures["command"]}
    rows = [
        {"what": what.format(**figures), "speed": speed(speeds[name])}
        for name, what in _INPUT.items()
    ]
    yield table({"what": "{what}", "images/s": "{speed}"}, rows)
    yield (
        f"Pipeline's time to a step's: {interval(figures['pipeline_share_of_step'])}. The "
        f"command to the bare step next to it: {interval(figures['command_to_step'])}, the "
        f"least and the greatest of {len(figures['command']['values'])} runs.\n"
    )


_LIKELIHOOD = {
    "": "{name}",
    "samples/s": "{speed}",
    "ms an image": "{milliseconds:.1f}",
    "NLL": "{nll:.2f}",
}


@section("likelihood", "Importance-weighted likelihood")
def likelihood(figures):
    """Yields the section on importance-weighted samples a second."""
    samples = figures["num_samples"]
    ratios = ", ".join(
        f"{interval(ratio)} times {name.replace('_', ' at batch size ')}"
        for name, ratio in figures["ratio"].items()
    )
    yield (
        f"An MLP of {'-'.join(map(str, figures['network']))}, {samples:,} "
        f"samples of {figures['num_images']} images of {figures['dataset']}: ours {ratios} "
        f"(`get_nll`); {share(figures['share_of_float32_peak'])} of the float32 peak. "
        f"{MEDIANS}\n"
    )
    rows = [
        {
            "name": words(name),
            "speed": speed(found),
            "milliseconds": 1000 * samples / found["median"],
            "nll": figures["nll"][name],
        }
        for name, found in figures["samples_per_second"].items()
    ]
    yield table(_LIKELIHOOD, rows)


@section("latency", None)
def latency(figures):
    """Yields the sections on the decoder's and the sampler's latency."""
    for what, title in (("decode", "decoder"), ("sample", "sampler")):
        # Where a row does not say, it is the decoder's.
        rows = [row for row in figures if row.get("what", "decode") == what]
        if rows:
            yield f"## Latency of the {title}\n"
            yield from _latency(rows)


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
    columns = {"": lambda name: words(name["name"])}
    for row in rows:
        columns[f"batch {row['batch_size']}"] = lambda name, row=row: milliseconds(
            row["latency"][name["name"]]
        )
    yield table(columns, [{"name": name} for name in rows[0]["latency"]])


def milliseconds(figures):
    """Returns a candidate's p50, p99 and first call, or why there are none."""
    if "not_measured" in figures:
        return not_measured(figures)
    return f"{figures['p50']['median']:.3f} ({figures['p99']:.3f}; {figures['first_ms']:.1f})"


@section("memory", "Memory")
def memory(figures):
    """Yields the section on memory."""
    yield (
        f"`python -m vae_zoo.train --model={figures['model']}`: "
        f"{figures['peak_bytes'] / 1e9:.2f} GB resident at the peak.\n"
    )


def words(name):
    """Returns a candidate's name as words."""
    return name.replace("_", " ")
