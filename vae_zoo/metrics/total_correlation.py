"""Total correlation of the aggregate posterior, and the rate's other parts, between two bounds.

    TC(z) = KL(q(z) || prod_d q(z_d)),   q(z) = E_x q(z | x)

The total correlation says how dependent the latents are.

log q(z) at a sample z ~ q(z | x_i) is that of a mixture of N images' posteriors. Without x_i's own
it is too low on average, by Jensen's inequality; with it too high, as in the bound of mutual
information of van den Oord, Li and Vinyals (2018), "Representation learning with contrastive
predictive coding", eq. 4 and appendix A.1. The same holds of each q(z_d): but for the chance of
sampling, the true value lies between the two, which meet as N grows. An estimate from a minibatch
may lie outside; see models.beta_tc.
"""

import numpy as np
import tensorflow_probability as tfp

from vae_zoo.probability import noise

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
    z, mean, scale = _first_samples(mean, scale, seed)
    low, high = bounds(z, mean, scale)
    return {"low": low, "high": high, "num_images": len(mean), "num_samples": len(z)}


def rate_split(mean, scale, seed=0):
    """Returns the three parts of the rate of diagonal normal posteriors under a standard normal.

        E_x KL(q(z | x) || p(z)) = I(x; z) + KL(q(z) || prod_d q(z_d)) + sum_d KL(q(z_d) || p(z_d))

    The mutual information of an image and its code, the total correlation, and the dimension-wise
    KL. Each is bounded as the module says; and as none is below 0, and their sum is the rate, none
    is above what the others leave of it. Where codes are far apart, this is the nearer bound: that
    of an autoencoder's N images is nearly log N below, and millions of nats above.

    Args:
        mean: of N posteriors, [N, D], N of at least 2.
        scale: their standard deviations, [N, D].
        seed: of the samples.

    Returns:
        {"rate", "mutual_information", "total_correlation", "dimension_wise_kl": each {"low",
        "high"} but the rate, which is known; "num_images", "num_samples"}, in nats.

    Source: Hoffman and Johnson (2016), "ELBO surgery"; Chen et al. (2018), eq. 2.
    """
    z, mean, scale = _first_samples(mean, scale, seed)
    joint, each = _all_mixtures(z, mean, scale)
    density = _log_normal((z - mean[: len(z)]) / scale[: len(z)], scale[: len(z)]).sum(-1)
    prior = _log_normal(z, np.ones_like(z)).sum(-1)
    (with_own, without), (each_with_own, each_without) = joint, each
    parts = {
        "mutual_information": (density - with_own, density - without),
        "total_correlation": (without - each_with_own, with_own - each_without),
        "dimension_wise_kl": (each_without - prior, each_with_own - prior),
    }
    split = {
        name: {"low": float(low.mean()), "high": float(high.mean())}
        for name, (low, high) in parts.items()
    }
    rate = 0.5 * (mean**2 + scale**2 - 1) - np.log(scale)
    counts = {"num_images": len(mean), "num_samples": len(z)}
    parts = _within(split, float((density - prior).mean()))
    return {"rate": float(rate.sum(-1).mean()), **parts, **counts}


def _within(split, rate):
    """Returns the bounds of the parts, none below 0 or above what the others leave of the rate.

    Args:
        split: {part: {"low", "high"}}.
        rate: that of the same samples, whose parts these are.
    """
    least = {name: max(0.0, part["low"]) for name, part in split.items()}
    found = {}
    for name, low in least.items():
        left = rate - sum(least.values()) + low
        found[name] = {"low": low, "high": max(low, min(split[name]["high"], left))}
    return found


def bounds(z, mean, scale):
    """Returns (low, high) of the total correlation, in nats.

    Args:
        z: a sample of each of the first M posteriors, [M, D].
        mean: of N diagonal normal posteriors, [N, D], N of at least 2.
        scale: their standard deviations, [N, D].
    """
    (with_own, without), (each_with_own, each_without) = _all_mixtures(z, mean, scale)
    return float((without - each_with_own).mean()), float((with_own - each_without).mean())


def _first_samples(mean, scale, seed):
    """Returns a sample of each of the first 500 posteriors, and all means and deviations."""
    mean, scale = np.asarray(mean, np.float64), np.asarray(scale, np.float64)
    count = min(_SAMPLED, len(mean))
    normals = noise.generator(seed).normal(size=(count, mean.shape[1]))
    return mean[:count] + scale[:count] * normals, mean, scale


def _log_normal(deviation, scale):
    return -0.5 * deviation**2 - np.log(scale) - 0.5 * np.log(2 * np.pi)


def _all_mixtures(z, mean, scale):
    """Returns log q(z) and sum_d log q(z_d), [2, M] each: with the own posterior, without."""
    joint, each = zip(
        *(
            _mixtures(z[start : start + _ROWS], start, mean, scale)
            for start in range(0, len(z), _ROWS)
        ),
        strict=True,
    )
    return np.concatenate(joint, axis=1), np.concatenate(each, axis=1).sum(-1)


def _mixtures(z, first, mean, scale):
    """Returns log q(z), [2, rows], and log q(z_d), [2, rows, D]: with the own posterior, without.

    Args:
        z: rows of samples, [rows, D].
        first: the number of the posterior that the first of them is of.
        mean, scale: of all N posteriors, [N, D].
    """
    from scipy.special import logsumexp

    deviation = (z[:, np.newaxis] - mean) / scale  # [rows, N, D]
    density = _log_normal(deviation, scale)
    rows, count = np.arange(len(z)), len(mean)

    def with_and_without(density):
        own = logsumexp(density, axis=1) - np.log(count)
        density[rows, first + rows] = -np.inf
        return np.stack([own, logsumexp(density, axis=1) - np.log(count - 1)])

    joint = with_and_without(density.sum(-1))
    return joint, with_and_without(density)
