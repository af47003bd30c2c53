"""The FactorVAE: a discriminator tells how far the latent dimensions are from independent.

    objective = ELBO - gamma TC(z),   TC(z) = KL(q(z) || prod_d q(z_d)) ~ E_q(z) [logit D(z)]

Kim and Mnih (2018), "Disentangling by factorising", eq. 2 and 3, algorithm 2. D tells samples of
q(z) from ones whose dimensions are permuted over the batch, so that its logit is the log-ratio of
the two densities. Algorithm 2 draws a second batch for D's step; see models.adversary.
"""

import keras
import tensorflow as tf

from vae_zoo import replicas
from vae_zoo.errors import at_least
from vae_zoo.models.adversary import Adversary
from vae_zoo.probability import noise

_PERMUTATION_STREAM = 1000  # beyond the layers' streams


class FactorVAE(Adversary):
    """VAE with a penalty on the total correlation of its latents, from a discriminator.

    Under a tf.distribute strategy the latents are permuted over the batches of all replicas: each
    step sums D numbers for each image of the whole batch over them, and sorts as many.

    Args:
        image_shape: (H, W, C).
        latent_size: D.
        tc_weight: gamma, weight of the total correlation, beyond the 1 that it has in the rate.
        **kwargs: of Adversary: discriminator_hidden, discriminator_learning_rate; of VAE.

    Raises:
        UserError: for a negative weight.
    """

    def __init__(self, image_shape, latent_size=10, *, tc_weight=10.0, **kwargs):
        super().__init__(image_shape, latent_size, **kwargs)
        self.tc_weight = at_least("tc_weight", tc_weight, 0)

    def others(self, z, key):
        return permute_dimensions(z, key)

    def penalty(self, latents, seed):
        del seed
        [latent] = latents
        return self.tc_weight * self.log_ratio(latent.z)


def permute_dimensions(z, key):
    """Returns z [B, D], each dimension permuted over the batch by itself: a function of the key.

    The batch is that of all replicas; each gets its own rows.

    Source: Kim and Mnih (2018), algorithm 1. (tf.random.shuffle is no function of a key.)
    """
    rows, size = tf.shape(z)[0], z.shape[-1]
    uniforms = noise.philox_uniform(key, rows, (size,), _PERMUTATION_STREAM, whole=True)
    _, index = replicas.replica()
    own = tf.slice(tf.argsort(uniforms, axis=0), [index * rows, 0], [rows, size])
    return keras.ops.take_along_axis(replicas.gather(z, axis=0), own, axis=0)
