"""Callbacks that `fit` adds: no epoch may pretend to train."""

import warnings

import keras
import numpy as np

from vae_zoo import errors
from vae_zoo.training import optimizers


class StepsWereTaken(keras.callbacks.Callback):
    """Raises where an epoch took no step: its figures would be those of nothing."""

    def on_epoch_begin(self, epoch, logs=None):
        self.steps = self._taken()

    def on_epoch_end(self, epoch, logs=None):
        if self._taken() == self.steps:
            raise errors.UserError(
                f"epoch {epoch + 1} took no step: its data had no batch. Expected data of at "
                "least one, that can be read anew in each epoch (a generator cannot: give "
                "steps_per_epoch, or epochs=1)."
            )

    def _taken(self):
        return int(self.model.optimizer.iterations.numpy())


class StopsAtNaN(keras.callbacks.Callback):
    """Says and stops where an epoch's loss is NaN: the weights are, and will not come back.

    GuardedAdam skips such steps, and goes back to good weights; it is left alone.
    """

    def on_epoch_end(self, epoch, logs=None):
        loss = (logs or {}).get("loss", 0.0)
        if np.isfinite(loss) or optimizers.guard(self.model.optimizer) is not None:
            return
        self.model.stop_training = True
        warnings.warn(
            f"The loss of epoch {epoch + 1} is {loss}: training stops. Make the model anew, with a "
            "lower learning rate; vae_zoo.training.optimizers.GuardedAdam skips bad steps.",
            stacklevel=2,
        )
