"""What the codes of a set of images are like, one by one and together."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from vae_zoo import memory
from vae_zoo.metrics import latent_space
from vae_zoo.probability import elbo, noise

_BATCH = 64  # images at once
_KEY = -(2**30)  # of the noise: neither training nor the importance samples reach it


class Codes(NamedTuple):
    """The terms of each image, and the posterior of the top layer.

    Attributes:
        elbo, rate, distortion: of each image, in nats, float [N]; one sample of z.
        mean, deviation: of the posterior, float [N, D]; None where it is no normal, such as that
            of a codebook or of a diffusion.
    """

    elbo: np.ndarray
    rate: np.ndarray
    distortion: np.ndarray
    mean: np.ndarray | None
    deviation: np.ndarray | None


def of_images(model, images, labels=None, *, seed=0, progress=None):
    """Returns the Codes of images.

    Args:
        model: a VAE.
        images: float [N, H, W, C] in [0, 1].
        labels: int [N], for a conditional model.
        seed: of the samples.
        progress: called with the share that is done.
    """
    labels = labels if model.needs_labels else None
    parts, size = [], memory.images_at_once(model.image_shape, _BATCH)
    for start in range(0, len(images), size):
        batch = {"image": tf.convert_to_tensor(images[start : start + size], tf.float32)}
        if labels is not None:
            batch["label"] = tf.convert_to_tensor(labels[start : start + size])
        terms = model.terms(batch, seed=tf.constant([seed, _KEY - start], tf.int32))
        normal = _normal(model, batch, seed, start) if model.decodes_z else None
        parts.append(
            (
                np.asarray(elbo.elbo(terms)),
                np.asarray(terms.rate).mean(1).sum(-1),
                -np.asarray(terms.log_likelihood).mean(1),
                *(normal or (None, None)),
            )
        )
        if progress:
            progress(min(1.0, (start + size) / len(images)))
    columns = zip(*parts, strict=True)
    return Codes(*(None if c[0] is None else np.concatenate(c) for c in columns))


def _normal(model, batch, seed, start):
    """Returns (mean, deviation) of the posterior, [B, D]; start is the first image's number."""
    posterior, count = model.posterior(batch["image"], batch.get("label")), len(batch["image"])
    pair = latent_space.moments(posterior, tf.constant(noise.rows(seed, count, start)))
    return tuple(np.asarray(part, np.float64).reshape(count, -1) for part in pair)


def posteriors(model, images, labels=None, seed=0):
    """Returns mean and deviation of images' posteriors, float [N, D] each, and nothing else.

    Args:
        model: a VAE that decodes z.
        images: float [N, H, W, C] in [0, 1].
        labels: int [N], for a conditional model.
        seed: of the samples, where they have no closed form.
    """
    labels = labels if model.needs_labels else None
    size, parts = memory.images_at_once(model.image_shape, _BATCH), []
    for start in range(0, len(images), size):
        rows = slice(start, start + size)
        label = None if labels is None else labels[rows]
        batch = {"image": images[rows], "label": label}
        parts.append(_normal(model, batch, seed, start))
    mean, deviation = zip(*parts, strict=True)
    return np.concatenate(mean), np.concatenate(deviation)


def aggregate(codes):
    """Returns the mean and the deviation of the aggregate posterior in each dimension, [D] each.

    The aggregate posterior q(z) = E_x q(z | x) equals the prior N(0, 1) for a model without holes:
    means of 0 and deviations of 1.

    Source: Hoffman and Johnson (2016), "ELBO surgery".
    """
    variance = (codes.deviation**2).mean(0) + codes.mean.var(0)
    return codes.mean.mean(0), np.sqrt(variance)


def linear_probe(codes, labels, seed=0):
    """Returns how well a linear classifier reads the labels out of the posterior means.

    Args:
        codes: Codes of labelled images.
        labels: int [N].
        seed: of the choice of the half that it is fitted to; the other half is scored.

    Returns:
        {"accuracy", "chance": of the largest class, "num_images"}, or {"reason"}.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if codes.mean is None or labels is None:
        return {"reason": "no posterior means, or no labels"}
    order = noise.generator(seed).permutation(len(labels))
    fitted, scored = order[: len(order) // 2], order[len(order) // 2 :]
    classes, counts = np.unique(labels[scored], return_counts=True)
    if len(classes) < 2 or len(np.unique(labels[fitted])) < 2:
        return {"reason": "the images have a single class"}
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    probe.fit(codes.mean[fitted], labels[fitted])
    return {
        "accuracy": float(probe.score(codes.mean[scored], labels[scored])),
        "chance": float(counts.max() / counts.sum()),
        "num_images": len(scored),
    }


def plane(codes):
    """Returns the posterior means in their two main directions, float [N, 2]."""
    from sklearn.decomposition import PCA

    if codes.mean.shape[1] <= 2:
        return np.pad(codes.mean, ((0, 0), (0, 2 - codes.mean.shape[1])))
    return PCA(2, random_state=0).fit_transform(codes.mean)
