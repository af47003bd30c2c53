"""RESULTS.md's sections: each takes all results, and yields what it says of those of its kind."""

from benchmarks.markdown import MEDIANS, interval, nll, provenance, share, speed, table


def of(name, results):
    """Returns the results of a benchmark."""
    return [result for result in results if result["benchmark"] == name]


_ZOO = {
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
            yield table(_ZOO, same)
            yield provenance([row["origin"] for row in same])


_IMAGES = {
    "data": "{dataset}",
    "model": "`{model}`",
    "minutes": "{minutes:.1f}",
    "steps": "{steps:,}",
    "bits/dim": lambda row: f"{row['bits_per_dim']:.2f}" + " (a bound)" * row["is_bound"],
    "PSNR, dB": "{reconstruction[psnr]:.1f}",
    "mean colour, dB": "{reconstruction[psnr_mean_colour]:.1f}",
    "completeness": "{completeness[share]:.0%}",
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
            "The training command with its defaults and `--minutes`; the first "
            f"{rows[0]['num_images']:,} test images. PSNR of the test images' reconstructions, "
            "next to that of each image's own mean colour; completeness: the share of prior "
            "samples that a classifier is surely of one class of, next to the same share of real "
            "test images.\n"
        )
        yield table(_IMAGES, rows)
        yield provenance([row["origin"] for row in rows])


def peers(results):
    """Yields the section on training against other frameworks."""
    for result in of("peers", results):
        rows = result["figures"]
        yield "## Training against PyTorch, pythae and Keras's example\n"
        yield (
            "How many times as many images a second ours trains, on images of digits; the same "
            "architecture, weights, batch and threads, taking turns in one process; parameter "
            f"counts and losses were compared first. {MEDIANS} Ours runs with its data pipeline "
            "and guard; PyTorch has its batches in memory, channels last, and a fused Adam; "
            "pythae's trainer knows no bfloat16 on a CPU.\n"
        )
        columns = {"model": "`{model}`", "batch": "{batch_size}", "precision": "{precision}"}
        for name in dict.fromkeys(name for row in rows for name in row.get("ratio", {})):
            columns[f"to {words(name)}"] = lambda row, name=name: interval(row["ratio"][name])
        columns["ours, images/s"] = "{images_per_second[vae_zoo][median]:,.0f}"
        columns["share of float32 peak"] = lambda row: share(row["share_of_float32_peak"])
        yield table(columns, rows)
        yield provenance([result])


_THROUGHPUT = {
    "device": "{device}",
    "model": "`{model}`",
    "precision": "{precision}",
    "batch": "{batch_size}",
    "training, images/s": lambda row: speed(row["train"]),
    "sampling, images/s": lambda row: speed(row["sample"]),
    "MFLOP/image": lambda row: f"{row['flops_per_image'] / 1e6:,.1f}",
    "share of peak": lambda row: share(row["share_of_peak"]),
    "memory": lambda row: f"{row['peak_memory_bytes'] / 1e9:.2f} GB",
}


def throughput(results):
    """Yields the section on every model's speed."""
    for result in of("throughput", results):
        yield "## Throughput\n"
        yield (
            "Images a second of training and of sampling, arithmetic of a training step counted "
            "from its graph, its share of the matrix-product peak of that device and precision "
            f"in the same process, and peak memory. {MEDIANS}\n"
        )
        yield table(_THROUGHPUT, result["figures"])
        yield provenance([result])


_INPUT = {
    "pipeline": "the pipeline alone",
    "step": "training on one batch, again and again",
    "loop": "training on the pipeline's batches",
    "command": "the command over {epochs} epochs, validation, checkpoints and logs included",
}


def input(results):
    """Yields the section on the data pipeline."""
    for result in of("input", results):
        figures = result["figures"]
        yield "## The data pipeline, and the command\n"
        yield (
            f"`{figures['model']}` on {figures['dataset']}, binarization "
            f"{figures['binarization']}, batches of {figures['batch_size']}; images a second. "
            f"{MEDIANS}\n"
        )
        speeds = {**figures["speed"], "command": figures["command"]}
        rows = [
            {"what": what.format(**figures), "images/s": speed(speeds[name])}
            for name, what in _INPUT.items()
        ]
        yield table({"what": "{what}", "images/s": "{images/s}"}, rows)
        yield (
            f"Pipeline's time to a step's: {interval(figures['pipeline_share_of_step'])}. The "
            f"command to the bare step next to it: {interval(figures['command_to_step'])}, the "
            f"least and the greatest of {len(figures['command']['values'])} runs.\n"
        )
        yield provenance([result])


_LIKELIHOOD = {
    "": "{name}",
    "samples/s": "{speed}",
    "ms an image": "{milliseconds:.1f}",
    "NLL": "{nll:.2f}",
}


def likelihood(results):
    """Yields the section on importance-weighted samples a second."""
    for result in of("likelihood", results):
        figures = result["figures"]
        samples = figures["num_samples"]
        ratios = ", ".join(
            f"{interval(ratio)} times {name.replace('_', ' at batch size ')}"
            for name, ratio in figures["ratio"].items()
        )
        yield "## Importance-weighted likelihood\n"
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
        yield provenance([result])


def words(name):
    """Returns a candidate's name as words."""
    return name.replace("_", " ")
