"""Diversity within classes: whether samples of one class differ as real images of it do.

A decoder that knows one image of each class, or the label alone, draws images that a classifier is
sure of, and of all classes: completeness is full, and diversity 0.
"""

import numpy as np

_COMPARED = 200  # images of a class whose distances are taken


def within_classes(samples, classes, images, labels):
    """Returns how far apart samples of a class lie, as a share of how far apart real images do.

    The mean Euclidean distance of two samples of a class over that of two real images of it; the
    mean over classes, each weighed by its number of samples. About 1 for samples as varied as the
    data; 0 for a decoder that draws one image for each class. Samples are mean images, smoother
    than the data: a good model may be a little below 1.

    Args:
        samples: float [N, H, W, C] in [0, 1].
        classes: the class of each sample, as a classifier sees it, int [N].
        images: real images, uint8, or float in [0, 1], [M, H, W, C].
        labels: int [M].

    Returns:
        A number of at least 0; None where no class has two samples and two images.
    """
    labels, ratios, weights = np.asarray(labels), [], []
    for name, count in zip(*np.unique(classes, return_counts=True), strict=True):
        ours = _mean_distance(samples, classes == name)
        real = _mean_distance(images, labels == name)
        if ours is not None and real:
            ratios.append(ours / real)
            weights.append(count)
    return float(np.average(ratios, weights=weights)) if ratios else None


def _mean_distance(images, chosen):
    """Returns the mean distance of two different ones of the chosen images, the first so many.

    None for fewer than two.
    """
    from scipy.spatial import distance

    rows = np.flatnonzero(chosen)[:_COMPARED]
    if len(rows) < 2:
        return None
    some = np.asarray(images)[rows].reshape(len(rows), -1)
    whole = 255.0 if some.dtype == np.uint8 else 1.0
    return float(distance.pdist(some / whole).mean())
