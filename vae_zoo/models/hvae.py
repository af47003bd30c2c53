"""The hierarchical VAE of two stochastic layers.

    p(x, z_2, z_1) = p(z_1) p(z_2 | z_1) p(x | z_1, z_2),   q = q(z_1 | x) q(z_2 | x, z_1)

z_1 is the top layer. The sizes are those of Burda et al. (2016), "Importance weighted
autoencoders", L = 2; that the posterior goes from the top down, as the exact one of a chain does,
and that the image sees both layers, is of Tomczak and Welling (2018), "VAE with a VampPrior",
section 4 (their z_2 is our z_1).
"""

import tensorflow as tf

from vae_zoo import networks
from vae_zoo.errors import at_least
from vae_zoo.models.hierarchy import Hierarchy
from vae_zoo.probability import distributions
from vae_zoo.vae import VAE


class HVAE(Hierarchy):
    """VAE of two stochastic layers, fully connected between them.

    Args:
        image_shape: (H, W, C).
        latent_size: latent dimensions of the top layer.
        lower_size: latent dimensions of the layer below.
        between: widths of the networks between the layers.
        **kwargs: of VAE; network and hidden are those between the image and the layers.
    """

    combines = VAE.combines

    def __init__(
        self, image_shape, latent_size=50, *, lower_size=100, between=(100, 100), **kwargs
    ):
        self.lower_size = at_least("lower_size", lower_size, 1, whole=True)
        self.between = networks.check_widths("between", between)
        super().__init__(image_shape, latent_size, **kwargs)

    def build_networks(self):
        self.encoder = self.build_encoder()
        features = self.encoder.output_shape[-1]
        self.top_head = self._stack(features, self.posterior_part.parameters)
        self.prior_head = self._stack(self.latent_size, 2 * self.lower_size)
        self.posterior_head = self._stack(features + self.latent_size, 2 * self.lower_size)
        self.decoder = self.build_decoder(self.latent_size + self.lower_size)

    def features(self, image, label=None):
        del label
        features = self.encoder(self.centred(image))
        return [self.top_head(features), features]

    def lower_shapes(self):
        return [[self.lower_size]]

    def join(self, layer, z, features=None):
        return z if features is None else tf.concat([features, z], axis=-1)

    def lower_prior(self, layer, features):
        return distributions.diagonal_normal(networks.over_samples(self.prior_head, features))

    def lower_posterior(self, layer, features, prior, encoded):
        image_features = tf.cast(encoded[1], features.dtype)  # [B, F]
        every_sample = tf.zeros_like(features[..., :1]) + image_features  # [K, B, F]
        inputs = tf.concat([every_sample, features], axis=-1)
        return distributions.diagonal_normal(networks.over_samples(self.posterior_head, inputs))

    def _stack(self, inputs, outputs):
        return networks.build_mlp(inputs, self.between, outputs, self.dtype_policy)
