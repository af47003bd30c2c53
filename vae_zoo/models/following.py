"""A part that follows the encodings of each training step, and has no gradient."""

import threading

import tensorflow as tf

from vae_zoo.training import optimizers
from vae_zoo.vae import VAE


class Following(VAE):
    """VAE of which a part moves with the encodings of each step; a model replaces `follow`."""

    def __init__(self, *args, **kwargs):
        self._of_replica = threading.local()  # each replica has a thread
        super().__init__(*args, **kwargs)

    def follow(self, encoded, key, good):
        """Moves the part by what `features` gave for the batch of this replica.

        Args:
            encoded: of `features`.
            key: int32 [2], of the step's noise.
            good: whether the optimizer took the step; where it did not, nothing is to move.
        """
        raise NotImplementedError

    def call(self, inputs, training=None, encoded=None):
        if training and encoded is None:
            encoded = self.features(*self.check_inputs(inputs))
        self._of_replica.encoded = encoded
        return super().call(inputs, training, encoded)

    def train_step(self, data):
        """Also moves the part, unless the optimizer skipped the step."""
        key = self.noise_key(self._step())
        logs = super().train_step(data)
        guard = optimizers.guard(self.optimizer)
        good = guard is None or tf.equal(guard.skipped_in_a_row.value, 0)
        self.follow(self._of_replica.encoded, key, good)
        return logs
