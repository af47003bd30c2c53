"""What a model's posterior says of each image: mean and deviation of z, or codes."""

import numpy as np
import tensorflow as tf

from vae_zoo import errors
from vae_zoo.metrics import latent_space

_BATCH = 64


class Encoder:
    """A function of images that gives each image's posterior as numbers.

    Of a hierarchy it is the top layer's. Of a flow, whose mean has no closed form, mean and
    deviation are those of 256 samples. Of a codebook it is the codes.

    Args:
        model: a VAE.
        seed: int32, of those samples.
        batch_size: images at once.

    Attributes:
        sizes: {name: how many numbers an image has}: mean and stddev, or code.
        batch_size: as above.
        notes: what the user should know.

    Raises:
        UserError: for a model whose posterior is fixed: it says nothing of an image.
    """

    def __init__(self, model, seed=0, batch_size=None):
        self._model, self._seed, self.batch_size = model, seed, batch_size or _BATCH
        if hasattr(model, "choose"):
            self.sizes, self.notes = {"code": model.places}, []
            self._function = tf.function(self._codes)
            return
        if not model.decodes_z:
            raise errors.UserError(
                f"{model.name} has no encoding: its posterior is the image with noise, fixed and "
                "not learned. Expected a run of another model, such as conv_vae."
            )
        self.sizes = {"mean": model.latent_size, "stddev": model.latent_size}
        self.notes = self._notes()
        self._function = tf.function(self._moments)

    def __call__(self, image, key, label=None):
        """Returns float32 [n, sum of sizes] of at most batch_size images.

        Args:
            image: float32 [n, H, W, C] in [0, 1].
            key: int32 [n], a number for each image, for samples of its own.
            label: int32 [n], for a conditional model.
        """
        rows = np.arange(self.batch_size) % len(image)  # one shape: one trace
        label = None if label is None else tf.constant(label[rows])
        values = self._function(tf.constant(image[rows]), tf.constant(key[rows], tf.int32), label)
        return values.numpy()[: len(image)]

    def _codes(self, image, key, label):
        del key
        return tf.cast(self._model.choose(self._model.features(image, label)).codes, tf.float32)

    def _moments(self, image, key, label):
        seed = tf.stack([tf.fill(tf.shape(key), self._seed), key], axis=1)
        posterior = self._model.posterior(image, label)
        return tf.concat(latent_space.moments(posterior, seed), axis=1)

    def _notes(self):
        notes = []
        if hasattr(self._model, "lower_shapes"):
            below = len(self._model.lower_shapes())
            notes.append(f"the top layer's posterior; the {below} below it depend on its sample")
        if hasattr(self._model.posterior_part, "steps"):
            count = latent_space.MOMENT_SAMPLES
            notes.append(f"mean and stddev of {count} samples: a flow has no closed form")
        return notes
