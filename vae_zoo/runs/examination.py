"""What the page of a run says: figures of a trained model, and the sections made of them."""

from typing import Any, NamedTuple

import numpy as np

from vae_zoo import memory
from vae_zoo.metrics import codes, coverage, latent_space
from vae_zoo.probability import noise
from vae_zoo.runs import page, plots

_FEATURES = 50  # principal components of pixels, in which distances are taken
_REFERENCE = 2000  # training images of the distances, at most
_SHOWN = 10  # images in a row
_COLLAPSED = 0.01  # nats of a dimension that holds nothing
_DRAWN = 250  # samples at once


class Examination(NamedTuple):
    """What was found of a model.

    Attributes:
        figures: of the page's JSON.
        codes: metrics.codes.Codes of test images.
        labels: of those, or None.
        label_names: of the classes, or None.
        changes: of metrics.latent_space.path_changes, or None.
        pictures: {name: (pixels [H, W, 3], caption)}.
    """

    figures: dict
    codes: Any
    labels: Any
    label_names: Any
    changes: Any
    pictures: dict


def examine(model, splits, *, num_images, num, seed=0, progress=None):
    """Returns the Examination of a model.

    Args:
        model: a VAE.
        splits: its data.
        num_images: test images, at most.
        num: samples of the prior.
        seed: of samples and paths.
        progress: called with the share that is done.
    """
    progress = progress or (lambda share: None)
    images, labels = splits.images("test", num_images), splits.labels("test", num_images)
    found = codes.of_images(
        model, images, labels, seed=seed, progress=lambda share: progress(0.4 * share)
    )
    statistics = latent_space.statistics(
        model, images[:_DRAWN], None if labels is None else labels[:_DRAWN], seed=seed
    )
    progress(0.5)
    samples = _draw(model, num, seed)
    progress(0.7)
    figures = {
        "num_images": len(images),
        "num_samples": num,
        "elbo": _summary(found.elbo),
        "rate": _summary(found.rate),
        "distortion": _summary(found.distortion),
        "rate_per_dimension": statistics.rate_per_dimension,
        "samples": _against_data(splits, images, samples),
        "linear_probe": codes.linear_probe(found, labels, seed),
    }
    if found.mean is not None:
        mean, deviation = codes.aggregate(found)
        figures["aggregate_posterior"] = {"mean": mean.tolist(), "deviation": deviation.tolist()}
    changes = None
    if model.decodes_z:
        changes = latent_space.path_changes(model, seed=seed)
        figures["change_per_step"] = _summary(changes[0].ravel())
    progress(0.9)
    pictures = _pictures(model, images, labels, found, samples, splits, changes, seed)
    progress(1.0)
    return Examination(figures, found, labels, splits.label_names, changes, pictures)


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
    yield from _completeness(found)
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


def _codes(found):
    if found.codes.mean is None:
        return
    yield page.heading("The codes")
    aggregate = found.figures["aggregate_posterior"]
    yield page.paragraph(
        "Together, the posteriors of all images should fill the prior, a normal of mean 0 and "
        "deviation 1 in each dimension. Where they do not, prior draws land where no image was: "
        "the model draws something that it never learned (Hoffman and Johnson, 2016)."
    )
    yield page.bars(
        aggregate["mean"], "Mean of the aggregate posterior (prior: 0)", "dimension", "mean"
    )
    yield page.bars(
        aggregate["deviation"],
        "Deviation of the aggregate posterior (prior: 1)",
        "dimension",
        "deviation",
    )
    yield page.scatter(_groups(found), "Posterior means, in their two main directions.")
    probe = found.figures["linear_probe"]
    if "accuracy" in probe:
        yield page.paragraph(
            "A linear classifier reads the label out of the code in "
            f"{100 * probe['accuracy']:.0f}% of {probe['num_images']} images (the largest class "
            f"alone: {100 * probe['chance']:.0f}%)."
        )
    yield from _named(found, "traversals")


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


def _completeness(found):
    yield page.heading("Completeness")
    against = found.figures["samples"]
    yield page.paragraph(
        "Every draw from the prior should decode to something that could be an image of the data, "
        "and all kinds of images should appear. Samples are the means that the decoder gives; "
        f"distances are taken in {against['features']} principal components of the pixels."
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


def _training(rows):
    if not rows:
        return
    yield page.heading("The training")
    for name in ("elbo", "rate", "distortion"):
        series = {"training": name, "validation": f"val_{name}"}
        curves = {words: _column(rows, key) for words, key in series.items()}
        yield page.lines(curves, f"{name} of each epoch", "epoch", "nats")


def _column(rows, key):
    """Returns (epoch, number) of a column of metrics.csv; what is no number is left out."""
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


def _draw(model, num, seed):
    rows, labels = noise.rows(seed, num), latent_space.cycle_labels(model, num)
    return memory.in_batches(
        model.generate, rows, labels, image_shape=model.image_shape, most=_DRAWN
    )


def _against_data(splits, images, samples):
    """Returns how samples lie among real images, and how test images do."""
    from sklearn.decomposition import PCA

    training = splits.images("train", _REFERENCE)
    flat = [_flat(part) for part in (training, images[: len(samples)], samples)]
    pca = PCA(min(_FEATURES, *flat[0].shape), random_state=0).fit(flat[0])
    training, images, samples = (pca.transform(part) for part in flat)
    count = min(len(training), len(samples), len(images))
    return {
        "features": int(pca.n_components_),
        **coverage.fidelity_and_diversity(training[:count], samples[:count]),
        "real": coverage.fidelity_and_diversity(training[:count], images[:count]),
        "memorisation": coverage.memorisation(samples, training, images),
    }


def _flat(images):
    return np.asarray(images, np.float32).reshape(len(images), -1)


def _pictures(model, images, labels, found, samples, splits, changes, seed):
    order = np.argsort(found.distortion)
    shown = np.concatenate([order[: _SHOWN // 2], order[-(_SHOWN // 2) :]])
    label = labels[shown] if model.needs_labels else None
    again = np.asarray(model.reconstruct(images[shown], label))
    pictures = {
        "samples": (plots.tiled(samples[:40], 10), "Draws from the prior."),
        "reconstructions": (
            plots.tiled(np.concatenate([images[shown], again]), len(shown)),
            "Test images and their reconstructions: the five of least distortion, then the five "
            "of most.",
        ),
    }
    training = splits.images("train", _REFERENCE)
    rows, _ = coverage.nearest_neighbours(_flat(samples[:_SHOWN]), _flat(training))
    pictures["neighbours"] = (
        plots.tiled(np.concatenate([samples[:_SHOWN], training[rows]]), _SHOWN),
        f"Samples, and below each the nearest of {len(training):,} training images.",
    )
    if changes is not None:
        worst = changes[0].max(axis=1).argsort()
        for name, path in (("smoothest", worst[0]), ("roughest", worst[-1])):
            caption = f"The {name} of {len(worst)} paths between prior draws."
            pictures[name] = (plots.tiled(changes[1][path], len(changes[1][path])), caption)
        rows = latent_space.traversals(model, seed=seed)
        rates = latent_space.statistics(model, images[:64], None if labels is None else labels[:64])
        order = np.arange(len(rows))
        if rates.rate_per_dimension is not None:
            order = np.argsort(rates.rate_per_dimension)[::-1]
        rows = rows[order[:12]]
        pictures["traversals"] = (
            plots.tiled(rows.reshape(-1, *rows.shape[2:]), rows.shape[1]),
            "One latent dimension a row, from -3 to 3; those of the highest rate first.",
        )
    return pictures


def _summary(values):
    values = np.asarray(values, np.float64)
    low, median, high = np.percentile(values, (5, 50, 95))
    spread = {"p5": float(low), "median": float(median), "p95": float(high)}
    return {"mean": float(values.mean()), **spread}


def _cell(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else value
