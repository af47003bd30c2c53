"""Completeness: whether what the prior's draws decode to are images of one of the classes."""

import numpy as np

from vae_zoo import noise

_SURE = 0.9
_TESTED = 2_000
FITTED = 10_000  # training images that the classifier takes, at most
_COMPONENTS = 40
_FOLDS = 3  # of the cross-validation behind the probabilities
_MOST_CLASSES = 100  # a machine each
_SCRAMBLED = 10  # training images for each scrambled one
_BATCH = 250


def completeness(model, images, labels, test_images=None, test_labels=None, *, num=200, seed=0):
    """Returns the share of prior samples that a classifier is sure of, and what it rests on.

    The classifier is a support vector machine with a Gaussian kernel on 40 principal components
    for each class against all other images, fitted to at most 10,000 training images, its scores
    turned into probabilities by cross-validation. These are not made to sum to one: of an image
    that is like none of the classes no machine is sure. Among the other images are some that are
    none: every pixel of another training image. How sure the classifier is of real held-out
    images comes with the figure (`test_share`), as the value to compare with; noise of any kind,
    plain grey and the mean image score 0.

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
        classes among those, "classes", "sure": 0.9, "test_accuracy", "test_share"}, and for a
        conditional model "label_agreement": the share of samples classified as asked for.
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
    asked = _asked_labels(model, num)
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
    if asked is not None:
        figures["label_agreement"] = float((found == asked).mean())
    if test_images is not None and test_labels is not None:
        figures.update(_reference(classifier, classes, test_images, test_labels))
    return figures


def fit_classifier(images, labels, seed=0):
    """Returns a function images -> probability of each class [N, classes]; see `completeness`.

    Args:
        images: float [N, H, W, C] in [0, 1].
        labels: int [N].
        seed: of the scrambled images.
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.decomposition import PCA
    from sklearn.svm import SVC

    flat = images.reshape(len(images), -1)
    pca = PCA(min(_COMPONENTS, *flat.shape), random_state=seed).fit(flat)
    features = pca.transform(np.concatenate([flat, _scrambled(flat, seed)]))
    label = np.concatenate([labels, np.full(len(features) - len(flat), -1)])
    machines = [
        CalibratedClassifierCV(SVC(C=10), ensemble=False, cv=_FOLDS).fit(features, label == one)
        for one in np.unique(labels)
    ]

    def probabilities(some):
        features = pca.transform(np.asarray(some).reshape(len(some), -1))
        return np.stack([machine.predict_proba(features)[:, 1] for machine in machines], axis=1)

    return probabilities


def _scrambled(flat, seed):
    """Returns images whose every pixel is that of another training image, [n, pixels].

    Principal components see them near the mean image, which is near to every class at once.
    """
    count, pixels = flat.shape
    rows = np.random.default_rng(seed).integers(0, count, (count // _SCRAMBLED + 1, pixels))
    return flat[rows, np.arange(pixels)]


def _why_not(classes, counts):
    if len(classes) < 2:
        return "the data set has a single class"
    if len(classes) > _MOST_CLASSES:
        return f"the data set has more than {_MOST_CLASSES} classes"
    return f"a class has fewer than {_FOLDS} training images"


def _asked_labels(model, count):
    if not model.needs_labels:
        return None
    return np.arange(count, dtype=np.int32) % model.num_classes


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
