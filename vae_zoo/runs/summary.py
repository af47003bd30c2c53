"""A run's figures as the lines that the commands print."""

import pathlib

from vae_zoo.runs import finished


def summary(directory, report):
    """Returns lines: the bound, the two properties, the training, the pictures, what next."""
    pictures = sorted(path.name for path in pathlib.Path(directory).glob("*.png"))
    lines = [
        *likelihood_lines(report),
        *_reconstruction_lines(report),
        _property_line(report),
        *_total_correlation_lines(report),
        _training_line(report),
        *(f"Note: {sentence}" for sentence in report["advice"]),
        f"Pictures in {directory}: {', '.join(pictures)}",
        *finished.next_steps(directory),
    ]
    return "\n".join(lines)


def likelihood_lines(report):
    """Returns `likelihood_line`, and a warning where few of the importance samples count."""
    warning = report.get("nll_warning")
    return [likelihood_line(report), *([f"WARNING: {warning}"] if warning else [])]


def likelihood_line(report):
    """Returns the line that says the bound, its parts, and the NLL with its standard error."""
    source = (
        f"{report['num_images']} {report['split']} images of {report['dataset']}, "
        f"binarization {report['binarization']}"
    )
    if "bce" in report:
        return (
            f"Cross-entropy on grey values (BCE, not a likelihood): {report['bce']:.2f} nats, "
            f"rate {report['rate']:.2f} ({source})"
        )
    parts = f"rate {report['rate']:.2f}{_layers(report)}, distortion {report['distortion']:.2f}"
    bits = f", {report['bits_per_dim']:.3f} bits/dim" if "bits_per_dim" in report else ""
    nll = _kind(report)
    return (
        f"ELBO {report['elbo']:.2f} nats ({parts}); NLL {report['nll']:.2f}{_stderr(report)} "
        f"({nll}){bits}, {source}"
    )


def _kind(report):
    """Returns what an NLL is: given the label, a density; a bound, or of how many samples."""
    given = "given the label, " if report.get("given_label") else ""
    given += "of a density, not of 8-bit images, " if report.get("is_density") else ""
    if report["is_bound"]:
        return f"{given}a bound"
    effective = report.get("effective_sample_size")
    counted = "" if effective is None else f" of which {effective:.1f} count"
    return f"{given}{report['num_samples']} importance samples{counted}"


def _stderr(report):
    """Returns " +- 0.12", or nothing for a single image, which has no standard error."""
    stderr = report.get("nll_stderr")
    return "" if stderr is None or stderr != stderr else f" +- {stderr:.2f}"


def _layers(report):
    """Returns the rate of each layer of a hierarchy, top first, as words."""
    rates = report.get("rate_per_layer")
    return f" = {' + '.join(f'{rate:.2f}' for rate in rates)} from the top down" if rates else ""


def _reconstruction_lines(report):
    """Returns a line on reconstructions of 8-bit images, or none."""
    near = report.get("reconstruction")
    if not near or near["psnr"] is None or near["psnr_mean_colour"] is None:
        return []
    return [
        f"Reconstructions: {near['psnr']:.1f} dB; each image's mean colour alone: "
        f"{near['psnr_mean_colour']:.1f} dB (higher is nearer)"
    ]


def _property_line(report):
    steady, complete = report["continuity"], report["completeness"]
    first = (
        f"Continuity: change of image per step in z {steady['median']:.2f}, "
        f"95th percentile {steady['p95']:.2f}"
        if steady.get("median") is not None
        else f"Continuity: {steady['reason']}"
    )
    second = (
        f"completeness: {100 * complete['share']:.0f}% of {complete['num_samples']} prior samples "
        f"are surely one of the classes{_to_compare(complete)}, {complete['classes_seen']} of "
        f"{complete['classes']} appear{_diversity(complete)}"
        if complete.get("share") is not None
        else f"completeness: absent ({complete['reason']})"
    )
    return f"{first}; {second}"


def _total_correlation_lines(report):
    """Returns a line on the dependence of latents, of a model that penalises it, or none."""
    found = report.get("total_correlation")
    if not found:
        return []
    return [
        f"Total correlation of the latents: between {found['low']:.2f} and {found['high']:.2f} "
        f"nats, from the posteriors of {found['num_images']:,} training images (the penalty "
        "that was trained estimates it from a batch, with a bias of a nat or more)"
    ]


def _to_compare(complete):
    """Returns the same share of reconstructions and of real images, as words, where measured."""
    names = {"reconstruction_share": "reconstructions", "test_share": "real test images"}
    known = {name: complete[key] for key, name in names.items() if key in complete}
    shares = [f"{name}: {100 * share:.0f}%" for name, share in known.items()]
    return f" ({', '.join(shares)})" if shares else ""


def _diversity(complete):
    """Returns how far apart samples of a class lie, as words, where two of one class were found."""
    share = complete.get("diversity")
    if share is None:
        return ""
    return f"; samples of a class lie {100 * share:.0f}% as far apart as real images do"


def _training_line(report):
    return (
        f"Trained {report['epochs']} epochs in {report['minutes']:.1f} min "
        f"({report['images_per_second']:,.0f} images/s), {finished.chosen(report)}; "
        f"{_use_of_latents(report)}; {report['skipped']} steps skipped, "
        f"{report['restarts']} restarts"
        + "".join(f". WARNING: {note}" for note in report["notes"] if "skipped" in note)
    )


def _use_of_latents(report):
    if "codebook_perplexity" in report:
        return f"codebook perplexity {report['codebook_perplexity']:.1f}"
    return f"{report.get('active_units', 'no')} active units"
