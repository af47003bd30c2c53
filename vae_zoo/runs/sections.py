"""What the page of a run says, section by section, of the figures of runs.examination."""

import numpy as np

from vae_zoo.metrics import codes
from vae_zoo.runs import page

_SCORES = (
    ("beta_vae", "BetaVAE: accuracy, from what images with one factor in common share"),
    ("factor_vae", "FactorVAE: accuracy, from the dimension that varies least"),
    ("mig", "MIG of posterior means: mutual information gap"),
    ("mig_samples", "MIG of posterior samples"),
    ("sap", "SAP: gap of the accuracy of linear classifiers"),
    ("dci_disentanglement", "DCI disentanglement: a dimension tells one factor"),
    ("dci_completeness", "DCI completeness: a factor is told by one dimension"),
    ("dci_informativeness", "DCI informativeness: accuracy of a forest"),
    ("modularity", "modularity: a dimension tells of one factor alone"),
    ("irs", "IRS: a dimension stays where other factors change (noise: about 0.3)"),
)
_COLLAPSED = 0.01  # nats of a dimension that holds nothing


def sections(found, reports, rows):
    """Yields the parts of the page.

    Args:
        found: an Examination.
        reports: {name: report.json}, the run's own first.
        rows: of metrics.csv.
    """
    yield page.paragraph(
        "Everything here is measured on the test images, which the training has not seen, or on "
        "draws from the prior.",
        "note",
    )
    yield from _overview(reports)
    yield from _nats(found)
    yield from _codes(found)
    yield from _continuity(found)
    yield from _geometry(found)
    yield from _completeness(found)
    yield from _other(found)
    yield from _training(rows)


def _overview(reports):
    yield page.heading("The figures")
    names = {
        "model": "model",
        "dataset": "data",
        "binarization": "binarisation",
        "elbo": "ELBO, nats",
        "rate": "rate, nats",
        "distortion": "distortion, nats",
        "nll": "negative log-likelihood, nats",
        "bits_per_dim": "bits per dimension",
        "active_units": "active units",
        "parameters": "parameters",
        "epochs": "epochs",
        "minutes": "minutes of training",
    }
    lines = [["", *reports]]
    for key, words in names.items():
        if any(key in report for report in reports.values()):
            lines.append([words, *(_cell(report.get(key)) for report in reports.values())])
    yield page.table(lines)
    for report in reports.values():
        for note in report.get("notes", []):
            yield page.paragraph(note, "note")


def _nats(found):
    yield page.heading("Where the nats go")
    yield page.paragraph(
        "The ELBO of an image is what its reconstruction costs (distortion) and what its code "
        "costs (rate): ELBO = - distortion - rate. Both are in nats."
    )
    yield page.histogram({"rate": found.codes.rate}, "Rate of each test image", "nats")
    yield page.histogram(
        {"distortion": found.codes.distortion}, "Distortion of each test image", "nats"
    )
    yield from _named(found, "reconstructions")
    rates = found.figures["rate_per_dimension"]
    if rates is None:
        return
    yield from _rate_split(found.figures.get("rate_split"))
    ordered = np.sort(rates)[::-1]
    yield page.bars(ordered, "Rate of each latent dimension, sorted", "dimension", "nats")
    unused = int((ordered < _COLLAPSED).sum())
    if unused:
        yield page.paragraph(
            f"{unused} of {len(ordered)} dimensions carry less than {_COLLAPSED} nats: the "
            "posterior has collapsed to the prior there, and the decoder does not look at them. "
            "That is a waste, not an error. A smaller --set latent_size, --set free_bits=0.5 or "
            "--set warmup_steps=4000 change it.",
            "warning",
        )


def _rate_split(split):
    if split is None:
        return
    yield page.paragraph(
        f"The rate, {split['rate']:.2f} nats, has three parts: what the code tells of its image, "
        "how dependent the dimensions are, and how far each one is from the prior (Hoffman and "
        "Johnson, 2016; Chen et al., 2018). They are known up to bounds, which meet where images "
        f"are many; these are of {split['num_images']:,}. Of the last two the lower bound is left "
        "out: it is about the same for good and bad models."
    )
    least = split["mutual_information"]["low"]
    parts = {  # key: (words, at least)
        "mutual_information": ("mutual information of image and code", f"{least:.2f}"),
        "total_correlation": ("total correlation", ""),
        "dimension_wise_kl": ("dimension-wise KL", ""),
    }
    rows = [[*shown, f"{split[key]['high']:.2f}"] for key, shown in parts.items()]
    yield page.table([["nats", "at least", "at most"], *rows])


def _codes(found):
    if found.codes.mean is None:
        return
    yield page.heading("The codes")
    yield from _aggregate(found.figures.get("aggregate_posterior"))
    yield page.scatter(_groups(found), "Posterior means, in their two main directions.")
    probe = found.figures["linear_probe"]
    if "accuracy" in probe:
        yield page.paragraph(
            "A linear classifier reads the label out of the code in "
            f"{100 * probe['accuracy']:.0f}% of {probe['num_images']} images (the largest class "
            f"alone: {100 * probe['chance']:.0f}%)."
        )
    yield from _disentanglement(found.figures.get("disentanglement"))
    yield from _named(found, "traversals")


def _aggregate(figures):
    """Yields how the posteriors of all images fill the prior, where that is N(0, 1)."""
    if figures is None:
        return
    yield page.paragraph(
        "Together, the posteriors of all images should fill the prior, a normal of mean 0 and "
        "deviation 1 in each dimension. Where they do not, prior draws land where no image was: "
        "the model draws something that it never learned (Hoffman and Johnson, 2016)."
    )
    yield page.bars(
        figures["mean"], "Mean of the aggregate posterior (prior: 0)", "dimension", "mean"
    )
    yield page.bars(
        figures["deviation"],
        "Deviation of the aggregate posterior (prior: 1)",
        "dimension",
        "deviation",
    )


def _disentanglement(figures):
    if figures is None:
        return
    yield page.heading("Disentanglement")
    if "reason" in figures:
        yield page.paragraph(f"No score: {figures['reason']}.", "note")
        return
    yield page.paragraph(
        f"Whether each dimension stands for one known factor ({', '.join(figures['factors'])}), "
        f"from the codes of {figures['num_images']:,} training images. All scores are at most 1, "
        "the best. They agree on clear cases alone, and change with the seed of the training."
    )
    yield page.table([["score", ""], *([words, f"{figures[key]:.3f}"] for key, words in _SCORES)])


def _continuity(found):
    if found.changes is None:
        return
    yield page.heading("Continuity")
    yield page.paragraph(
        "A small step in the latent space should be a small, smooth change of the image. For each "
        "step on straight paths between prior draws: the change of the image over the length of "
        "the step, a local Lipschitz constant of the decoder. A long tail to the right means jumps."
    )
    yield page.histogram({"change": found.changes[0].ravel()}, "Change for a step in z", "change")
    yield from _named(found, "smoothest", "roughest")


def _geometry(found):
    figures = found.figures.get("geometry")
    if figures is None:
        return
    lengths = figures["lengths"]
    yield page.paragraph(
        "How far the image moves on the way from one prior draw to another, on paths of three "
        "kinds: straight; spherical, which keeps the distance from 0; geodesic, the path whose "
        "images move least, found from the straight one by its energy."
    )
    table = [["path", *(f"pair {i + 1}" for i in range(len(lengths["straight"])))]]
    table += [[name, *(f"{length:.2f}" for length in of)] for name, of in lengths.items()]
    yield page.table(table)
    yield from _named(found, "paths")
    if "singular_values" not in figures:
        return
    most = figures["largest_singular_value"]
    yield page.bars(
        figures["singular_values"],
        "How far the image moves for a small step in z, by direction, largest first: singular "
        "values of the decoder's Jacobian, medians over prior draws. The largest is the local "
        f"Lipschitz constant: {most['median']:.2f}, for 1 of 20 draws above {most['p95']:.2f}.",
        "direction",
        "change",
    )


def _other(found):
    figures = found.figures.get("other")
    if figures is None:
        return
    yield page.heading("Images of another data set")
    auroc = figures["auroc"]
    yield page.paragraph(
        f"What the model makes of {figures['num_images']:,} images of {figures['dataset']}, which "
        "it was not trained on. The AUROC is how often such an image scores above one of the "
        f"data: {auroc['negative_elbo']:.3f} by the negative ELBO, {auroc['rate']:.3f} by the "
        f"rate, {auroc['distortion']:.3f} by the distortion; 0.5 is chance. Below 0.5, the model "
        "finds them likelier than its own data, as it may where they are simpler (Nalisnick et "
        "al., 2019)."
    )
    yield page.histogram(
        {"own data": -found.codes.elbo, "other": -found.other.elbo},
        f"Negative ELBO of test images: the run's own data, and {figures['dataset']}",
        "nats",
    )


def _completeness(found):
    yield page.heading("Completeness")
    against = found.figures["samples"]
    yield page.paragraph(
        "Every draw from the prior should decode to something that could be an image of the data, "
        "and all kinds of images should appear. Samples are the means that the decoder gives; "
        f"distances are taken in {against['features']} principal components of the pixels, of "
        "images before they are made binary."
    )
    rows = [["", "samples", "real images, the value to compare with"]]
    meaning = {
        "precision": "precision: samples that lie where images lie",
        "recall": "recall: images that lie where samples lie",
        "density": "density: how densely images surround a sample",
        "coverage": "coverage: images that have a sample near them",
    }
    for key, words in meaning.items():
        rows.append([words, f"{against[key]:.2f}", f"{against['real'][key]:.2f}"])
    yield page.table(rows)
    yield from _distances(found.figures["distances"])
    copies = against["memorisation"]
    if copies["ratio"] is not None:
        text = (
            f"The nearest training image of a sample is {copies['ratio']:.2f} times as far as that "
            "of a test image (medians)."
        )
        if copies["ratio"] < 0.5:
            yield page.paragraph(f"{text} Samples seem to be copies of training images.", "warning")
        else:
            yield page.paragraph(text)
    yield from _named(found, "samples", "neighbours")


def _distances(figures):
    kind = figures["features"]
    if kind != "principal components":
        kind += ", trained here to tell the classes of the data"
    yield page.paragraph(
        f"How far {figures['num_samples']:,} images are from {figures['num_images']:,} training "
        f"images, with 95% intervals. Features: {kind}. The figures compare with those of the same "
        "data and the same number of images alone; none compares with a published FID or KID, "
        "whose features are those of another network."
    )
    rows = [["", "samples", "held-out real images, the value to compare with"]]
    names = {"frechet": "Frechet distance", "kernel": "kernel distance (no bias; about 0 is best)"}
    for key, words in names.items():
        rows.append([words, *(_interval(figures[side][key]) for side in ("samples", "real"))])
    yield page.table(rows)


def _interval(figure):
    return "{value:.3g} ({low:.3g} to {high:.3g})".format(**figure)


def _training(rows):
    if not rows:
        return
    yield page.heading("The training")
    for name in ("elbo", "rate", "distortion"):
        series = {"training": name, "validation": f"val_{name}"}
        curves = {words: _column(rows, key) for words, key in series.items()}
        yield page.lines(curves, f"{name} of each epoch", "epoch", "nats")


def _column(rows, key):
    """Returns (epoch, number) of a column of metrics.csv, without entries that are not numbers."""
    pairs = ((row["epoch"], row.get(key)) for row in rows)
    return [pair for pair in pairs if isinstance(pair[1], (int, float))]


def _named(found, *names):
    for name in names:
        if name in found.pictures:
            yield page.picture(*found.pictures[name])


def _groups(found):
    points = codes.plane(found.codes)
    if found.labels is None:
        return {"images": points}
    names = found.label_names or {}
    labels = np.asarray(found.labels)
    return {
        str(names[label] if label < len(names) else label): points[labels == label]
        for label in np.unique(labels)
    }


def _cell(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else value
