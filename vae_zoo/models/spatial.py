"""The VAE whose latent variable is a map: a few channels at each place of a small grid.

    q(z | x) = prod_ijc N(z_ijc; mu_ijc(x), sigma_ijc(x)^2),   p(z) = N(0, 1),   z of [h, w, c]

Both networks are convolutions alone: a place of the map tells of its part of the image, so that
reconstructions are near, and the map grows with the image. These are the autoencoders that latent
diffusion is trained on. Without a model of the map, draws of N(0, 1) have parts that do not know
of each other.

Rombach et al. (2022), "High-resolution image synthesis with latent diffusion models", section 3.1
and appendix G ("KL-reg").
"""

import math

import tensorflow as tf

from vae_zoo import checks, errors, networks
from vae_zoo.errors import at_least
from vae_zoo.networks import sizes
from vae_zoo.vae import VAE

_HALVINGS = 3  # at most, where the user says nothing: each place stands for 8 x 8 pixels


class SpatialVAE(VAE):
    """VAE with a map of latents, flat for its users: z [D], D = h * w * c.

    Args:
        image_shape: (H, W, C).
        latent_channels: c, latent dimensions at each place of the map.
        downsampling: pixels of a side that a place stands for, a power of two. None: the image is
            halved until a side of the map is at most 8, three times at most.
        network: "resnet", the one network of this model.
        hidden: channels at each resolution; None is networks.DEFAULT_HIDDEN's of resnet.
        **kwargs: of VAE, but for latent_size, which follows from the map.

    Raises:
        UserError: for latent_size, and for values out of range.
    """

    combines = {"network": ("resnet",)}

    def __init__(
        self, image_shape, *, latent_channels=4, downsampling=None, network="resnet", **kwargs
    ):
        checks.no_latent_size(type(self), kwargs)
        self.latent_channels = at_least("latent_channels", latent_channels, 1, whole=True)
        self.halvings = _halvings(image_shape, downsampling)
        self.grid = sizes.resolutions(image_shape, self.halvings)[-1]
        latent_size = math.prod(self.grid) * self.latent_channels
        super().__init__(image_shape, latent_size, network=network, **kwargs)

    def build_networks(self):
        hidden = networks.check_hidden("resnet", self.hidden)
        shape, blocks, policy = self.image_shape, self.blocks, self.dtype_policy
        self.encoder = networks.build_map_encoder(
            shape, 2 * self.latent_channels, hidden, blocks, policy, self.halvings
        )
        outputs = self.likelihood_part.outputs
        self.decoder = networks.build_map_decoder(
            shape, self.latent_channels, hidden, blocks, policy, outputs, self.halvings
        )

    def features(self, image, label=None):
        """Returns all means and then all unbounded log-scales, [B, 2 * D]."""
        del label
        parts = tf.split(self.encoder(self.centred(image)), 2, axis=-1)  # [B, h, w, c] each
        return tf.concat([tf.reshape(part, [-1, self.latent_size]) for part in parts], axis=-1)


def _halvings(image_shape, downsampling):
    """Returns how often the image is halved to come to the map."""
    if downsampling is None:
        return min(_HALVINGS, sizes.halvings(image_shape))
    at_least("downsampling", downsampling, 2, whole=True)
    if downsampling & (downsampling - 1):
        raise errors.UserError(f"downsampling={downsampling!r}: expected a power of two, as 8.")
    return downsampling.bit_length() - 1
