"""A discriminator, trained together with a model: it tells two distributions apart.

    D(z) = sigmoid(log q(z) - log r(z))  where it is right,   z ~ q(z) or z ~ r

q(z) is the law of the latents of all images together; a model says what r is, and what it charges
for the difference. (vae_gan shows it images in the place of latents.) The discriminator takes the
latents of the same images, encoded anew after the model's step. In each step the model meets one
that was not yet trained on its batch of that step, and half as many images are read as with a
second batch. The price: the discriminator's batch is not independent of the model's latest step.
"""

import keras
import tensorflow as tf

from vae_zoo import networks
from vae_zoo.errors import at_least
from vae_zoo.training.loop import FiniteMean
from vae_zoo.training.optimizers import GuardedAdam
from vae_zoo.vae import VAE

_ADAM = {"beta_1": 0.5, "beta_2": 0.9}  # of the discriminator; Kim and Mnih, appendix A


class Adversary(VAE):
    """VAE with a discriminator, of its latents; a model replaces `others` and `penalty`.

    The discriminator has an optimizer of its own and takes no part in the ELBO. Its weights are
    saved with the model and not counted as trainable: the model's optimizer leaves them alone.

    Args:
        image_shape: (H, W, C).
        latent_size: D.
        discriminator_hidden: units of each layer of the discriminator.
        discriminator_learning_rate: Adam's, constant.
        **kwargs: of VAE.

    Raises:
        UserError: for a negative learning rate, or widths that make no discriminator.
    """

    has_penalty = True

    def __init__(
        self,
        image_shape,
        latent_size=10,
        *,
        discriminator_hidden=(1000,) * 6,
        discriminator_learning_rate=1e-4,
        **kwargs,
    ):
        self.discriminator_hidden = networks.check_widths(
            "discriminator_hidden", discriminator_hidden
        )
        super().__init__(image_shape, latent_size, **kwargs)
        self.discriminator_learning_rate = at_least(
            "discriminator_learning_rate", discriminator_learning_rate, 0
        )
        self.trackers["discriminator_loss"] = FiniteMean("discriminator_loss")

    def others(self, z, key):
        """Returns samples [B, D] of r, the law that samples z [B, D] are to be told from.

        Args:
            z: of q(z).
            key: int32 [2], of the noise.
        """
        raise NotImplementedError

    def build_networks(self):
        super().build_networks()
        self.discriminator = self.build_discriminator()
        self.discriminator.trainable = False

    def build_discriminator(self):
        """Returns the discriminator, in float32: a log-ratio of densities is a small difference."""
        return networks.build_mlp(
            self.latent_size,
            self.discriminator_hidden,
            1,
            dtype="float32",
            name="discriminator",
            activation="leaky_relu",
        )

    def compile(self, optimizer="adam", **kwargs):
        super().compile(optimizer, **kwargs)
        rate = float(self.discriminator_learning_rate)
        self.discriminator_optimizer = GuardedAdam(rate, **_ADAM)
        self.discriminator_optimizer.build(self.discriminator.variables)

    @property
    def optimizers(self):
        return [self.optimizer, self.discriminator_optimizer]

    def log_ratio(self, z):
        """Returns the discriminator's log q(z) - log r(z), [...] for z [..., D], in nats.

        Its mean over samples of q(z) is KL(q(z) || r).
        """
        flat = tf.reshape(z, [-1, self.latent_size])
        return tf.reshape(self.discriminator(flat), tf.shape(z)[:-1])

    def train_step(self, data):
        """One step of the model, then one of the discriminator on latents of the same images."""
        key = self.noise_key(self._step())
        logs = super().train_step(data)
        inputs, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        image, label = self.check_inputs(inputs)
        [latent] = self.infer(self.features(image, label), label, 1, key)
        self.train_discriminator(self.shown(image, latent), key)
        return logs

    def shown(self, image, latent):
        """Returns what the discriminator is to tell from others: samples of q(z), [B, D].

        Args:
            image: [B, H, W, C].
            latent: their Latent, of one sample.
        """
        del image
        return latent.z[0]

    def train_discriminator(self, z, key):
        """Takes a step of the discriminator on what `shown` gave."""
        variables = self.discriminator.variables
        with tf.GradientTape() as tape:
            loss = self.discriminator_loss(tf.nest.map_structure(tf.stop_gradient, z), key)
            # Gradients are summed over the replicas.
            shared = loss / self.distribute_strategy.num_replicas_in_sync
        gradients = tape.gradient(shared, [variable.value for variable in variables])
        self.discriminator_optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self.trackers["discriminator_loss"].update_state(loss)

    def discriminator_loss(self, z, key):
        """Returns the cross-entropy of telling z [B, D] from samples of r, in nats."""
        return cross_entropy(self.log_ratio(z), self.log_ratio(self.others(z, key)))


def cross_entropy(ours, others):
    """Returns the cross-entropy of log-ratios of two laws, each counting for half, in nats."""
    ours, others = tf.nn.softplus(-ours), tf.nn.softplus(others)
    return 0.5 * (tf.reduce_mean(ours) + tf.reduce_mean(others))
