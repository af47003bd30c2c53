"""Whether what a model draws is valid: judged by a classifier of the training images."""

import warnings

import numpy as np

from vae_zoo import noise

_SURE = 0.9
FITTED = 10_000  # training images that a judge needs, at most
_BATCH = 100


def completeness(model, train_images, train_labels, test_images, test_labels, *, seed=0, num=200):
    """Returns the share of prior samples that a classifier is at least 0.9 sure of.

    Regularisation is to make every prior draw decode to something valid. The judge is
    scikit-learn's MLPClassifier (one hidden layer of 128), fitted to labelled training images.
    `test_share` is the share of real test images that it is as sure of, the best that `share` can
    be expected to reach; `test_accuracy` says whether the judge can be believed.

    Args:
        model: a VAE.
        train_images: float [N, H, W, C] in [0, 1].
        train_labels: int [N], or None.
        test_images: float [M, H, W, C], to judge the judge.
        test_labels: int [M].
        seed: of the prior samples (row i is [seed, i]) and of the classifier.
        num: prior samples.

    Returns:
        {"share", "classes_seen" (with a sure sample), "classes", "num_samples", "test_share",
        "test_accuracy"}, for a conditional model also "label_agreement"; {"reason"} without labels.
    """
    if train_labels is None:
        return {"reason": "the data set has no labels"}
    judge = _fit(train_images, train_labels, seed)
    labels = np.arange(num, dtype=np.int32) % model.num_classes if model.needs_labels else None
    probability = judge.predict_proba(_flat(_draw(model, noise.rows(seed, num), labels)))
    named = judge.classes_[probability.argmax(axis=1)]
    sure = probability.max(axis=1) >= _SURE
    known = judge.predict_proba(_flat(test_images))
    figures = {
        "share": float(sure.mean()),
        "classes_seen": len(set(named[sure].tolist())),
        "classes": len(judge.classes_),
        "num_samples": num,
        "test_share": float((known.max(axis=1) >= _SURE).mean()),
        "test_accuracy": float((judge.classes_[known.argmax(axis=1)] == test_labels).mean()),
    }
    if labels is not None:
        figures["label_agreement"] = float((named == labels).mean())
    return figures


def _fit(images, labels, seed):
    from sklearn.neural_network import MLPClassifier

    epochs = max(20, 200_000 // len(images))
    judge = MLPClassifier((128,), alpha=0.01, max_iter=epochs, tol=0, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it stopped after max_iter is as intended
        return judge.fit(_flat(images), labels)


def _draw(model, seed, labels):
    parts = [
        model.generate(seed[i : i + _BATCH], None if labels is None else labels[i : i + _BATCH])
        for i in range(0, len(seed), _BATCH)
    ]
    return np.concatenate(parts)


def _flat(images):
    return np.asarray(images, np.float32).reshape(len(images), -1)
