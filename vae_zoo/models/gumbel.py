"""The VAE of categorical latents: N variables, each one of C classes.

    q(z | x) = prod_n Cat(z_n; p_n(x)),   p(z) = prod_n Cat(z_n; 1 / C)
    z_n = one_hot(argmax_c (l_nc + g_nc)),   g Gumbel noise, l = log p up to a constant
    gradient of z_n: that of softmax((l_n + g_n) / t)

Jang, Gu and Poole (2017), "Categorical reparameterization with Gumbel-softmax", eq. 1 and section
2.2; Maddison, Mnih and Teh (2017), "The concrete distribution". Samples are classes, never shares
of them, in training too: the ELBO is a bound of log p(x), and its gradient alone is biased. Closer
to t = 0 it is less biased, and has more noise.
"""

import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo import errors
from vae_zoo.errors import at_least
from vae_zoo.probability import noise
from vae_zoo.probability.codebook import draw_one_hots
from vae_zoo.probability.elbo import Latent
from vae_zoo.vae import VAE

tfd = tfp.distributions


class GumbelVAE(VAE):
    """VAE whose z is N one-hot vectors of C classes, flat for its users: z [N * C].

    Args:
        image_shape: (H, W, C).
        variables: N.
        categories: C.
        temperature: t, of the gradient's softmax.
        **kwargs: of VAE, but for latent_size, which is N * C.

    Raises:
        UserError: for latent_size, and for values out of range.
    """

    combines = {}

    def __init__(self, image_shape, *, variables=20, categories=10, temperature=0.67, **kwargs):
        if "latent_size" in kwargs:
            raise errors.UserError(
                f"latent_size={kwargs['latent_size']!r}: the latents of {type(self).__name__} are "
                "classes. Expected variables, and categories, the classes of each."
            )
        self.variables_and_categories = (
            at_least("variables", variables, 1, whole=True),
            at_least("categories", categories, 2, whole=True),
        )
        self.temperature = at_least("temperature", temperature, 1e-3)
        super().__init__(image_shape, variables * categories, **kwargs)

    def build_networks(self):
        self.encoder = self.build_encoder()
        self.posterior_head = self.build_head(self.encoder.output_shape[-1], self.latent_size)
        self.decoder = self.build_decoder(self.latent_size)

    def posterior_of(self, encoded):
        logits = tf.cast(encoded, tf.float32)
        return OneHots(tf.reshape(logits, [-1, *self.variables_and_categories]))

    def prior(self, label=None):
        del label
        return OneHots(tf.zeros(self.variables_and_categories))

    def infer(self, encoded, label, num_samples, seed):
        posterior, batch = self.posterior_of(encoded), tf.shape(encoded)[0]
        normals = noise.standard_normal(seed, num_samples, batch, self.variables_and_categories)
        z = draw_one_hots(posterior.distribution.logits, normals, self.temperature)  # [K, B, N, C]
        z = tf.reshape(z, [num_samples, -1, self.latent_size])
        return [Latent(posterior, self.prior(label), z)]

    def sample_prior(self, seed, label=None, temperature=1.0):
        """Returns one z for each row of seed, [N, D]; temperature changes no uniform prior."""
        del temperature
        seed, _ = self.draw_arguments(seed, label)
        variables, categories = self.variables_and_categories
        classes = tf.cast(noise.uniform(seed, [variables]) * categories, tf.int32)
        return tf.reshape(tf.one_hot(classes, categories), [-1, self.latent_size])


class OneHots(tfd.Independent):
    """N independent classes as one flat vector of N one-hot vectors.

    Args:
        logits: [..., N, C].
    """

    def __init__(self, logits):
        self._event = logits.shape[-2:]
        super().__init__(tfd.OneHotCategorical(logits=logits, dtype=tf.float32), 1)

    def _event_shape(self):
        return tf.TensorShape([self._event.num_elements()])

    def _log_prob(self, x, **kwargs):
        shape = tf.concat([tf.shape(x)[:-1], self._event], axis=0)
        logits = tf.nn.log_softmax(self.distribution.logits)
        return tf.reduce_sum(tf.reshape(x, shape) * logits, axis=[-2, -1])

    def _mean(self, **kwargs):
        return self._flat(self.distribution.mean())

    def _variance(self, **kwargs):
        return self._flat(self.distribution.variance())

    def _stddev(self, **kwargs):
        return tf.sqrt(self._variance())

    def _flat(self, value):
        shape = tf.concat([tf.shape(value)[:-2], [self._event.num_elements()]], axis=0)
        return tf.reshape(value, shape)


@tfd.RegisterKL(OneHots, OneHots)
def _kl_divergence(posterior, prior, name=None):
    """Returns KL(q || p) in nats, the sum over the variables."""
    each = tfd.kl_divergence(posterior.distribution, prior.distribution, name=name)
    return tf.reduce_sum(each, axis=-1)
