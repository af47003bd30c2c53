"""Completeness: whether what the prior's draws decode to are images of one of the classes."""

import numpy as np

from vae_zoo.metrics import diversity, latent_space
from vae_zoo.probability import noise

_SURE = 0.9
_TESTED = 2_000
FITTED = 10_000  # training images that the classifier takes, at most
_COMPONENTS = 40
_FOLDS = 3  # of the cross-validation behind the probabilities
_MOST_CLASSES = 100
_NO_CLASS = 10  # training images for each image of a kind that is none
_BATCH = 250


def completeness(model, images, labels, test_images=None, test_labels=None, *, num=200, seed=0):
    """Returns the share of prior samples that a classifier is sure of, and what it rests on.

    The classifier is a support vector machine with a Gaussian kernel on 40 principal components,
    fitted to at most 10,000 training images, its scores turned into probabilities by
    cross-validation. It has one class more than the data: images that are none (scrambled ones,
    noise, plain grey, the mean image), so that it is sure of no such thing. How sure it is of real
    held-out images comes with the figure (`test_share`), as the value to compare with. A share
    above it says that samples are more typical than real images are; a few images known by heart
    reach it too. So read it with `diversity`; see metrics.diversity.

    Args:
        model: a VAE.
        images: training split, float [N, H, W, C] in [0, 1].
        labels: int [N], or None.
        test_images: held-out images.
        test_labels: their labels.
        num: prior samples; a conditional model draws each class in turn.
        seed: of the samples and of the choice of training images.

    Returns:
        {"share": of samples with a class of probability 0.9 or more, "num_samples", "classes_seen":
        classes among those, "classes", "sure": 0.9, "diversity": of the sure samples, None where no
        class has two of them, "test_accuracy", "test_share"}, and for a conditional model
        "label_agreement": the share of samples classified as asked for.
        {"reason"} where the labels are of no use.
    """
    if labels is None:
        return {"reason": "the data set has no labels"}
    chosen = np.random.default_rng(seed).permutation(len(images))[:FITTED]
    images, labels = np.asarray(images)[chosen], np.asarray(labels)[chosen]
    classes, counts = np.unique(labels, return_counts=True)
    if not 2 <= len(classes) <= _MOST_CLASSES or counts.min() < _FOLDS:
        return {"reason": _why_not(classes, counts)}
    classifier = fit_classifier(images, labels, seed)
    asked = latent_space.cycle_labels(model, num)
    samples = _generate(model, num, asked, seed)
    probabilities = classifier(samples)
    sure, found = probabilities.max(1) >= _SURE, classes[probabilities.argmax(1)]
    figures = {
        "share": float(sure.mean()),
        "num_samples": num,
        "classes_seen": len(np.unique(found[sure])),
        "classes": len(classes),
        "sure": _SURE,
    }
    held_out = test_images is not None and test_labels is not None
    real = (test_images, test_labels) if held_out else (images, labels)
    figures["diversity"] = diversity.within_classes(samples[sure], found[sure], *real)
    if asked is not None:
        figures["label_agreement"] = float((found == asked).mean())
    if held_out:
        figures.update(_reference(classifier, classes, test_images, test_labels))
    return figures


def fit_classifier(images, labels, seed=0):
    """Returns a function images -> probability of each class [N, classes]; see `completeness`.

    Args:
        images: float [N, H, W, C] in [0, 1].
        labels: int [N].
        seed: of the images that are none of the classes.
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.decomposition import PCA
    from sklearn.svm import SVC

    flat = images.reshape(len(images), -1)
    none = _no_class(flat, seed)
    pca = PCA(min(_COMPONENTS, *flat.shape), random_state=seed).fit(flat)
    features = pca.transform(np.concatenate([flat, none]))
    classes = np.unique(labels, return_inverse=True)[1]
    label = np.concatenate([classes, np.full(len(none), classes.max() + 1)])
    machine = CalibratedClassifierCV(SVC(C=10), ensemble=False, cv=_FOLDS).fit(features, label)

    def probabilities(some):
        features = pca.transform(np.asarray(some).reshape(len(some), -1))
        return machine.predict_proba(features)[:, :-1]

    return probabilities


def _no_class(flat, seed):
    """Returns images that are none, [n, pixels]: scrambled ones, noise, plain grey, the mean.

    A scrambled image's every pixel is that of another training image.
    """
    rng = np.random.default_rng(seed)
    count, pixels = len(flat) // _NO_CLASS + _FOLDS, flat.shape[1]
    rows = rng.integers(0, len(flat), (count, pixels))
    grey = rng.random((count, 1))
    return np.concatenate(
        [
            flat[rows, np.arange(pixels)],
            rng.random((count, pixels)),
            (rng.random((count, pixels)) < grey).astype(flat.dtype),
            np.repeat(grey, pixels, axis=1),
            flat.mean(0) * (0.5 + grey),
        ]
    )


def _why_not(classes, counts):
    if len(classes) < 2:
        return "the data set has a single class"
    if len(classes) > _MOST_CLASSES:
        return f"the data set has more than {_MOST_CLASSES} classes"
    return f"a class has fewer than {_FOLDS} training images"


def _generate(model, count, labels, seed):
    rows = noise.rows(seed, count)
    batches = [slice(start, start + _BATCH) for start in range(0, count, _BATCH)]
    return np.concatenate(
        [model.generate(rows[b], None if labels is None else labels[b]) for b in batches]
    )


def _reference(classifier, classes, images, labels):
    probabilities = classifier(images[:_TESTED])
    right = classes[probabilities.argmax(1)] == np.asarray(labels)[:_TESTED]
    return {
        "test_accuracy": float(right.mean()),
        "test_share": float((probabilities.max(1) >= _SURE).mean()),
    }
