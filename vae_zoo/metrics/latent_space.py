"""What the latent space is like: active units, rates, continuity, straight paths and traversals."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo import memory
from vae_zoo.probability import distributions, noise

tfd = tfp.distributions

ACTIVE_THRESHOLD = 0.01
_BATCH = 250  # images decoded at once
_TRAVERSED = 64  # dimensions: a map of latents has thousands
_ENCODED = 64  # images encoded at once: a hierarchy holds maps of 16 samples of each
_LEAST_CHANGE = 1 / 255  # of some pixel on a path: one of 256 grey levels
_SAMPLES = 16  # of z, where a layer's mean depends on the layers above or has no closed form
MOMENT_SAMPLES = 256  # of z, for mean and deviation where they have no closed form
_UNSEEN_STEP = -(2**30)  # of the noise key: neither training nor the importance samples reach it


class LatentStatistics(NamedTuple):
    """What a set of images does to the latent dimensions.

    Attributes:
        active_units: dimensions whose mean varies over the images by more than the threshold;
            None for a model that importance weighting has no meaning for.
        active_threshold: the threshold.
        variances: Var_x(E[z]) of each dimension, a list for each layer, top first; None as above.
        rate_per_dimension: KL(q || p) in nats of each dimension of a single layer of diagonal
            normals, a list; else None.
    """

    active_units: int | None
    active_threshold: float | None
    variances: list | None
    rate_per_dimension: list | None


def statistics(model, images, labels=None, *, seed=0):
    """Returns the LatentStatistics of images: active units and the rate of each dimension.

    A unit is active if Var_x(E_q(z|x)[z]) > 0.01. Where the mean is not known in closed form (a
    layer below another one, a flow), it is estimated from two independent halves of 16 samples,
    and the variance is their covariance over images, which has no bias.

    Args:
        model: a VAE.
        images: float [N, H, W, C] in [0, 1].
        labels: int [N], for a conditional model.
        seed: of those samples.

    Source: Burda et al. (2016), section 5.1.
    """
    if model.is_bound:
        return LatentStatistics(None, None, None, None)
    halves, rates = [], []
    size = memory.images_at_once(model.image_shape, _ENCODED)
    for start in range(0, len(images), size):
        stop = min(start + size, len(images))
        image = tf.convert_to_tensor(images[start:stop], tf.float32)
        label = None if labels is None else tf.convert_to_tensor(labels[start:stop])
        key = tf.constant([seed, _UNSEEN_STEP - start], tf.int32)
        latents = _infer(model, image, label, key)
        halves.append([_mean_halves(latent) for latent in latents])
        rates.append(_rate_per_dimension(latents))
    variances = [_covariance(layer) for layer in zip(*halves, strict=True)]
    active = sum(int((variance > ACTIVE_THRESHOLD).sum()) for variance in variances)
    rate = None if rates[0] is None else np.concatenate(rates).mean(0).tolist()
    return LatentStatistics(active, ACTIVE_THRESHOLD, [v.tolist() for v in variances], rate)


def _infer(model, image, label, key):
    image, label = model.check_inputs({"image": image, "label": label})
    return model.infer(model.features(image, label), label, _SAMPLES, key)


def _mean_halves(latent):
    """Returns two independent estimates of E[z], [2, B, D]; equal where it is known exactly."""
    if has_exact_mean(latent.posterior):
        mean = _flat(latent.posterior.mean())
        return np.stack([mean, mean])
    z = np.asarray(latent.z)
    return np.stack([_flat(z[: len(z) // 2].mean(0)), _flat(z[len(z) // 2 :].mean(0))])


def has_exact_mean(posterior):
    """Returns whether a posterior's mean is known in closed form, and is that of all samples."""
    return distributions.has_mean(posterior) and posterior.batch_shape.rank == 1


def moments(posterior, seed):
    """Returns mean and deviation of z, [B, D] each; of 256 samples where none has a closed form.

    Args:
        posterior: q(z | x), batch [B], event [D].
        seed: int32 [B, 2], a key for each image.
    """
    if has_exact_mean(posterior):
        return posterior.mean(), posterior.stddev()
    normals = noise.standard_normal(seed, MOMENT_SAMPLES, seed.shape[0], posterior.event_shape)
    z = distributions.reparameterize(posterior, normals)  # [K, B, D]
    return tf.reduce_mean(z, 0), tf.math.reduce_std(z, 0)


def _flat(array):
    return np.asarray(array, np.float64).reshape(len(array), -1)


def _covariance(halves):
    """Returns the covariance over images of two halves [2, N, D], given in batches; [D]."""
    first, second = np.concatenate(halves, axis=1)
    return ((first - first.mean(0)) * (second - second.mean(0))).mean(0)


def _rate_per_dimension(latents):
    """Returns KL(q || p) of each dimension, [B, D], for one layer of diagonal normals; or None."""
    pair = (latents[0].posterior, latents[0].prior)
    if len(latents) > 1 or not all(isinstance(p, tfd.Independent) for p in pair):
        return None
    normals = [p.distribution for p in pair]
    if not all(isinstance(normal, tfd.Normal) for normal in normals):
        return None
    return _flat(tfd.kl_divergence(*normals))


def interpolate(z0, z1, steps):
    """Returns the straight path from z0 to z1, both ends included: [steps, ...].

    Args:
        z0, z1: arrays of one shape.
        steps: points on the path.
    """
    share = np.linspace(0, 1, steps, dtype=np.float32).reshape(-1, *[1] * np.ndim(z0))
    return (1 - share) * np.asarray(z0) + share * np.asarray(z1)


def interpolations(model, *, seed=0, count=6, steps=10, label=None):
    """Returns images along straight paths between prior draws, [count, steps, H, W, C].

    Args:
        model: a VAE.
        seed: of the draws.
        count: paths.
        steps: images on a path, its two ends included.
        label: the class, for a conditional model; None takes each in turn.

    Returns:
        Images in [0, 1]; None for a model whose latents no straight path joins (a codebook's
        codes, a diffusion's noise).
    """
    if not model.decodes_z:
        return None
    labels = cycle_labels(model, count, label)
    paths = _paths(model, seed, labels, count, steps)
    return _decode(model, paths, None if labels is None else np.repeat(labels, steps))


def traversals(model, *, seed=0, steps=10, label=None, limit=3.0, dimensions=None):
    """Returns images along latent dimensions, from -limit to limit: [n, steps, H, W, C].

    The other dimensions stay at one prior draw.

    Args:
        model: a VAE.
        seed: of the draw.
        steps: images a dimension.
        label: the class, for a conditional model; None is class 0.
        limit: the ends.
        dimensions: which n of the D dimensions; None is the first 64 (all where there are fewer).

    Returns:
        Images in [0, 1]; None as for `interpolations`.
    """
    if not model.decodes_z:
        return None
    labels = cycle_labels(model, 1, label)
    z = np.asarray(model.sample_prior(noise.rows(seed, 1), labels))[0]
    dimensions = range(min(len(z), _TRAVERSED)) if dimensions is None else dimensions
    paths = np.tile(z, (len(dimensions), steps, 1))  # [n, steps, D]
    for path, dimension in zip(paths, dimensions, strict=True):
        path[:, dimension] = np.linspace(-limit, limit, steps)
    return _decode(model, paths, None if labels is None else np.repeat(labels, len(paths) * steps))


def continuity(model, *, seed=0, count=64, steps=16):
    """Returns how much the image changes for a step in the latent space.

    Along `count` straight paths between pairs of prior draws, in `steps` equal steps, the change
    of a step is ||x' - x|| / ||z' - z||: the L2 norm of the difference of the two decoded images
    (pixels in [0, 1]) over the length of the step. The smaller the 95th percentile next to the
    median, the fewer jumps the latent space has. A conditional model keeps the label on a path.
    Where no pixel changes by a grey level on any path, there is nothing to be continuous: the
    figure is undefined, not perfect.

    Args:
        model: a VAE.
        seed: of the draws.
        count: paths.
        steps: steps on each.

    Returns:
        {"median", "p95", "num_paths", "num_steps"}; "median" and "p95" are None, with a "reason",
        where the images do not change; {"reason"} alone for a model without such paths.
    """
    if not model.decodes_z:
        return {"reason": f"{model.name} has no one z that a straight path could go through"}
    counts = {"num_paths": count, "num_steps": steps}
    ratio, images = path_changes(model, seed=seed, count=count, steps=steps)
    if np.ptp(images, axis=1).max() < _LEAST_CHANGE:
        reason = "undefined: the images do not change"
        return {"median": None, "p95": None, "reason": reason, **counts}
    median, high = np.percentile(ratio, (50, 95)).tolist()
    return {"median": median, "p95": high, **counts}


def path_changes(model, *, seed=0, count=64, steps=16):
    """Returns the changes that `continuity` sums up, and the images: local Lipschitz constants.

    Args:
        model: a VAE that decodes z.
        seed, count, steps: see `continuity`.

    Returns:
        (||x' - x|| / ||z' - z|| of each step, float [count, steps]; the images on the paths,
        [count, steps + 1, H, W, C]).
    """
    labels = cycle_labels(model, count)
    paths = _paths(model, seed, labels, count, steps + 1)
    images = _decode(model, paths, None if labels is None else np.repeat(labels, steps + 1))
    # Path by path: all differences at once would take as much memory as the images.
    change = np.stack(
        [np.linalg.norm(np.diff(path, axis=0).reshape(steps, -1), axis=-1) for path in images]
    )
    return change / np.linalg.norm(np.diff(paths, axis=1), axis=-1), images


def cycle_labels(model, count, label=None):
    """Returns labels for `count` samples of a conditional model: `label`, or each in turn."""
    if not model.needs_labels:
        return None
    if label is not None:
        return np.full(count, label, np.int32)
    return np.arange(count, dtype=np.int32) % model.num_classes


def _paths(model, seed, labels, count, steps):
    """Returns straight paths between pairs of prior draws, [count, steps, D]."""
    rows = noise.rows(seed, 2 * count)
    starts = np.asarray(model.sample_prior(rows[:count], labels))
    ends = np.asarray(model.sample_prior(rows[count:], labels))
    return np.moveaxis(interpolate(starts, ends, steps), 0, 1)


def _decode(model, z, labels):
    """Returns the images of z [M, n, D], decoded in batches: [M, n, H, W, C]."""
    flat = z.reshape(-1, z.shape[-1]).astype(np.float32)
    images = memory.in_batches(
        model.decode, flat, labels, image_shape=model.image_shape, most=_BATCH
    )
    return images.reshape(*z.shape[:-1], *model.image_shape)
