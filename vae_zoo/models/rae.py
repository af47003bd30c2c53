"""The regularised autoencoder: a nearly deterministic encoder, and a decoder that is held smooth.

    loss = -E log p(x | z) + a ||m(x)||^2 / 2 + w R(decoder),   z ~ N(m(x), 0.1^2)

    l2        R = sum of the decoder's squared weights
    gradient  R = ||d D(z) / d z||^2, by one random direction of the image
    spectral  R = sum over its layers of the squared largest singular value of the kernel

Ghosh, Sajjadi, Vergari, Black and Schoelkopf (2020), "From variational to deterministic
autoencoders", eq. 9 to 11. Two things differ from the paper. The encoder keeps a little noise, of
one deviation, so that the ELBO is a bound of log p(x). And "spectral" charges the norms that their
RAE-SN divides by: Yoshida and Miyato (2017), "Spectral norm regularization", eq. 4.

No prior is trained: samples are draws of a normal that follows the codes.
"""

import tensorflow as tf

from vae_zoo import errors, replicas
from vae_zoo.errors import at_least
from vae_zoo.models.following import Following
from vae_zoo.networks import spectral
from vae_zoo.probability import noise
from vae_zoo.probability.correlated import covariance

_DIRECTION_STREAM = 1000  # beyond the layers' streams


class RAE(Following):
    """Autoencoder whose decoder is regularised in the place of the posterior's noise.

    Args:
        image_shape: (H, W, C).
        latent_size: D.
        regularizer: "l2", "gradient" or "spectral".
        decoder_weight: w, in nats.
        code_weight: a, in nats.
        beta: weight of the rate against the running prior; the paper has none.
        prior: "running", of the codes' running mean and covariance; or "standard".
        posterior: "fixed", the one posterior of this model.
        **kwargs: of VAE.

    Raises:
        UserError: for an unknown regularizer, or a negative weight.
    """

    has_penalty = True
    combines = {"prior": ("running", "standard"), "posterior": ("fixed",)}

    def __init__(
        self,
        image_shape,
        latent_size=16,
        *,
        regularizer="l2",
        decoder_weight=1e-3,
        code_weight=0.1,
        beta=0.0,
        prior="running",
        posterior="fixed",
        **kwargs,
    ):
        if regularizer not in tuple(REGULARIZERS):
            raise errors.unknown("regularizer", regularizer, REGULARIZERS)
        kwargs |= {"beta": beta, "prior": prior, "posterior": posterior}
        super().__init__(image_shape, latent_size, **kwargs)
        self.regularizer = regularizer
        self.decoder_weight = at_least("decoder_weight", decoder_weight, 0)
        self.code_weight = at_least("code_weight", code_weight, 0)

    def penalty(self, latents, seed):
        [latent] = latents
        codes = 0.5 * tf.reduce_sum(latent.posterior.mean() ** 2, axis=-1)  # [B]
        smooth = REGULARIZERS[self.regularizer](self, latent.z, seed)
        return self.code_weight * codes + self.decoder_weight * smooth

    def follow(self, encoded, key, good):
        del key
        if self.prior_name != "running":
            return
        normal = self.posterior_of(encoded).distribution
        mean, scale = (replicas.gather(part, axis=0) for part in (normal.loc, normal.scale))
        self.prior_part.follow(tf.reduce_mean(mean, axis=0), covariance(mean, scale), good)


def squared_weights(model, z, seed):
    """Returns the sum of the decoder's squared weights, a scalar."""
    del z, seed
    weights = [tf.cast(weight.value, tf.float32) for weight in model.decoder.trainable_variables]
    return tf.add_n([tf.reduce_sum(weight**2) for weight in weights])


def squared_gradient(model, z, seed):
    """Returns an unbiased estimate of the squared norm of the decoder's Jacobian, [K, B].

    It is ||J' v||^2 for a standard normal v of the image's shape: its mean is the norm's.
    """
    shape = (z.shape[0], tf.shape(z)[1], list(model.image_shape))
    direction = noise.standard_normal(seed, *shape, stream=_DIRECTION_STREAM)
    with tf.GradientTape() as tape:
        tape.watch(z)
        along = tf.reduce_sum(model.likelihood(z).mean() * direction)
    return tf.reduce_sum(tape.gradient(along, z) ** 2, axis=-1)


def squared_spectral_norms(model, z, seed):
    """Returns the sum over the decoder's kernels of the squared largest singular value, a scalar.

    A convolution's kernel is taken as the matrix of a place: [inputs, outputs].
    """
    del z, seed
    weights = [weight.value for weight in model.decoder.trainable_variables]
    kernels = [weight for weight in weights if len(weight.shape) > 1]
    return tf.reduce_sum(spectral.spectral_norms(kernels) ** 2)


REGULARIZERS = {
    "l2": squared_weights,
    "gradient": squared_gradient,
    "spectral": squared_spectral_norms,
}
