"""The importance weighted autoencoder: K samples for each image, a bound closer to log p(x).

    log p(x) >= E log (1/K sum_k w_k),   w_k = p(x, z_k) / q(z_k | x),   z_k ~ q(z | x)

Burda, Grosse and Salakhutdinov (2016), "Importance weighted autoencoders", eq. 8; the gradient
counts each sample by its share v_k = w_k / sum_j w_j (eq. 14). The encoder's gradient drowns in
its noise as K grows; the doubly reparameterised one has the same mean and less variance:

    d/dphi log p(x) >= E sum_k v_k^2 (d log w_k / d z_k) (d z_k / d phi)

Tucker, Lawson, Gu and Maddison (2019), "Doubly reparameterized gradient estimators for Monte Carlo
objectives", eq. 8.
"""

from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo import errors
from vae_zoo.errors import at_least
from vae_zoo.probability.elbo import importance_weighted_bound
from vae_zoo.vae import VAE

tfd = tfp.distributions

ESTIMATORS = ("iwae", "dreg")


class IWAE(VAE):
    """VAE that is trained on the K-sample bound; K = 1 is the ELBO.

    Args:
        image_shape: (H, W, C).
        latent_size: D.
        num_samples: K, samples an image in training.
        estimator: "iwae", the bound's own gradient; or "dreg", doubly reparameterised.
        **kwargs: of VAE.

    Raises:
        UserError: for fewer samples than 1, an unknown estimator, or free bits with dreg.
    """

    analytic_training = False

    def __init__(self, image_shape, latent_size=40, *, num_samples=5, estimator="iwae", **kwargs):
        if estimator not in ESTIMATORS:
            raise errors.unknown("estimator", estimator, ESTIMATORS)
        if estimator == "dreg" and kwargs.get("free_bits"):
            raise errors.UserError(
                f"free_bits={kwargs['free_bits']!r}: expected 0 with estimator=dreg, whose "
                "gradient is that of the whole rate. Take estimator=iwae."
            )
        super().__init__(image_shape, latent_size, **kwargs)
        self.training_samples = at_least("num_samples", num_samples, 1, whole=True)
        self.estimator = estimator

    def bound(self, weights):
        return importance_weighted_bound(weights)

    def infer(self, encoded, label, num_samples, seed):
        latents = super().infer(encoded, label, num_samples, seed)
        return [_gated(latent) for latent in latents] if self.estimator == "dreg" else latents

    def rate(self, latent, analytic=True):
        if self.estimator == "dreg" and not analytic:
            latent = latent._replace(posterior=_held(latent.posterior))
        return super().rate(latent, analytic)

    def objective(self, terms, latents, kl_weight=1.0):
        loss = super().objective(terms, latents, kl_weight)
        if self.estimator == "iwae":
            return loss
        share = tf.nn.softmax(self.charged_weights(terms, kl_weight), axis=1)  # [B, K]
        # With beta or warm-up, log w = f - b log q: v^2 becomes v (1 - b + b v), v being in `loss`.
        charged = self.beta * kl_weight
        factor = tf.stop_gradient(1.0 - charged + charged * share)
        [latent] = latents
        gate = factor * tf.transpose(latent.factor) + tf.transpose(latent.one)  # zeros
        return loss + tf.reduce_sum(gate, axis=1)


class GatedLatent(NamedTuple):
    """A Latent through whose z the objective scales the gradient.

    Attributes:
        posterior, prior, z: as of Latent.
        factor, one: zeros [K, B]. Where the objective adds s * (a * factor + one), the gradient
            through z is multiplied by a, whatever s is.
    """

    posterior: Any
    prior: Any
    z: tf.Tensor
    factor: tf.Tensor
    one: tf.Tensor


def _gated(latent):
    return GatedLatent(latent.posterior, latent.prior, *_gate(latent.z))


@tf.custom_gradient
def _gate(z):
    """Returns z [K, B, D] and two zeros [K, B], whose gradients' ratio scales that of z."""
    zeros = tf.zeros(tf.shape(z)[:2])

    def gradient(through, factor, one):
        scale = tf.where(one == 0.0, 1.0, tf.math.divide_no_nan(factor, one))
        return through * scale[..., tf.newaxis]

    return (tf.identity(z), zeros, tf.identity(zeros)), gradient


def _held(posterior):
    """Returns a diagonal normal whose parameters get no gradient; its sample still does."""
    normal = posterior.distribution
    mean, scale = tf.stop_gradient(normal.loc), tf.stop_gradient(normal.scale)
    return tfd.Independent(tfd.Normal(mean, scale), posterior.reinterpreted_batch_ndims)
