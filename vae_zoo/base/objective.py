"""What a model minimises, and the figures that go with it: from ElboTerms to a loss."""

import tensorflow as tf

from vae_zoo import replicas
from vae_zoo.probability.elbo import log_weights


class Objective:
    """The loss of a batch: the rate by beta, warm-up, capacity and free bits; the penalty."""

    def noise_key(self, step):
        """Returns the key of all noise of a training step, int32 [2]."""
        return tf.stack([tf.constant(self.seed, tf.int32), tf.cast(step, tf.int32)])

    def kl_weight(self):
        """Returns warm-up's factor of the rate at this step, in [0, 1]."""
        if not self.warmup_steps:
            return 1.0
        return tf.minimum(1.0, tf.cast(self._step(), tf.float32) / self.warmup_steps)

    def charged_rate(self, rate, kl_weight=1.0):
        """Returns the rate that is charged, [B, K]: weighed, less each layer's free bits.

        With a capacity C, it is |rate - C| of the global batch's mean rate, as each image's share.
        """
        total = tf.reduce_sum(rate, axis=-1)
        if self.capacity is not None:
            capacity = kl_weight * self.capacity
            return tf.sign(replicas.mean(tf.reduce_mean(total)) - capacity) * (total - capacity)
        if not self.free_bits:
            return kl_weight * total
        mean = replicas.mean(tf.reduce_mean(rate, axis=[0, 1]))  # [L]
        free = tf.where(mean > self.free_bits, rate, self.free_bits)
        return kl_weight * tf.reduce_sum(free, axis=-1)

    def charged_weights(self, terms, kl_weight=1.0):
        """Returns the log-weights that the objective sees, [B, K]: beta, free bits, the penalty."""
        rate = self.beta * self.charged_rate(terms.rate, kl_weight)
        return terms.log_likelihood - rate - terms.penalty

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        del x, y, training
        weight = None if sample_weight is None else tf.reshape(sample_weight, [-1])  # [B]
        rows = None if weight is None else weight[:, tf.newaxis]  # [B, 1]
        if self.compiled:
            self._loss_tracker.add(y_pred.loss, weight)
        self.trackers["elbo"].update_state(log_weights(y_pred), rows)
        self.trackers["rate"].update_state(tf.reduce_sum(y_pred.rate, axis=-1), rows)
        self.trackers["distortion"].update_state(-y_pred.log_likelihood, rows)
        if self.has_penalty:
            self.trackers["penalty"].update_state(y_pred.penalty, rows)
        # Gradients are summed over the replicas.
        loss = _weighted_mean(y_pred.loss, weight)
        return loss / self.distribute_strategy.num_replicas_in_sync

    @property
    def optimizers(self):
        """Every optimizer of the training; the first one counts the steps."""
        return [self.optimizer]

    @property
    def metrics(self):
        trackers = list(self.trackers.values())
        return [self._loss_tracker, *trackers] if self.compiled else trackers

    def _step(self):
        return self.optimizer.iterations.value if self.compiled and self.optimizer else 0


def _weighted_mean(values, weight):
    """Returns the mean of values [B], weighted by `weight` [B] over the batches of all replicas."""
    if weight is None:
        return tf.reduce_mean(values)
    weight = tf.cast(weight, values.dtype)
    whole = replicas.mean(tf.reduce_mean(weight))
    return tf.math.divide_no_nan(tf.reduce_mean(weight * values), whole)
