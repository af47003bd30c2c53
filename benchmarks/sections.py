"""RESULTS.md's sections on training: the zoo, peers, throughput, input; and on the likelihood."""

from benchmarks.markdown import given_label, interval, percent, provenance, speed, table

_MEDIANS = "Medians, with the interval that holds the median at 95%."


def zoo(results):
    """Yields the section on every model in equal time."""
    for result in _of("zoo", results):
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
        lines = [["model", "data", "minutes", "epochs", "batch", "ELBO", "NLL", "bits/dim"]
                 + ["active units", "images/s", "samples"]]  # fmt: skip
        machines = {}
        for row in rows:
            machines.setdefault(str(row["origin"]["machine"]), []).append(row)
        for same in machines.values():
            yield table(lines + [_zoo_row(row) for row in same])
            yield provenance([row["origin"] for row in same])


def _zoo_row(row):
    picture = f"benchmarks/results/zoo/{row['model']}-{row['dataset']}.png"
    bound = ", a bound" if row["is_bound"] else ""
    bits = row.get("bits_per_dim")
    units = row.get("active_units")
    return [
        f"`{row['model']}`",
        f"{row['dataset']}, {row['binarization']}",
        f"{row['minutes']:.1f}",
        str(row["epochs"]),
        str(row["batch_size"]),
        f"{row['elbo']:.2f}",
        f"{row['nll']:.2f} ± {row['nll_stderr']:.2f}{given_label(row['model'])}{bound}",
        "" if bits is None else f"{bits:.3f}",
        "" if units is None else str(units),
        f"{row['images_per_second']:,.0f}",
        f"[grid]({picture})",
    ]


def images(results):
    """Yields the section on pictures in colour."""
    for result in _of("images", results):
        rows = result["figures"]
        yield "## Pictures in colour\n"
        yield (
            "The training command with its defaults and `--minutes`; the first "
            f"{rows[0]['num_images']:,} test images. PSNR of the test images' reconstructions, "
            "next to that of each image's own mean colour; completeness: the share of prior "
            "samples that a classifier is surely of one class of, next to the same share of real "
            "test images.\n"
        )
        lines = [["data", "model", "minutes", "steps", "bits/dim", "PSNR, dB", "mean colour, dB"]]
        lines[0] += ["completeness", "real images", "active units", "images/s", "samples"]
        yield table(lines + [_image_row(row) for row in rows])
        yield provenance([row["origin"] for row in rows])


def _image_row(row):
    near, complete = row["reconstruction"], row["completeness"]
    units = row.get("active_units")
    bound = " (a bound)" if row["is_bound"] else ""
    return [
        row["dataset"],
        f"`{row['model']}`",
        f"{row['minutes']:.1f}",
        f"{row['steps']:,}",
        f"{row['bits_per_dim']:.2f}{bound}" if "bits_per_dim" in row else "",
        f"{near['psnr']:.1f}",
        f"{near['psnr_mean_colour']:.1f}",
        percent(complete["share"]) if complete.get("share") is not None else "",
        percent(complete["test_share"]) if complete.get("test_share") is not None else "",
        "" if units is None else str(units),
        f"{row['images_per_second']:,.0f}",
        f"[grid](benchmarks/results/images/{row['picture']})",
    ]


def peers(results):
    """Yields the section on training against other frameworks."""
    for result in _of("peers", results):
        yield "## Training against PyTorch, pythae and Keras's example\n"
        yield (
            "How many times as many images a second ours trains, on images of digits; the same "
            "architecture, weights, batch and threads, taking turns in one process; parameter "
            f"counts and losses were compared first. {_MEDIANS} Ours runs with its data pipeline "
            "and guard; PyTorch has its batches in memory, channels last, and a fused Adam; "
            "pythae's trainer knows no bfloat16 on a CPU.\n"
        )
        ratios = [row.get("ratio", {}) for row in result["figures"]]
        names = list(dict.fromkeys(name for each in ratios for name in each))
        lines = [["model", "batch", "precision", *(f"to {n.replace('_', ' ')}" for n in names)]]
        lines[0] += ["ours, images/s", "share of float32 peak"]
        yield table(lines + [_peer_row(row, names) for row in result["figures"]])
        yield provenance([result])


def _peer_row(row, names):
    named = [f"`{row['model']}`", str(row["batch_size"]), row["precision"]]
    if "not_measured" in row:
        return [*named, row["not_measured"], *[""] * (len(names) + 1)]
    return [
        *named,
        *(interval(row["ratio"][name]) if name in row["ratio"] else "" for name in names),
        f"{row['images_per_second']['vae_zoo']['median']:,.0f}",
        _share(row["share_of_float32_peak"]),
    ]


def throughput(results):
    """Yields the section on every model's speed."""
    for result in _of("throughput", results):
        yield "## Throughput\n"
        yield (
            "Images a second of training and of sampling, arithmetic of a training step counted "
            "from its graph, its share of the matrix-product peak of that device and precision "
            f"in the same process, and peak memory. {_MEDIANS}\n"
        )
        lines = [["device", "model", "precision", "batch", "training, images/s"]
                 + ["sampling, images/s", "MFLOP/image", "share of peak", "memory"]]  # fmt: skip
        yield table(lines + [_throughput_row(row) for row in result["figures"]])
        yield provenance([result])


def _throughput_row(row):
    if "model" not in row:
        return [row["device"], row["not_measured"], *[""] * 7]
    named = [row["device"], f"`{row['model']}`", row["precision"], str(row["batch_size"])]
    if "not_measured" in row:
        return [*named, row["not_measured"], *[""] * 4]
    return [
        *named,
        speed(row["train"]),
        speed(row["sample"]),
        f"{row['flops_per_image'] / 1e6:,.1f}",
        _share(row["share_of_peak"]),
        f"{row['peak_memory_bytes'] / 1e9:.2f} GB",
    ]


def input(results):
    """Yields the section on the data pipeline."""
    for result in _of("input", results):
        figures = result["figures"]
        yield "## The data pipeline, and the command\n"
        yield (
            f"`{figures['model']}` on {figures['dataset']}, binarization "
            f"{figures['binarization']}, batches of {figures['batch_size']}; images a second. "
            f"{_MEDIANS}\n"
        )
        names = {
            "pipeline": "the pipeline alone",
            "step": "training on one batch, again and again",
            "loop": "training on the pipeline's batches",
        }
        lines = [["what", "images/s"]]
        lines += [[text, speed(figures["speed"][name])] for name, text in names.items()]
        command = figures["command"]
        lines.append([f"the command over {figures['epochs']} epochs, validation, checkpoints and "
                      "logs included", speed(command)])  # fmt: skip
        yield table(lines)
        yield (
            f"Pipeline's time to a step's: {interval(figures['pipeline_share_of_step'])}. The "
            f"command to the bare step beside it: {interval(figures['command_to_step'])}, the "
            f"least and the greatest of {len(command['values'])} runs.\n"
        )
        yield provenance([result])


def likelihood(results):
    """Yields the section on importance-weighted samples a second."""
    for result in _of("likelihood", results):
        figures = result["figures"]
        ratios = ", ".join(
            f"{interval(ratio)} times {name.replace('_', ' at batch size ')}"
            for name, ratio in figures["ratio"].items()
        )
        yield "## Importance-weighted likelihood\n"
        yield (
            f"An MLP of {'-'.join(map(str, figures['network']))}, {figures['num_samples']:,} "
            f"samples of {figures['num_images']} images of {figures['dataset']}: ours {ratios} "
            f"(`get_nll`); {_share(figures['share_of_float32_peak'])} of the float32 peak. "
            f"{_MEDIANS}\n"
        )
        lines = [["", "samples/s", "ms an image", "NLL"]]
        for name, figure in figures["samples_per_second"].items():
            milliseconds = 1000 * figures["num_samples"] / figure["median"]
            nll = f"{figures['nll'][name]:.2f}"
            lines.append([name.replace("_", " "), speed(figure), f"{milliseconds:.1f}", nll])
        yield table(lines)
        yield provenance([result])


def _share(figure):
    low, high = (percent(figure[end]) for end in ("low", "high"))
    return f"{percent(figure['median'])} ({low} to {high})"


def _of(name, results):
    return [result for result in results if result["benchmark"] == name]
