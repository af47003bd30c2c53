"""The objective and the bound of the validation images, at the end of every epoch."""

import math

import numpy as np
import tensorflow as tf

from vae_zoo.probability import elbo
from vae_zoo.probability.noise import EVALUATION_STEP
from vae_zoo.training import optimizers

_SHARE = 16  # at most num_train / 16 images an epoch, or 2,000


def validation(model, splits):
    """Returns a function that gives the mean terms of the validation images, in nats.

    "loss" is what the model trains, at the full weight of the rate: it stays comparable through
    warm-up. The penalties that compare the images of a batch (total correlation, MMD) take batches
    of nearly equal size here, about as large as in training. The noise is the same at every call.
    The function calls its argument after each batch.
    """
    count = min(splits.num_validation, max(2000, splits.num_train // _SHARE))
    images, labels = splits.images("validation", count), splits.labels("validation", count)
    inputs = {"image": images} if labels is None else {"image": images, "label": labels}
    inputs = {name: tf.constant(values) for name, values in inputs.items()}
    starts, stops = even_batches(count, splits.batch_size)

    @tf.function
    def sums(start, stop, index):
        batch = {name: values[start:stop] for name, values in inputs.items()}
        terms = model.terms(
            batch,
            num_samples=model.training_samples,
            analytic=model.analytic_training,
            seed=model.noise_key(EVALUATION_STEP - index),  # the same in every epoch
        )
        return (
            -tf.reduce_sum(tf.reduce_mean(terms.log_likelihood, axis=1)),
            tf.reduce_sum(tf.reduce_mean(terms.rate, axis=1), axis=0),
            tf.reduce_sum(model.bound(elbo.log_weights(terms))),
            tf.reduce_sum(terms.loss),
        )

    def validate(between=lambda: None):
        parts = []
        with optimizers.averaged(model):
            for bounds_and_index in zip(starts, stops, range(len(starts)), strict=True):
                parts.append(sums(*map(tf.constant, bounds_and_index)))
                between()
        distortion = sum(float(part[0]) for part in parts) / count
        rates = sum(part[1].numpy().astype(np.float64) for part in parts) / count  # [L]
        figures = {"loss": sum(float(part[3]) for part in parts) / count}
        figures |= {"elbo": -distortion - float(rates.sum()), "rate": float(rates.sum())}
        figures["distortion"] = distortion
        if model.training_samples > 1:
            figures["bound"] = sum(float(part[2]) for part in parts) / count
        if len(rates) > 1:
            figures |= {f"rate_{i + 1}": float(rate) for i, rate in enumerate(rates)}
        return figures

    return validate


def even_batches(count, batch_size):
    """Returns (starts, stops) of batches of at most `batch_size`, their sizes one apart at most."""
    batches = math.ceil(count / batch_size)
    ends = [count * index // batches for index in range(batches + 1)]
    return ends[:-1], ends[1:]
