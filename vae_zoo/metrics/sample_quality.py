"""Completeness: whether what the prior's draws decode to are images of one of the classes."""

import numpy as np

from vae_zoo import memory
from vae_zoo.metrics import distances as metric
from vae_zoo.metrics import diversity, latent_space
from vae_zoo.metrics.classifier import (
    FITTED,
    FOLDS,
    fit_classifier,
    principal_components,
    shrunk,
)
from vae_zoo.probability import noise

_SURE = 0.9
TESTED = 2_000  # held-out images, at most
_MOST_CLASSES = 100


def completeness(
    model,
    images,
    labels,
    test_images=None,
    test_labels=None,
    *,
    reconstructions=None,
    num=200,
    seed=0,
    classifier=None,
):
    """Returns the share of prior samples that a classifier is sure of, and what it rests on.

    The classifier (see `classifier`) is fitted to at most 10,000 training images. It has one class
    more than the data: images that are none, so that it is sure of no such thing. How sure it is of
    real held-out images comes with the figure (`test_share`), as the value to compare with, and how
    often it is right on them (`test_accuracy`). A share above that of real images says that samples
    are more typical than they are; a few images known by heart reach it too. So read it with
    `diversity`; see metrics.diversity.

    Args:
        model: a VAE.
        images: training split, uint8, or float in [0, 1], [N, H, W, C].
        labels: int [N], or None.
        test_images: held-out images, likewise.
        test_labels: their labels.
        reconstructions: of held-out images, float [N, H, W, C]. Where the classifier is sure of
            them and not of samples, the prior is at fault; of neither, the networks are.
        num: prior samples; a conditional model draws each class in turn.
        seed: of the samples, of the choice of training images and of the classifier.
        classifier: of fit_classifier on these images; None fits one.

    Returns:
        {"share": of samples with a class of probability 0.9 or more, "num_samples", "classes_seen":
        classes among those, "classes", "sure": 0.9, "diversity": of the sure samples, None where no
        class has two of them, "test_accuracy", "test_share"}, with reconstructions
        "reconstruction_share", and for a conditional model "label_agreement": the share of samples
        classified as asked for.
        {"reason"} where the labels are of no use.
    """
    images, labels, reason = _usable(images, labels, seed)
    if reason:
        return {"reason": reason}
    classes = np.unique(labels)
    classifier = classifier or fit_classifier(images, labels, seed)
    held_out = test_images is not None and test_labels is not None
    real = (test_images, test_labels) if held_out else (images, labels)
    figures = _of_samples(model, classifier, classes, real, num, seed)
    if reconstructions is not None:
        figures["reconstruction_share"] = _sure_share(classifier(reconstructions))
    if held_out:
        figures.update(_reference(classifier, classes, test_images, test_labels))
    return figures


def _of_samples(model, classifier, classes, real, num, seed):
    """Returns the figures of prior samples; `real` are images and labels of the data."""
    asked = latent_space.cycle_labels(model, num)
    samples = _generate(model, real[0].shape[1:], num, asked, seed)
    probabilities = classifier(samples)
    sure, found = probabilities.max(1) >= _SURE, classes[probabilities.argmax(1)]
    figures = {
        "share": float(sure.mean()),
        "num_samples": num,
        "classes_seen": len(np.unique(found[sure])),
        "classes": len(classes),
        "sure": _SURE,
        "diversity": diversity.within_classes(samples[sure], found[sure], *real),
    }
    if asked is not None:
        figures["label_agreement"] = float((found == asked).mean())
    return figures


def distances(samples, train, test, seed=0):
    """Returns how far samples are from the data in the features of a classifier of its labels.

    The classifier is that of `completeness`. Where the labels are of no use, the features are the
    principal components of the pixels; the kind of the features comes with the figures.

    Args:
        samples: images of the model, float [N, H, W, C] in [0, 1].
        train: (images, labels or None) of the training split, uint8, or float in [0, 1].
        test: held-out images, uint8, or float in [0, 1]; as many samples are taken, at most.
        seed: of the classifier and of the bootstrap.

    Returns:
        {"features": their kind, "num_images": of the training split, "num_samples", "samples",
        "real": of held-out images; each of the two as metrics.distances.distances says}.
    """
    images, labels, reason = _usable(*train, seed)
    if reason:
        components = principal_components(shrunk(images), seed)
        features, kind = (lambda some: components(shrunk(some))), "principal components"
    else:
        _, features, kind = fit_classifier(images, labels, seed)
    count, real = min(len(samples), len(test)), features(images[:TESTED])
    return {
        "features": kind,
        "num_images": len(real),
        "num_samples": count,
        "samples": metric.distances(real, features(samples[:count]), seed),
        "real": metric.distances(real, features(test[:count]), seed),
    }


def _usable(images, labels, seed):
    """Returns images and labels for a classifier, at most 10,000, and why they are of no use."""
    labels = None if labels is None else np.asarray(labels)
    if len(images) > FITTED:
        chosen = np.sort(noise.generator(seed).permutation(len(images))[:FITTED])
        images, labels = images[chosen], None if labels is None else labels[chosen]
    if labels is None:
        return images, labels, "the data set has no labels"
    classes, counts = np.unique(labels, return_counts=True)
    good = 2 <= len(classes) <= _MOST_CLASSES and counts.min() >= FOLDS
    return images, labels, None if good else _why_not(classes, counts)


def _why_not(classes, counts):
    if len(classes) < 2:
        return "the data set has a single class"
    if len(classes) > _MOST_CLASSES:
        return f"the data set has more than {_MOST_CLASSES} classes"
    return f"a class has fewer than {FOLDS} training images"


def _generate(model, image_shape, count, labels, seed):
    rows = noise.rows(seed, count)
    return memory.in_batches(model.generate, rows, labels, image_shape=image_shape)


def _reference(classifier, classes, images, labels):
    probabilities = classifier(images[:TESTED])
    right = classes[probabilities.argmax(1)] == np.asarray(labels)[:TESTED]
    return {
        "test_accuracy": float(right.mean()),
        "test_share": _sure_share(probabilities),
    }


def _sure_share(probabilities):
    return float((probabilities.max(1) >= _SURE).mean())
