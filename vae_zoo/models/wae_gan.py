"""The Wasserstein autoencoder with a discriminator: the latents of all images as the prior's law.

    loss = -E log p(x | z) + beta KL(q(z | x) || p(z)) - w log(1 - D(z)),
    D(z) = q(z) / (q(z) + p(z))

Tolstikhin, Bousquet, Gelly and Schoelkopf (2018), "Wasserstein auto-encoders", algorithm 1, with
beta = 0 and the cost -log p(x | z); their D says the prior, ours the latents. The adversarial
autoencoder, Makhzani et al. (2016), is the same with a posterior that has noise, and w = 1. With
beta = 0 no image's posterior is pulled to the prior, but only their mixture.
"""

import tensorflow as tf

from vae_zoo.errors import at_least
from vae_zoo.models.adversary import Adversary
from vae_zoo.probability import noise, posteriors

_PRIOR_STREAM = 1000  # beyond the layers' streams


class WAEGAN(Adversary):
    """Autoencoder whose latents a discriminator cannot tell from the prior.

    Args:
        image_shape: (H, W, C).
        latent_size: D.
        beta: weight of the rate.
        adversarial_weight: w, in nats.
        **kwargs: of Adversary: discriminator_hidden, discriminator_learning_rate; of VAE.

    Raises:
        UserError: for a negative weight.
    """

    combines = {"posterior": posteriors.FLAT}

    def __init__(
        self, image_shape, latent_size=10, *, beta=0.0, adversarial_weight=10.0, **kwargs
    ):
        super().__init__(image_shape, latent_size, beta=beta, **kwargs)
        self.adversarial_weight = at_least("adversarial_weight", adversarial_weight, 0)

    def others(self, z, key):
        shape = (tf.shape(z)[0], [self.latent_size])
        return noise.standard_normal(key, 1, *shape, stream=_PRIOR_STREAM)[0]

    def penalty(self, latents, seed):
        del seed
        [latent] = latents
        return self.adversarial_weight * tf.nn.softplus(self.log_ratio(latent.z))
