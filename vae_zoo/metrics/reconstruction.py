"""How near reconstructions are to their images, in decibels, next to a picture of one colour."""

import numpy as np

from vae_zoo import memory

_BATCH = 64  # images at once


def peak_signal_to_noise(model, images, labels=None):
    """Returns the peak signal-to-noise ratio of reconstructions of images that have 8 bits.

        PSNR = -10 log10(mean squared error), of pixels in [0, 1], over all images together

    Next to it that of the plainest picture of each image: its own mean colour everywhere. A model
    that is not above it has learned nothing but that.

    Args:
        model: a VAE.
        images: float [N, H, W, C] in [0, 1].
        labels: int [N], for a conditional model.

    Returns:
        {"psnr", "psnr_mean_colour"} in decibels (higher is nearer; None where nothing differs),
        "num_images".
    """
    labels = labels if model.needs_labels else None
    errors, plain = 0.0, 0.0
    size = memory.images_at_once(images.shape[1:], _BATCH)
    for start in range(0, len(images), size):
        batch = np.asarray(images[start : start + size])
        label = None if labels is None else labels[start : start + size]
        errors += np.sum((np.asarray(model.reconstruct(batch, label), np.float64) - batch) ** 2)
        plain += np.sum((batch.mean(axis=(1, 2), keepdims=True, dtype=np.float64) - batch) ** 2)
    return {
        "psnr": _decibels(errors / images.size),
        "psnr_mean_colour": _decibels(plain / images.size),
        "num_images": len(images),
    }


def _decibels(mean_squared_error):
    return float(-10 * np.log10(mean_squared_error)) if mean_squared_error > 0 else None
