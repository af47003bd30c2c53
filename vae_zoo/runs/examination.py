"""The figures and pictures behind the page of a run; runs.sections makes the page of them."""

from typing import Any, NamedTuple

import numpy as np

from vae_zoo import memory
from vae_zoo.metrics import (
    codes,
    coverage,
    disentanglement,
    geometry,
    latent_space,
    sample_quality,
    scores,
    total_correlation,
)
from vae_zoo.probability import noise
from vae_zoo.runs import plots

_FEATURES = 50  # principal components of pixels, in which distances are taken
_REFERENCE = 2000  # training images of the distances, at most
_SHOWN = 10  # images in a row
_JOINED = 4  # pairs of prior draws that paths of each kind join
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
        other: Codes of images of another data set, or None.
    """

    figures: dict
    codes: Any
    labels: Any
    label_names: Any
    changes: Any
    pictures: dict
    other: Any = None


def examine(model, splits, *, num_images, num, seed=0, other=None, progress=None):
    """Returns the Examination of a model.

    Args:
        model: a VAE.
        splits: its data.
        num_images: test images, at most.
        num: samples of the prior.
        seed: of samples and paths.
        other: Splits of images that are not of the data, which the model should find odd.
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
        "samples": _against_data(splits, len(images), samples),
        "distances": _distances(splits, samples, seed),
        "linear_probe": codes.linear_probe(found, labels, seed),
    }
    if found.mean is not None:
        if model.prior_name == "standard":
            names = ("mean", "deviation")
            pairs = zip(names, codes.aggregate(found), strict=True)
            figures["aggregate_posterior"] = {name: value.tolist() for name, value in pairs}
            if statistics.rate_per_dimension is not None:
                split = total_correlation.rate_split(found.mean, found.deviation, seed)
                figures["rate_split"] = split
        if splits.factors("train") is not None:
            figures["disentanglement"] = disentangled(model, splits, seed)
    changes = None
    if model.decodes_z:
        changes = latent_space.path_changes(model, seed=seed)
        figures["change_per_step"] = _summary(changes[0].ravel())
    progress(0.8)
    pictures = _pictures(model, images, labels, found, samples, splits, changes, seed)
    if changes is not None:
        figures["geometry"], pictures["paths"] = _geometry(model, seed)
    progress(0.9)
    odd = None
    if other is not None:
        odd = codes.of_images(model, other.images("test", num_images), seed=seed)
        figures["other"] = {"dataset": other.name, **_told_apart(found, odd)}
    progress(1.0)
    return Examination(figures, found, labels, splits.label_names, changes, pictures, odd)


def _draw(model, num, seed):
    rows, labels = noise.rows(seed, num), latent_space.cycle_labels(model, num)
    return memory.in_batches(
        model.generate, rows, labels, image_shape=model.image_shape, most=_DRAWN
    )


def _against_data(splits, count, samples):
    """Returns how samples lie among real images, and how the first test images do.

    Samples are means, and so are compared with images before they are made binary: any mean image
    lies in the midst of binary ones, that of a collapsed model above all.
    """
    from sklearn.decomposition import PCA

    parts = _grey(splits, "train", _REFERENCE), _grey(splits, "test", min(count, len(samples)))
    flat = [_flat(part) for part in (*parts, samples)]
    pca = PCA(min(_FEATURES, *flat[0].shape), random_state=0).fit(flat[0])
    training, images, samples = (pca.transform(part) for part in flat)
    count = min(len(training), len(samples), len(images))
    return {
        "features": int(pca.n_components_),
        **coverage.fidelity_and_diversity(training[:count], samples[:count]),
        "real": coverage.fidelity_and_diversity(training[:count], images[:count]),
        "memorisation": coverage.memorisation(samples, training, images),
    }


def disentangled(model, splits, seed=0):
    """Returns the scores of metrics.disentanglement, of training images.

    Args:
        model: a VAE that decodes z.
        splits: data whose factors are known.
        seed: of the scores.
    """
    count = disentanglement.IMAGES
    mean, deviation = codes.posteriors(
        model, splits.images("train", count), splits.labels("train", count), seed
    )
    factors = splits.factors("train", count)
    names = list(splits.factor_names or map(str, range(1, factors.shape[1] + 1)))
    found = disentanglement.scores(mean, deviation, factors, seed)
    return {"factors": names, "num_images": len(mean), **found}


def _geometry(model, seed):
    """Returns figures of the decoder's geometry, and a picture of paths between prior draws."""
    labels = latent_space.cycle_labels(model, _JOINED)
    rows = noise.rows(seed, 2 * _JOINED)
    starts, ends = (
        np.asarray(model.sample_prior(part, labels)) for part in (rows[:_JOINED], rows[_JOINED:])
    )
    paths = geometry.interpolation_paths(model, starts, ends, steps=_SHOWN, label=labels)
    values = geometry.singular_values(model, seed=seed)
    figures = {"lengths": {name: length.tolist() for name, (_, length) in paths.items()}}
    if values is not None:
        figures["largest_singular_value"] = _summary(values[:, 0])
        figures["singular_values"] = np.median(values, axis=0).tolist()
    first = np.concatenate([path[0] for path, _ in paths.values()])
    label = None if labels is None else np.repeat(labels[:1], len(first))
    images = memory.in_batches(model.decode, first, label, image_shape=model.image_shape)
    caption = "One pair of prior draws, joined by a straight, a spherical and a geodesic path."
    return figures, (plots.tiled(images, _SHOWN), caption)


def _told_apart(own, other):
    """Returns the AUROC of each score: how well it tells other images from the data's own."""
    anomalous = np.arange(len(own.elbo) + len(other.elbo)) >= len(own.elbo)
    columns = {
        "negative_elbo": (-own.elbo, -other.elbo),
        "rate": (own.rate, other.rate),
        "distortion": (own.distortion, other.distortion),
    }
    auroc = {
        name: scores.auroc(np.concatenate(pair), anomalous) for name, pair in columns.items()
    }
    return {"num_images": len(other.elbo), "auroc": auroc, "elbo": _summary(other.elbo)}


def _distances(splits, samples, seed):
    """Returns Frechet and kernel distances; of images before they are made binary."""
    fitted, tested = sample_quality.FITTED, sample_quality.TESTED
    train = splits.raw("train")[:fitted], splits.labels("train", fitted)
    return sample_quality.distances(samples, train, splits.raw("test")[:tested], seed)


def _grey(splits, split, count):
    """Returns the first images of a split before they are made binary, in [0, 1]."""
    return splits.raw(split)[:count] / np.float32(255)


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
    training = _grey(splits, "train", _REFERENCE)
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
        rates = latent_space.statistics(model, images[:64], None if labels is None else labels[:64])
        order = np.arange(model.latent_size)
        if rates.rate_per_dimension is not None:
            order = np.argsort(rates.rate_per_dimension)[::-1]
        rows = latent_space.traversals(model, seed=seed, dimensions=order[:12])
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
