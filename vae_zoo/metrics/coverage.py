"""Whether samples lie where the data lies (fidelity), and everywhere where it lies (diversity).

Balls around each real image, up to its k-th nearest real neighbour, stand for the data's manifold;
balls around each sample for the model's:

    precision  share of samples within the ball of some real image
    recall     share of real images within the ball of some sample
    density    balls of real images that hold a sample, over k; the mean of all samples
    coverage   share of real images whose ball holds some sample

Kynkaanniemi et al. (2019), "Improved precision and recall metric for assessing generative models",
eq. 1 to 3; Naeem et al. (2020), "Reliable fidelity and diversity metrics for generative models",
eq. 2 to 4.
"""

import numpy as np

NEAREST = 5  # k
_ROWS = 256  # distances computed at once


def fidelity_and_diversity(real, samples, nearest=NEAREST):
    """Returns {"precision", "recall", "density", "coverage"}; see the module.

    For two sets of the same distribution, density is 1 and coverage 1 - 2^-k (0.97 for k = 5) in
    expectation, if both are large.

    Args:
        real: features or pixels of real images, float [N, F].
        samples: of samples, float [M, F].
        nearest: k.

    Raises:
        ValueError: for fewer than k + 1 of either.
    """
    if min(len(real), len(samples)) <= nearest:
        raise ValueError(f"expected more than {nearest} images and samples")
    real_radius, sample_radius = _radius(real, nearest), _radius(samples, nearest)
    inside_real, nearest_sample, inside_samples = [], [], []
    for start in range(0, len(real), _ROWS):
        distance = _distances(real[start : start + _ROWS], samples)  # [rows, M]
        inside_real.append((distance <= real_radius[start : start + _ROWS, np.newaxis]).sum(0))
        nearest_sample.append(distance.min(1))
        inside_samples.append((distance <= sample_radius).any(1))
    balls = np.sum(inside_real, axis=0)  # of real images, that hold each sample
    return {
        "precision": float((balls > 0).mean()),
        "recall": float(np.concatenate(inside_samples).mean()),
        "density": float(balls.mean() / nearest),
        "coverage": float((np.concatenate(nearest_sample) <= real_radius).mean()),
    }


def nearest_neighbours(samples, images):
    """Returns (row of the nearest image, distance to it) for each sample, [M] each.

    Args:
        samples: features or pixels, float [M, F].
        images: those of training images, float [N, F].
    """
    found = [
        (distance.argmin(1), distance.min(1))
        for distance in (
            _distances(samples[start : start + _ROWS], images)
            for start in range(0, len(samples), _ROWS)
        )
    ]
    rows, distances = zip(*found, strict=True)
    return np.concatenate(rows), np.concatenate(distances)


def memorisation(samples, images, held_out):
    """Returns how much nearer to training images samples are than held-out images are.

    Args:
        samples: features or pixels, float [M, F].
        images: those of training images.
        held_out: those of images that were not trained on.

    Returns:
        {"sample_distance": median distance of a sample to its nearest training image,
        "held_out_distance": of a held-out image, "ratio"}. A ratio far below 1 says that samples
        are copies of training images.
    """
    ours = float(np.median(nearest_neighbours(samples, images)[1]))
    theirs = float(np.median(nearest_neighbours(held_out, images)[1]))
    return {
        "sample_distance": ours,
        "held_out_distance": theirs,
        "ratio": ours / theirs if theirs else None,
    }


def _radius(points, nearest):
    """Returns the distance of each point to its k-th nearest other point, [N]."""
    parts = []
    for start in range(0, len(points), _ROWS):
        distance = _distances(points[start : start + _ROWS], points)
        rows = np.arange(len(distance))
        distance[rows, start + rows] = np.inf  # a point is no neighbour of its own
        parts.append(np.partition(distance, nearest - 1, axis=1)[:, nearest - 1])
    return np.concatenate(parts)


def _distances(one, other):
    """Returns the Euclidean distances of rows, [n, m]."""
    one, other = np.asarray(one, np.float32), np.asarray(other, np.float32)
    squares = (one**2).sum(1)[:, np.newaxis] + (other**2).sum(1) - 2 * one @ other.T
    return np.sqrt(np.maximum(squares, 0))
