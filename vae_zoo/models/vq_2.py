"""Vector quantisation at two levels: codes of the whole of an image, and of its parts given them.

    top      c_i = argmin_k ||t_i(h(x)) - u_k||,   on a grid of half the sides
    bottom   d_j = argmin_k ||e_j(h(x), u_c) - v_k||
    -ELBO(x) = -log p(x | u_c, v_d) - log p(c) - log p(d | c)

h(x) is a map of features; the bottom codes say what the top ones do not. The decoder sees both.
One causal transformer goes over the top codes and then over the bottom ones, so that it is the
prior of either. All else is as in vq_vae: codebooks that follow their means, a prior trained along,
a bound of log p(x).

Razavi, van den Oord and Vinyals (2019), "Generating diverse high-fidelity images with VQ-VAE-2",
section 3 and algorithms 1 and 2 (there the priors are two networks, trained afterwards).
"""

import math

import keras
import tensorflow as tf

from vae_zoo import errors, networks
from vae_zoo.models.vq import VQVAE
from vae_zoo.networks import sizes
from vae_zoo.probability import codebook

_ONLY = {"quantizer": "codebook", "num_quantizers": 1}


class VQVAE2(VQVAE):
    """Autoencoder of two levels of codes, with an autoregressive prior over both.

    `encode` gives the codes of the top level first, row by row, and then those of the bottom one.

    Args:
        image_shape: (H, W, C); the bottom codes lie on a grid of sides halved until one is at most
            8, the top codes on one of half its sides.
        latent_size: D, of a code's vector; None is VQVAE's.
        **kwargs: of VQVAE, but for another quantizer; codebook_size is that of each level.

    Raises:
        UserError: for those, and for values out of range.
    """

    combines = {"network": ("resnet",)}

    def __init__(self, image_shape, latent_size=None, **kwargs):
        for name, only in _ONLY.items():
            if kwargs.get(name, only) != only:
                raise errors.UserError(
                    f"{name}={kwargs[name]!r}: expected {only} in VQVAE2, which has a codebook for "
                    "each of its two levels. Leave it out."
                )
        super().__init__(image_shape, latent_size, **kwargs)

    def build_maps(self, hidden):
        policy = self.dtype_policy
        features = max(hidden[-1] // 4, 4)  # more make the layers next to the map most of the model
        map_shape = (*self.grid, features)
        self.top_grid = sizes.resolutions(map_shape, 1)[-1]
        self.level_places = (math.prod(self.top_grid), math.prod(self.grid))
        self.vector_places = sum(self.level_places)
        image = (self.image_shape, features, hidden, self.blocks, policy)
        self.encoder = networks.build_map_encoder(*image)
        top = (map_shape, self.latent_size, hidden[-1:], self.blocks, policy)
        self.top_encoder = networks.build_map_encoder(*top, 1)
        self.top_decoder = networks.build_map_decoder(*top, features, 1)
        self.bottom_head = keras.layers.Conv2D(self.latent_size, 1, dtype=policy)
        self.bottom_head.build((None, *self.grid, 2 * features))
        channels = features + self.latent_size
        seen = (self.image_shape, channels, hidden, self.blocks, policy)
        self.decoder = networks.build_map_decoder(*seen, self.likelihood_part.outputs)

    def build_quantizer(self):
        each = (self.codebook_size, self.latent_size, self.decay)
        return codebook.LevelCodebooks(*each, self.level_places)

    def features(self, image, label=None):
        """Returns what the codes of both levels are the nearest of, top first, [B, L, D]."""
        del label
        seen = self.encoder(self.centred(image))  # [B, h, w, F]
        top = tf.cast(self.top_encoder(seen), tf.float32)
        book = self.codebook.books[0]
        chosen = codebook.straight_through(top, book.vectors_of(book.nearest(top)))
        whole = self._whole(tf.reshape(chosen, [-1, self.level_places[0] * self.latent_size]))
        joined = tf.concat([tf.cast(seen, tf.float32), whole], axis=-1)
        bottom = tf.cast(self.bottom_head(joined), tf.float32)
        levels = [tf.reshape(each, [-1, n, self.latent_size])
                  for each, n in zip((top, bottom), self.level_places, strict=True)]  # fmt: skip
        return tf.concat(levels, axis=1)

    def decoder_inputs(self, z, label=None):
        """Returns what the decoder sees of the vectors of both levels: a map, flat."""
        del label
        top, bottom = tf.split(z, [n * self.latent_size for n in self.level_places], axis=-1)
        shape = tf.shape(z)[:-1]
        parts = [
            tf.reshape(part, tf.concat([shape, [*self.grid, channels]], axis=0))
            for part, channels in ((self._whole(top), -1), (bottom, self.latent_size))
        ]
        joined = tf.concat(parts, axis=-1)
        return tf.reshape(joined, tf.concat([shape, [self.decoder.input_shape[-1]]], axis=0))

    def _whole(self, vectors):
        """Returns the top level as the bottom one and the decoder see it, [..., h, w, F].

        Args:
            vectors: of the top codes, flat, [..., h' * w' * D].
        """
        return tf.cast(networks.over_samples(self.top_decoder, vectors), tf.float32)
