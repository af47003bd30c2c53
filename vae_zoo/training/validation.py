"""The objective and the bound of the validation images, at the end of every epoch."""

import math

import numpy as np
import tensorflow as tf

from vae_zoo import replicas
from vae_zoo.probability import elbo
from vae_zoo.probability.noise import EVALUATION_STEP
from vae_zoo.training import optimizers

_SHARE = 16  # at most num_train / 16 images an epoch, or 2,000


def validation(model, splits, workers=None):
    """Returns a function that gives the mean terms of the validation images, in nats.

    "loss" is what the model trains, at the full weight of the rate: it stays comparable through
    warm-up. The penalties that compare the images of a batch (total correlation, MMD) take batches
    of nearly equal size here, about as large as in training. The noise is the same at every call.
    The function calls its argument after each batch.

    Args:
        model: a compiled VAE.
        splits: datasets.Splits.
        workers: replicas.Workers, each of which takes a share of the batches; None: one takes all.
    """
    workers = workers or replicas.Workers()
    count = min(splits.num_validation, max(2000, splits.num_train // _SHARE))
    starts, stops = even_batches(count, splits.batch_size)
    own = workers.share(len(starts))
    rows = np.concatenate([np.arange(starts[i], stops[i]) for i in own] or [np.arange(0)])
    images, labels = splits.rows("validation", rows), splits.labels("validation", count)
    inputs = {"image": images} if labels is None else {"image": images, "label": labels[rows]}
    inputs = {name: tf.constant(values) for name, values in inputs.items()}

    @tf.function
    def sums(start, stop, index):
        batch = {name: values[start:stop] for name, values in inputs.items()}
        terms = model.terms(
            batch,
            num_samples=model.training_samples,
            analytic=model.analytic_training,
            seed=model.noise_key(EVALUATION_STEP - index),  # the same in every epoch
        )
        parts = [
            tf.reduce_sum(terms.loss),
            tf.reduce_sum(model.bound(elbo.log_weights(terms))),
            -tf.reduce_sum(tf.reduce_mean(terms.log_likelihood, axis=1)),
            *tf.unstack(tf.reduce_sum(tf.reduce_mean(terms.rate, axis=1), axis=0)),
        ]
        return tf.stack(parts)[tf.newaxis]  # [1, 3 + L]

    def validate(between=lambda: None):
        parts, place = [], 0
        with optimizers.averaged(model):
            for index in own:
                size = stops[index] - starts[index]
                parts.append(sums(*map(tf.constant, (place, place + size, index))))
                place += size
                between()
        rows = workers.joined([part.numpy() for part in parts], [1] * len(starts))
        loss, bound, distortion, *rates = rows.sum(axis=0) / count
        figures = {"loss": loss, "elbo": -distortion - sum(rates), "rate": sum(rates)}
        figures["distortion"] = distortion
        if model.training_samples > 1:
            figures["bound"] = bound
        if len(rates) > 1:
            figures |= {f"rate_{i + 1}": rate for i, rate in enumerate(rates)}
        return {name: float(value) for name, value in figures.items()}

    return validate


def even_batches(count, batch_size):
    """Returns (starts, stops) of batches of at most `batch_size`, their sizes one apart at most."""
    batches = math.ceil(count / batch_size)
    ends = [count * index // batches for index in range(batches + 1)]
    return ends[:-1], ends[1:]
