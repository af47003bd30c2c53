"""The VAE-GAN: reconstructions are compared in what a discriminator of images sees.

    loss = -w_x log p(x | z) + KL(q(z | x) || p(z)) + w_f / 2 ||f(x) - f(x')||^2 - w_a log D(x'')
    D(x) = sigmoid(l(f(x))) = p_data(x) / (p_data(x) + p_fake(x))  where it is right

x' is the decoder's mean at z; fakes x'' are those at z and at draws of the prior. D has a step of
its own after each of the model's. As in the paper, the last term trains the decoder alone; the one
before it encoder and decoder; neither trains D. The paper has w_x = 0; here the pixels' likelihood
stays by default, so that the ELBO, which is reported without the other terms, is that of a decoder
that was trained for it. D sees means in the place of draws: where images are binary, grey gives
them away, and the decoder becomes sure.

Larsen, Sonderby, Larochelle and Winther (2016), "Autoencoding beyond pixels using a learned
similarity metric", eq. 5 to 8 and algorithm 1; f is the last hidden layer of D.
"""

import keras
import tensorflow as tf

from vae_zoo import networks
from vae_zoo.errors import at_least
from vae_zoo.models import adversary
from vae_zoo.models.comparing import ComparesImages
from vae_zoo.probability import noise, posteriors

_PRIOR_STREAM = 1000  # beyond the layers' streams


class VAEGAN(ComparesImages, adversary.Adversary):
    """VAE with a discriminator of images, and a penalty on what its features miss.

    Args:
        image_shape: (H, W, C).
        latent_size: D.
        pixel_weight: w_x, of the likelihood of the pixels; 0 is the paper's.
        feature_weight: w_f, in nats.
        adversarial_weight: w_a, in nats.
        discriminator_hidden: channels of its strided convolutions.
        discriminator_learning_rate: Adam's, constant.
        **kwargs: of VAE.

    Raises:
        UserError: for a negative weight or learning rate.
    """

    combines = {"posterior": posteriors.FLAT}

    def __init__(
        self,
        image_shape,
        latent_size=32,
        *,
        pixel_weight=1.0,
        feature_weight=1.0,
        adversarial_weight=1.0,
        discriminator_hidden=(32, 64, 64),
        discriminator_learning_rate=3e-4,
        **kwargs,
    ):
        self.pixel_weight = at_least("pixel_weight", pixel_weight, 0)
        self.feature_weight = at_least("feature_weight", feature_weight, 0)
        self.adversarial_weight = at_least("adversarial_weight", adversarial_weight, 0)
        kwargs |= {"discriminator_hidden": discriminator_hidden}
        kwargs |= {"discriminator_learning_rate": discriminator_learning_rate}
        super().__init__(image_shape, latent_size, **kwargs)

    def build_discriminator(self):
        shape, hidden = self.image_shape, self.discriminator_hidden
        encoder = networks.build_encoder("conv", shape, hidden, 0, "float32", "leaky_relu")
        image = keras.Input(shape)
        seen = encoder(image)
        ratio = keras.layers.Dense(1, dtype="float32")(seen)
        return keras.Model(image, [seen, ratio], name="discriminator")

    def log_ratio(self, z):
        """Returns the discriminator's log p_data(x) - log p_fake(x) in nats, [...].

        Args:
            z: images [..., H, W, C]: they are what this discriminator takes.
        """
        return self._judged(z)[1]

    def objective(self, terms, latents, kl_weight=1.0):
        weighed = terms._replace(log_likelihood=self.pixel_weight * terms.log_likelihood)
        return super().objective(weighed, latents, kl_weight)

    def penalty(self, latents, seed):
        """Returns the weighed cost in the features and that of being told from images, [K, B]."""
        [latent] = latents
        seen, _ = self._judged(latent.features)  # [B, F]
        again, _ = self._judged(self.likelihood(latent.z).mean())  # [K, B, F]
        missed = 0.5 * tf.reduce_sum((again - seen) ** 2, axis=-1)
        z = tf.stop_gradient(latent.z)
        told = tf.nn.softplus(-self.log_ratio(self.fakes(z, seed)))  # [2, K, B]
        told = tf.reduce_mean(told, axis=0)
        return self.feature_weight * missed + self.adversarial_weight * told

    def fakes(self, z, key):
        """Returns the decoder's means at z [..., D] and at draws of the prior, [2, ..., H, W, C].

        Args:
            z: of q(z | x), [K, B, D] or [B, D].
            key: int32 [2] or [B, 2], of the noise.
        """
        samples = 1 if z.shape.rank == 2 else z.shape[0]
        shape = (tf.shape(z)[-2], [self.latent_size])
        drawn = noise.standard_normal(key, samples, *shape, stream=_PRIOR_STREAM)
        drawn = tf.reshape(drawn, tf.shape(z))
        return self.likelihood(tf.stack([z, drawn])).mean()

    def shown(self, image, latent):
        return image, latent.z[0]

    def discriminator_loss(self, z, key):
        """Returns the cross-entropy of telling images from fakes, in nats.

        Args:
            z: (images [B, H, W, C], their z [B, D]).
            key: int32 [2], of the noise.
        """
        image, z = z
        fakes = self.log_ratio(self.fakes(z, key))
        return adversary.cross_entropy(self.log_ratio(image), fakes)

    def _judged(self, image):
        """Returns (f(x) [..., F], log-ratios [...]) of images [..., H, W, C]."""
        flat = tf.reshape(image, [-1, *self.image_shape])
        seen, ratio = self.discriminator(flat)
        batch = tf.shape(image)[:-3]
        features = tf.concat([batch, [seen.shape[-1]]], axis=0)
        return tf.reshape(seen, features), tf.reshape(ratio, batch)
