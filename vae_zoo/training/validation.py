"""The bound of the validation images, at the end of every epoch."""

import numpy as np
import tensorflow as tf

from vae_zoo.probability import elbo
from vae_zoo.probability.noise import EVALUATION_STEP
from vae_zoo.training import optimizers

_SHARE = 16  # at most num_train / 16 images an epoch, or 2,000


def validation(model, splits):
    """Returns a function that gives the mean terms of the validation images, in nats."""
    count = min(splits.num_validation, max(2000, splits.num_train // _SHARE))
    images, labels = splits.images("validation", count), splits.labels("validation", count)
    inputs = {"image": images} if labels is None else {"image": images, "label": labels}
    data = tf.data.Dataset.from_tensor_slices(inputs).batch(splits.batch_size)

    @tf.function(reduce_retracing=True)
    def sums(batch, index):
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
        )

    def validate():
        with optimizers.averaged(model):
            parts = [sums(batch, tf.constant(index)) for index, batch in enumerate(data)]
        distortion = sum(float(part[0]) for part in parts) / count
        rates = sum(part[1].numpy().astype(np.float64) for part in parts) / count  # [L]
        figures = {"elbo": -distortion - float(rates.sum()), "rate": float(rates.sum())}
        figures["distortion"] = distortion
        if model.training_samples > 1:
            figures["bound"] = sum(float(part[2]) for part in parts) / count
        if len(rates) > 1:
            figures |= {f"rate_{i + 1}": float(rate) for i, rate in enumerate(rates)}
        return figures

    return validate
