"""What the latent space is like: paths through it, and how smoothly images change along them."""

import numpy as np
import tensorflow as tf

from vae_zoo import noise

ACTIVE_VARIANCE = 0.01  # Burda et al. (2016), section 5.2
_REACH = 3.0  # standard deviations of a traversal


def continuity(model, *, seed=0, paths=100, steps=10):
    """Returns how much the image changes for a step in z, along straight paths.

    Between two prior draws z_0 and z_1 lie `steps` equal steps. Of each step the figure is
    ||x(z') - x(z)||_2 / ||z' - z||_2, x being the likelihood's mean with pixels in [0, 1]: a small
    value everywhere means that small steps in z are small changes of the image; a 95th percentile
    far above the median means that the image jumps somewhere.

    Args:
        model: a VAE.
        seed: of the prior draws.
        paths: how many.
        steps: on each.

    Returns:
        {"median", "p95", "paths", "steps"}; or {"reason"} for a model that no flat z decodes.
    """
    if not model.decodes_z:
        return {"reason": f"{model.name} has no one z that a straight path could go through"}
    z = _paths(model, seed, paths, steps)
    images = _decode_rows(model, z, None)
    change = np.linalg.norm(np.diff(images, axis=1).reshape(paths, steps, -1), axis=-1)
    length = np.linalg.norm(np.diff(z, axis=1).reshape(paths, steps, -1), axis=-1)
    ratio = change / length
    return {
        "median": float(np.median(ratio)),
        "p95": float(np.percentile(ratio, 95)),
        "paths": paths,
        "steps": steps,
    }


def interpolations(model, *, seed=0, count=6, steps=10, label=None):
    """Returns images along straight paths between prior draws, [count, steps, H, W, C], or None."""
    if not model.decodes_z:
        return None
    return _decode_rows(model, _paths(model, seed, count, steps - 1), label)


def traversals(model, *, seed=0, steps=10, label=None, limit=40):
    """Returns images as one latent dimension goes from -3 to 3, [D, steps, H, W, C], or None.

    Args:
        model: a VAE.
        seed: of the prior draw that the other dimensions stay at.
        steps: images of a dimension.
        label: of a conditional model.
        limit: dimensions, at most.
    """
    if not model.decodes_z:
        return None
    z = _prior_draws(model, seed, 1)[0]
    rows = np.tile(z, (min(limit, z.size), steps, 1))
    for dimension in range(len(rows)):
        rows[dimension, :, dimension] = np.linspace(-_REACH, _REACH, steps)
    return _decode_rows(model, rows, label)


def _paths(model, seed, count, steps):
    """Returns z along straight paths between prior draws, [count, steps + 1, D]."""
    ends = _prior_draws(model, seed, 2 * count)
    start, end = ends[0::2, np.newaxis], ends[1::2, np.newaxis]
    return start + np.linspace(0, 1, steps + 1, dtype=np.float32)[:, np.newaxis] * (end - start)


def _prior_draws(model, seed, count):
    labels = (
        np.arange(count, dtype=np.int32) // 2 % model.num_classes if model.needs_labels else None
    )
    return np.asarray(model.sample_prior(noise.rows(seed, count), labels))


def _decode_rows(model, z, label):
    """Returns the images of z [R, S, D]; row r of a conditional model is class r."""
    rows, steps, size = z.shape
    labels = None
    if model.needs_labels:
        classes = np.arange(rows) % model.num_classes if label is None else np.full(rows, label)
        labels = tf.constant(np.repeat(classes, steps), tf.int32)
    images = np.asarray(model.decode(tf.constant(z.reshape(-1, size)), labels))
    return images.reshape(rows, steps, *images.shape[1:])
