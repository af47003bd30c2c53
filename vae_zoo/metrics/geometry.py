"""The latent space as the decoder bends it: paths between codes, and how images stretch there.

The pull-back metric at z is J'J, J: the Jacobian of the decoded image. Its singular values say how
far the image moves for a step of z in each direction; a geodesic is the path whose images move
least. Arvanitidis, Hansen and Hauberg (2018), "Latent space oddity", section 2; Shao, Kumar and
Fletcher (2018), "The Riemannian geometry of deep generative models", algorithm 1.
"""

import numpy as np
import tensorflow as tf

from vae_zoo.metrics import latent_space
from vae_zoo.probability import noise

PATHS = ("straight", "spherical", "geodesic")
_MOST_LATENTS = 128  # a Jacobian has a column for each
_POINTS = 16  # of z whose Jacobians are computed at once
_ITERATIONS = 150
_GAIN = 1e-5  # share of the energy that a better path saves at least: more than rounding does
_RATE = 0.05  # of Adam, over the size of a step of the straight path


def singular_values(model, *, seed=0, count=48):
    """Returns the singular values of the decoder's Jacobian at prior draws, largest first.

    The largest is the local Lipschitz constant: pixels in [0, 1] over the length of a step of z.

    Args:
        model: a VAE.
        seed: of the draws.
        count: draws.

    Returns:
        float [count, min(D, pixels)]; None for a model without one z, or one of more than 128
        dimensions.
    """
    if not model.decodes_z or model.latent_size > _MOST_LATENTS:
        return None
    labels = latent_space.cycle_labels(model, count)
    z = np.asarray(model.sample_prior(noise.rows(seed, count), labels))
    found = []
    for start in range(0, count, _POINTS):
        rows = slice(start, start + _POINTS)
        jacobian = _jacobian(model, tf.constant(z[rows]), None if labels is None else labels[rows])
        found.append(np.linalg.svd(jacobian, compute_uv=False))
    return np.concatenate(found)


def _jacobian(model, z, label):
    """Returns the Jacobians of the decoded images, float64 [n, pixels, D]: column by column."""
    columns = []
    for direction in tf.eye(z.shape[1]):
        with tf.autodiff.ForwardAccumulator(z, tf.broadcast_to(direction, z.shape)) as forward:
            image = model.decode(z, label)
        columns.append(np.asarray(forward.jvp(image), np.float64).reshape(len(z), -1))
    return np.stack(columns, axis=-1)


def interpolation_paths(model, starts, ends, *, steps=10, label=None):
    """Returns paths between codes of three kinds, and how long each is among images.

    Args:
        model: a VAE that decodes z.
        starts, ends: float [n, D].
        steps: points on a path, its two ends included.
        label: int [n], for a conditional model.

    Returns:
        {"straight", "spherical", "geodesic": (z [n, steps, D], length [n])}. The length is the sum
        of the distances of neighbouring images, of pixels in [0, 1].
    """
    straight = np.moveaxis(latent_space.interpolate(starts, ends, steps), 0, 1)
    paths = {
        "straight": straight,
        "spherical": spherical(starts, ends, steps),
        "geodesic": _geodesic(model, straight, label),
    }
    return {name: (path, lengths(model, path, label)) for name, path in paths.items()}


def spherical(starts, ends, steps):
    """Returns paths that turn from one code to the other at an even pace, float [n, steps, D].

    In many dimensions a normal prior's draws lie near a sphere; a straight path leaves it. Source:
    White (2016), "Sampling generative networks", section 2.1.

    Args:
        starts, ends: float [n, D].
        steps: points on a path, its two ends included.
    """
    share = np.linspace(0, 1, steps)[:, np.newaxis]  # [steps, 1]
    norms = np.linalg.norm(starts, axis=1) * np.linalg.norm(ends, axis=1)
    cosine = (starts * ends).sum(1) / np.maximum(norms, 1e-12)
    paths = []
    for start, end, angle in zip(starts, ends, np.arccos(np.clip(cosine, -1, 1)), strict=True):
        if np.sin(angle) < 1e-4:  # in one line: no turn, or no one way to turn
            paths.append((1 - share) * start + share * end)
            continue
        weights = np.sin((1 - share) * angle), np.sin(share * angle)
        paths.append((weights[0] * start + weights[1] * end) / np.sin(angle))
    return np.stack(paths).astype(np.float32)


def lengths(model, paths, label=None):
    """Returns how far the images of paths move in all, float [n].

    Args:
        model: a VAE that decodes z.
        paths: float [n, steps, D].
        label: int [n], for a conditional model.
    """
    images = np.asarray(_images(model, tf.constant(paths), label), np.float64)
    moved = np.diff(images.reshape(*paths.shape[:2], -1), axis=1)
    return np.linalg.norm(moved, axis=-1).sum(1)


def _geodesic(model, straight, label):
    """Returns the paths of least energy that Adam finds from straight ones; ends stay.

    The energy of a path is the sum of the squared moves of its images. Each path keeps the best
    that was found: it is never of more energy than the straight one.
    """
    from keras import optimizers

    size = np.linalg.norm(np.diff(straight, axis=1), axis=-1).mean()
    ends = tf.constant(straight[:, :1]), tf.constant(straight[:, -1:])
    inner = tf.Variable(straight[:, 1:-1])
    least, best = np.full(len(straight), np.inf), straight.copy()
    adam = optimizers.Adam(optimizers.schedules.CosineDecay(_RATE * float(size), _ITERATIONS))
    adam.build([inner])

    @tf.function
    def energy_and_gradient():
        with tf.GradientTape() as tape:
            images = _images(model, tf.concat([ends[0], inner, ends[1]], axis=1), label)
            moved = tf.reshape(images[:, 1:] - images[:, :-1], [len(straight), -1])
            energy = tf.reduce_sum(tf.square(moved), axis=1)  # [n]
        return energy, tape.gradient(energy, inner)

    for _ in range(_ITERATIONS):
        energy, gradient = energy_and_gradient()
        better = np.asarray(energy) < (1 - _GAIN) * least
        best[better, 1:-1] = inner.numpy()[better]
        least = np.where(better, energy, least)
        adam.apply_gradients([(gradient, inner)])
    return best


def _images(model, paths, label):
    """Returns the images of z [n, steps, D], [n, steps, H, W, C]."""
    count, steps, size = paths.shape
    label = None if label is None else np.repeat(label, steps)
    images = model.decode(tf.reshape(paths, [count * steps, size]), label)
    return tf.reshape(images, [count, steps, *model.image_shape])
