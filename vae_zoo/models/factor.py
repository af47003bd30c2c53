"""The FactorVAE: a discriminator tells how far the latent dimensions are from independent.

    objective = ELBO - gamma TC(z),   TC(z) = KL(q(z) || prod_d q(z_d)) ~ E_q(z) [logit D(z)]

Kim and Mnih (2018), "Disentangling by factorising", eq. 2 and 3, algorithm 2. D is trained beside
the model to tell samples of q(z) from ones whose dimensions are permuted over the batch, so that
its logit is the log-ratio of the two densities.

Algorithm 2 draws a second batch for D's step. Here D takes the latents of the same images, encoded
anew after the model's step. In each step the model meets a D that was not yet trained on its batch
of that step, as in the paper, and half as many images are read. The price: D's batch is not
independent of the model's latest step.
"""

import keras
import tensorflow as tf

from vae_zoo import networks
from vae_zoo.errors import at_least
from vae_zoo.probability import noise
from vae_zoo.training.loop import FiniteMean
from vae_zoo.training.optimizers import GuardedAdam
from vae_zoo.vae import VAE

_PERMUTATION_STREAM = 1000  # beyond the layers' streams
_ADAM = {"beta_1": 0.5, "beta_2": 0.9}  # of the discriminator; Kim and Mnih, appendix A


class FactorVAE(VAE):
    """VAE with a penalty on the total correlation of its latents, from a discriminator.

    The discriminator has an optimizer of its own and takes no part in the ELBO. Its weights are
    saved with the model and not counted as trainable: the model's optimizer leaves them alone.
    Under a tf.distribute strategy, each replica permutes the latents of its own images.

    Args:
        image_shape: (H, W, C).
        latent_size: D.
        tc_weight: gamma, weight of the total correlation, beyond the 1 that it has in the rate.
        discriminator_hidden: units of each layer of the discriminator.
        discriminator_learning_rate: Adam's, constant.
        **kwargs: of VAE.

    Raises:
        UserError: for a negative weight or learning rate, or widths that make no discriminator.
    """

    has_penalty = True

    def __init__(
        self,
        image_shape,
        latent_size=10,
        *,
        tc_weight=10.0,
        discriminator_hidden=(1000,) * 6,
        discriminator_learning_rate=1e-4,
        **kwargs,
    ):
        self.discriminator_hidden = networks.check_widths(
            "discriminator_hidden", discriminator_hidden
        )
        super().__init__(image_shape, latent_size, **kwargs)
        self.tc_weight = at_least("tc_weight", tc_weight, 0)
        self.discriminator_learning_rate = at_least(
            "discriminator_learning_rate", discriminator_learning_rate, 0
        )
        self.trackers["discriminator_loss"] = FiniteMean("discriminator_loss")

    def build_networks(self):
        super().build_networks()
        # float32: a log-ratio of densities is a small difference.
        self.discriminator = networks.build_mlp(
            self.latent_size,
            self.discriminator_hidden,
            1,
            dtype="float32",
            name="discriminator",
            activation="leaky_relu",
        )
        self.discriminator.trainable = False

    def compile(self, optimizer="adam", **kwargs):
        super().compile(optimizer, **kwargs)
        rate = float(self.discriminator_learning_rate)
        self.discriminator_optimizer = GuardedAdam(rate, **_ADAM)
        self.discriminator_optimizer.build(self.discriminator.variables)

    @property
    def optimizers(self):
        return [self.optimizer, self.discriminator_optimizer]

    def penalty(self, latents, seed):
        del seed
        [latent] = latents
        return self.tc_weight * self.log_ratio(latent.z)

    def log_ratio(self, z):
        """Returns the discriminator's log q(z) - sum_d log q(z_d), [...] for z [..., D].

        Its mean over samples of q(z) is the total correlation, in nats.
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
        self.train_discriminator(latent.z[0], key)
        return logs

    def train_discriminator(self, z, key):
        """Takes a step of the discriminator on samples z [B, D] of the aggregate posterior."""
        variables = self.discriminator.variables
        with tf.GradientTape() as tape:
            loss = self.discriminator_loss(tf.stop_gradient(z), key)
            # Gradients are summed over the replicas.
            shared = loss / self.distribute_strategy.num_replicas_in_sync
        gradients = tape.gradient(shared, [variable.value for variable in variables])
        self.discriminator_optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self.trackers["discriminator_loss"].update_state(loss)

    def discriminator_loss(self, z, key):
        """Returns the cross-entropy of telling z [B, D] from its permutation, in nats."""
        permuted = permute_dimensions(z, key)
        joint, independent = self.log_ratio(z), self.log_ratio(permuted)
        return 0.5 * tf.reduce_mean(tf.nn.softplus(-joint) + tf.nn.softplus(independent))


def permute_dimensions(z, key):
    """Returns z [B, D], each dimension permuted over the batch by itself: a function of the key.

    Source: Kim and Mnih (2018), algorithm 1. (tf.random.shuffle is no function of a key.)
    """
    batch, size = tf.shape(z)[0], z.shape[-1]
    order = tf.argsort(noise.philox_uniform(key, batch, (size,), _PERMUTATION_STREAM), axis=0)
    return keras.ops.take_along_axis(z, order, axis=0)
