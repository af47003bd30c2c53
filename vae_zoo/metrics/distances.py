"""How far the distribution of samples is from that of real images, in the features of a network.

    Frechet distance   |m - m'|^2 + tr(S + S' - 2 (S S')^1/2), m and S: mean and covariance
    kernel distance    E k(x, x') + E k(y, y') - 2 E k(x, y), k(x, y) = (x . y / F + 1)^3

Heusel et al. (2017), "GANs trained by a two time-scale update rule", eq. 6; Binkowski et al.
(2018), "Demystifying MMD GANs", section 4. The first is biased upward where images are few: compare
sets of one size alone. The second has no bias, and may be below 0 for sets of one distribution.
"""

import numpy as np

from vae_zoo.probability import noise

_DRAWS = 100  # of the bootstrap
_NORMAL = 1.96  # deviations of a 95% interval


def frechet(one, other):
    """Returns the Frechet distance of two sets of features.

    Args:
        one, other: float [N, F] and [M, F], N and M at least 2.
    """
    means = one.mean(0), other.mean(0)
    first, second = (np.atleast_2d(np.cov(part, rowvar=False)) for part in (one, other))
    root = _root(first)  # tr (S S')^1/2 = tr (S^1/2 S' S^1/2)^1/2
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    return float(((means[0] - means[1]) ** 2).sum() + np.trace(first + second) - 2 * shared)


def kernel(one, other):
    """Returns the kernel distance of two sets of features: MMD^2, cubic kernel, without bias.

    Args:
        one, other: float [N, F] and [M, F], N and M at least 2.
    """
    return _kernel_of_counts(_kernels(one, other), np.ones(len(one)), np.ones(len(other)))


def distances(real, samples, seed=0):
    """Returns both distances, each with a 95% interval.

    The interval is the figure plus and minus 1.96 standard deviations of 100 bootstrap draws of
    both sets. Percentiles of the draws would not do: a draw has images twice, which moves it up.

    Args:
        real: features of real images, float [N, F].
        samples: of samples, float [M, F].
        seed: of the draws.

    Returns:
        {"frechet", "kernel": each {"value", "low", "high"}}.
    """
    real, samples = np.asarray(real, np.float64), np.asarray(samples, np.float64)
    kernels, rng = _kernels(real, samples), noise.generator(seed)
    drawn = []
    for _ in range(_DRAWS):
        rows = [rng.integers(0, len(part), len(part)) for part in (real, samples)]
        counts = [np.bincount(r, minlength=len(r)) for r in rows]
        moved = frechet(real[rows[0]], samples[rows[1]])
        drawn.append((moved, _kernel_of_counts(kernels, *counts)))
    width = _NORMAL * np.std(drawn, axis=0, ddof=1)
    values = {"frechet": frechet(real, samples), "kernel": kernel(real, samples)}
    return {
        name: {"value": value, "low": value - float(around), "high": value + float(around)}
        for (name, value), around in zip(values.items(), width, strict=True)
    }


def _root(covariance):
    """Returns the symmetric square root of a covariance, [F, F]."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T


def _kernels(one, other):
    """Returns the kernel among the first set, among the second, and between them."""
    size = one.shape[1]
    return [(a @ b.T / size + 1) ** 3 for a, b in ((one, one), (other, other), (one, other))]


def _kernel_of_counts(kernels, first, second):
    """Returns the kernel distance where each row counts so often; a row meets no copy of itself."""
    within = 0.0
    for matrix, count in zip(kernels, (first, second), strict=False):
        pairs = count.sum() ** 2 - (count**2).sum()
        within += (count @ matrix @ count - count**2 @ matrix.diagonal()) / pairs
    return float(within - 2 * first @ kernels[2] @ second / (first.sum() * second.sum()))
