"""Total correlation of the aggregate posterior, between two bounds: how dependent latents are.

    TC(z) = KL(q(z) || prod_d q(z_d)),   q(z) = E_x q(z | x)

log q(z) at a sample z ~ q(z | x_i) is that of a mixture of N images' posteriors. Without x_i's own
it is too low on average, by Jensen's inequality; with it too high, as in the bound of mutual
information of van den Oord, Li and Vinyals (2018), "Representation learning with contrastive
predictive coding", eq. 4 and appendix A.1. The same holds of each q(z_d): but for the chance of
sampling, the true value lies between the two, which meet as N grows. An estimate from a minibatch
may lie outside; see models.beta_tc.
"""

import numpy as np
import tensorflow_probability as tfp

tfd = tfp.distributions

POSTERIORS = 5_000  # N, at most
_SAMPLED = 500  # images that a sample is taken of
_ENCODED = 250  # images encoded at once
_ROWS = 25  # samples compared at once


def total_correlation(model, images, labels=None, *, seed=0):
    """Returns bounds of the total correlation of a model's latents, in nats.

    Args:
        model: a VAE of one layer of diagonal normals.
        images: float [N, H, W, C] in [0, 1]; the more, the nearer are the bounds.
        labels: int [N], for a conditional model.
        seed: of the samples.

    Returns:
        {"low", "high", "num_images", "num_samples"}; None for a model of other posteriors.
    """
    parts = []
    for start in range(0, len(images), _ENCODED):
        rows = slice(start, start + _ENCODED)
        posterior = model.posterior(images[rows], None if labels is None else labels[rows])
        normal = getattr(posterior, "distribution", None)
        if not isinstance(posterior, tfd.Independent) or not isinstance(normal, tfd.Normal):
            return None
        parts.append((np.asarray(normal.loc, np.float64), np.asarray(normal.scale, np.float64)))
    mean, scale = (np.concatenate(part) for part in zip(*parts, strict=True))
    count = min(_SAMPLED, len(mean))
    normals = np.random.default_rng(seed).normal(size=(count, mean.shape[1]))
    low, high = bounds(mean[:count] + scale[:count] * normals, mean, scale)
    return {"low": low, "high": high, "num_images": len(mean), "num_samples": count}


def bounds(z, mean, scale):
    """Returns (low, high) of the total correlation, in nats.

    Args:
        z: a sample of each of the first M posteriors, [M, D].
        mean: of N diagonal normal posteriors, [N, D], N of at least 2.
        scale: their standard deviations, [N, D].
    """
    joint, marginals = zip(
        *(
            _mixtures(z[start : start + _ROWS], start, mean, scale)
            for start in range(0, len(z), _ROWS)
        ),
        strict=True,
    )
    joint, marginals = np.concatenate(joint, axis=1), np.concatenate(marginals, axis=1)
    (with_own, without), (each_with_own, each_without) = joint, marginals.sum(-1)
    return float((without - each_with_own).mean()), float((with_own - each_without).mean())


def _mixtures(z, first, mean, scale):
    """Returns log q(z), [2, rows], and log q(z_d), [2, rows, D]: with the own posterior, without.

    Args:
        z: rows of samples, [rows, D].
        first: the number of the posterior that the first of them is of.
        mean, scale: of all N posteriors, [N, D].
    """
    from scipy.special import logsumexp

    deviation = (z[:, np.newaxis] - mean) / scale  # [rows, N, D]
    density = -0.5 * deviation**2 - np.log(scale) - 0.5 * np.log(2 * np.pi)
    rows, count = np.arange(len(z)), len(mean)

    def with_and_without(density):
        own = logsumexp(density, axis=1) - np.log(count)
        density[rows, first + rows] = -np.inf
        return np.stack([own, logsumexp(density, axis=1) - np.log(count - 1)])

    joint = with_and_without(density.sum(-1))
    return joint, with_and_without(density)
