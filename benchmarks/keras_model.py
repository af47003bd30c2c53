"""A VAE as Keras's documentation teaches it: a custom train_step, one step a call of `fit`.

Keras, "Variational AutoEncoder" (code examples, generative deep learning): a `Sampling` layer with
a seed generator, a sigmoid decoder, binary cross-entropy summed over pixels, loss trackers. The
architecture and the weights are those of a vae_zoo.VAE.
"""

import keras
import tensorflow as tf
from keras import ops

from vae_zoo.probability import distributions


class Sampling(keras.layers.Layer):
    """z = mean + exp(log_var / 2) * normals."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs):
        mean, log_var = inputs
        normals = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_var) * normals


class DocumentedVAE(keras.Model):
    """Keras's example.

    Args:
        model: a vae_zoo.VAE of network "mlp" or "conv"; its weights are copied.
    """

    def __init__(self, model, **kwargs):
        super().__init__(**kwargs)
        copy = type(model).from_config(model.get_config())
        copy.set_weights(model.get_weights())
        self.encoder, self.head, self.decoder = copy.encoder, copy.posterior_head, copy.decoder
        self.sampling = Sampling()
        names = ("loss", "reconstruction_loss", "kl_loss")
        self.trackers = {name: keras.metrics.Mean(name=name) for name in names}

    @property
    def metrics(self):
        return list(self.trackers.values())

    def losses_of(self, image, draws=None):
        """Returns (reconstruction loss, KL) in nats, means over images [B, H, W, C].

        Args:
            image: the batch.
            draws: normals [B, D]; None: drawn by the sampling layer.
        """
        mean, log_scale = ops.split(ops.cast(self.head(self.encoder(image)), "float32"), 2, axis=-1)
        log_var = 2 * distributions.bounded(log_scale, *distributions.LOG_SCALE)
        if draws is None:
            z = self.sampling((mean, log_var))
        else:
            z = mean + ops.exp(0.5 * log_var) * draws
        reconstruction = ops.sigmoid(ops.cast(self.decoder(z), "float32"))
        pixels = keras.losses.binary_crossentropy(image, reconstruction)  # [B, H, W]
        kl = -0.5 * (1 + log_var - ops.square(mean) - ops.exp(log_var))
        return ops.mean(ops.sum(pixels, axis=(1, 2))), ops.mean(ops.sum(kl, axis=1))

    def train_step(self, data):
        with tf.GradientTape() as tape:
            reconstruction, kl = self.losses_of(data)
            total = reconstruction + kl
        gradients = tape.gradient(total, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        for name, value in zip(self.trackers, (total, reconstruction, kl), strict=True):
            self.trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}


def training_work(model, images, batch_size):
    """Returns a function that fits one epoch of images [N, H, W, C] and returns how many."""
    peer = DocumentedVAE(model)
    peer.compile(optimizer=keras.optimizers.Adam(1e-3))

    def work():
        peer.fit(images, epochs=1, batch_size=batch_size, verbose=0)
        return len(images)

    return work
