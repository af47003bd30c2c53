"""Completeness: whether what the prior's draws decode to are images of one of the classes."""

import numpy as np

from vae_zoo import noise

_SURE = 0.9
_TESTED = 2_000
FITTED = 10_000  # training images that the classifier takes, at most
_COMPONENTS = 40
_BATCH = 250


def completeness(model, images, labels, test_images=None, test_labels=None, *, num=200, seed=0):
    """Returns the share of prior samples that a classifier is sure of, and what it rests on.

    The classifier is a support vector machine with a Gaussian kernel on 40 principal components,
    fitted to at most 10,000 training images, its scores turned into probabilities by
    cross-validation. Far from every training image its kernels vanish and it is sure of nothing,
    where a network's or a linear model's confidence would grow. How sure it is of real held-out
    images comes with the figure (`test_share`), as the value to compare with.

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
        {"reason"} where there are no labels.
    """
    if labels is None:
        return {"reason": "the data set has no labels"}
    classes = np.unique(labels)
    if len(classes) < 2:
        return {"reason": "the data set has a single class"}
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
    """Returns a function images -> class probabilities [N, classes]; see `completeness`.

    Args:
        images: float [N, H, W, C] in [0, 1].
        labels: int [N].
        seed: of the choice of at most 10,000 images.
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    chosen = np.random.default_rng(seed).permutation(len(images))[:FITTED]
    flat = np.asarray(images)[chosen].reshape(len(chosen), -1)
    components = min(_COMPONENTS, *flat.shape)
    machine = CalibratedClassifierCV(SVC(C=10), ensemble=False, cv=3)
    pipeline = make_pipeline(PCA(components, random_state=seed), machine)
    pipeline.fit(flat, np.asarray(labels)[chosen])
    return lambda some: pipeline.predict_proba(np.asarray(some).reshape(len(some), -1))


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
