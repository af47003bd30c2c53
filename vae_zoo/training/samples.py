"""Samples in TensorBoard while a model trains: of the same seeds, so that one sees it learn."""

import math
import pathlib

import keras
import numpy as np
import tensorflow as tf

from vae_zoo.probability import noise
from vae_zoo.runs import plots
from vae_zoo.training import optimizers

_TIMES = 10  # in a training, at most
_SIDE = 4  # images of a side of the grid


class Samples(keras.callbacks.Callback):
    """Writes a grid of prior samples, ten times in a training at most.

    Args:
        directory: takes the event file; one of its own, for TensorBoard reads one file of each.
        settings: Settings.
    """

    def __init__(self, directory, settings):
        super().__init__()
        self.directory, self.settings, self.writer = pathlib.Path(directory), settings, None

    def on_epoch_end(self, epoch, logs=None):
        every = math.ceil(self.settings.epochs / _TIMES)
        if (epoch + 1) % every:
            return
        if self.writer is None:
            self.writer = tf.summary.create_file_writer(str(self.directory))
        with self.writer.as_default(step=self.model.steps_made):
            tf.summary.image("samples", self._grid()[np.newaxis])
        self.writer.flush()

    def _grid(self):
        """Returns the samples under the averaged weights, tiled, [H', W', 3]."""
        count, model, labels = _SIDE**2, self.model, None
        if model.needs_labels:
            labels = np.arange(count, dtype=np.int32) % model.num_classes
        with optimizers.averaged(model):
            images = np.asarray(model.generate(noise.rows(self.settings.seed, count), labels))
        return plots.tiled(images, _SIDE)
