"""The importance weighted autoencoder: K samples for each image, a bound closer to log p(x).

    log p(x) >= E log (1/K sum_k w_k),   w_k = p(x, z_k) / q(z_k | x),   z_k ~ q(z | x)

Burda, Grosse and Salakhutdinov (2016), "Importance weighted autoencoders", eq. 8; the gradient
counts each sample by its share v_k = w_k / sum_j w_j (eq. 14). The encoder's gradient drowns in
its noise as K grows. The other estimators mend that:

    dreg   the same mean and less variance: E sum_k v_k^2 (d log w_k / d z_k) (d z_k / d phi)
    stl    log q's own parameters held: no noise where q is exact; biased for K > 1
    miwae  the mean of the bounds of M groups of K / M samples
    ciwae  b ELBO + (1 - b) IWAE
    piwae  the decoder has the gradient of iwae, the encoder that of miwae

Tucker, Lawson, Gu and Maddison (2019), "Doubly reparameterized gradient estimators for Monte Carlo
objectives", eq. 8 (dreg); Roeder, Wu and Duvenaud (2017), "Sticking the landing: simple,
lower-variance gradient estimators for variational inference" (stl); Rainforth et al. (2018),
"Tighter variational bounds are not necessarily better", section 5 (miwae, ciwae, piwae).
"""

import math
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo import errors
from vae_zoo.errors import at_least
from vae_zoo.probability.elbo import importance_weighted_bound
from vae_zoo.vae import VAE

tfd = tfp.distributions

ESTIMATORS = ("iwae", "dreg", "stl", "miwae", "ciwae", "piwae")
_OWN_ENCODER_GRADIENT = ("dreg", "stl", "piwae")
_LEAST_SHARE = 1e-30  # of piwae: what the encoder's share is divided by


class IWAE(VAE):
    """VAE that is trained on the K-sample bound; K = 1 is the ELBO.

    Args:
        image_shape: (H, W, C).
        latent_size: D.
        num_samples: K, samples an image in training.
        estimator: of ESTIMATORS; see the module.
        groups: M, of miwae and piwae: so many parts of K.
        elbo_weight: b, of ciwae.
        **kwargs: of VAE.

    Raises:
        UserError: for an unknown estimator, for groups that do not divide the samples, free bits
            with dreg, a capacity, and for values out of range.
    """

    analytic_training = False

    def __init__(
        self,
        image_shape,
        latent_size=40,
        *,
        num_samples=5,
        estimator="iwae",
        groups=1,
        elbo_weight=0.5,
        **kwargs,
    ):
        if estimator not in tuple(ESTIMATORS):
            raise errors.unknown("estimator", estimator, ESTIMATORS)
        _check_rate(estimator, kwargs)
        self.training_samples = at_least("num_samples", num_samples, 1, whole=True)
        self.groups = _check_groups(groups, num_samples, estimator)
        self.elbo_weight = at_least("elbo_weight", elbo_weight, 0)
        if elbo_weight > 1:
            raise errors.UserError(f"elbo_weight={elbo_weight!r}: expected a share, at most 1.")
        super().__init__(image_shape, latent_size, **kwargs)
        self.estimator = estimator

    def bound(self, weights):
        if self.estimator == "miwae":
            parts = _grouped(weights, self.groups)
            return tf.reduce_mean(importance_weighted_bound(parts, axis=2), axis=1)
        bound = importance_weighted_bound(weights)
        if self.estimator == "ciwae":
            elbo = tf.reduce_mean(weights, axis=1)
            return self.elbo_weight * elbo + (1.0 - self.elbo_weight) * bound
        return bound

    def infer(self, encoded, label, num_samples, seed):
        latents = super().infer(encoded, label, num_samples, seed)
        if self.estimator not in _OWN_ENCODER_GRADIENT:
            return latents
        gated = _gated_density if self.estimator == "piwae" else _held_density
        return [gated(latent) for latent in latents]

    def rate(self, latent, analytic=True):
        if hasattr(latent, "density") and not analytic:
            latent = latent._replace(posterior=latent.density)
        return super().rate(latent, analytic)

    def objective(self, terms, latents, kl_weight=1.0):
        if self.estimator not in ("dreg", "piwae"):
            return super().objective(terms, latents, kl_weight)
        weights = self.charged_weights(terms, kl_weight)
        share = tf.nn.softmax(weights, axis=1)  # [B, K]
        if self.estimator == "dreg":
            loss = -self.bound(weights)
            # With beta or warm-up, log w = f - b log q: v^2 becomes v (1 - b + b v).
            charged = self.beta * kl_weight
            factor = 1.0 - charged + charged * share
        else:
            share = tf.stop_gradient(tf.maximum(share, _LEAST_SHARE))
            sum_of_shares = tf.reduce_sum(share * weights, axis=1)  # has the gradient of the bound
            loss = -sum_of_shares - tf.stop_gradient(self.bound(weights) - sum_of_shares)
            groups = _grouped(weights, self.groups)  # [B, M, K / M]
            mean = tf.nn.softmax(groups, axis=2) / groups.shape[1]
            factor = tf.reshape(mean, tf.shape(weights)) / share
        [latent] = latents
        factor = tf.stop_gradient(factor)
        gate = factor * tf.transpose(latent.factor) + tf.transpose(latent.one)  # zeros
        return loss + tf.reduce_sum(gate, axis=1)


class GatedLatent(NamedTuple):
    """A Latent through which the objective scales the encoder's gradient.

    Attributes:
        posterior, prior, z: as of Latent.
        density: q(z | x) as the rate takes it at the samples, [B] or [K, B].
        factor, one: zeros [K, B]. Where the objective adds s * (a * factor + one), the gradient
            through z, and through a gated density, is multiplied by a, whatever s is.
    """

    posterior: Any
    prior: Any
    z: tf.Tensor
    density: Any
    factor: tf.Tensor
    one: tf.Tensor


def _held_density(latent):
    """Returns a GatedLatent whose density's parameters get no gradient; its sample still does."""
    mean, scale = map(tf.stop_gradient, _parameters(latent.posterior))
    z, factor, one = _gate(latent.z)
    density = tfd.Independent(tfd.Normal(mean, scale), 1)
    return GatedLatent(latent.posterior, latent.prior, z, density, factor, one)


def _gated_density(latent):
    """Returns a GatedLatent whose sample and density's parameters are all gated."""
    zeros = tf.zeros_like(latent.z)
    parts = [latent.z, *(zeros + parameter for parameter in _parameters(latent.posterior))]
    gated, factor, one = _gate(tf.concat(parts, axis=-1))
    z, mean, scale = tf.split(gated, 3, axis=-1)
    density = tfd.Independent(tfd.Normal(mean, scale), 1)
    return GatedLatent(latent.posterior, latent.prior, z, density, factor, one)


def _parameters(posterior):
    """Returns (mean, standard deviation) of a diagonal normal, [B, D] each."""
    return posterior.distribution.loc, posterior.distribution.scale


@tf.custom_gradient
def _gate(z):
    """Returns z [K, B, N] and two zeros [K, B], whose gradients' ratio scales that of z."""
    zeros = tf.zeros(tf.shape(z)[:2])

    def gradient(through, factor, one):
        scale = tf.where(one == 0.0, 1.0, tf.math.divide_no_nan(factor, one))
        return through * scale[..., tf.newaxis]

    return (tf.identity(z), zeros, tf.identity(zeros)), gradient


def _grouped(weights, groups):
    """Returns log-weights [B, K] as [B, M, K / M]; as many groups as divide another K."""
    samples = weights.shape[1]
    groups = math.gcd(groups, samples)
    return tf.reshape(weights, [-1, groups, samples // groups])


def _check_groups(groups, num_samples, estimator):
    at_least("groups", groups, 1, whole=True)
    if groups > 1 and estimator not in ("miwae", "piwae"):
        raise errors.UserError(f"groups={groups!r}: expected estimator=miwae or piwae with it.")
    if num_samples % groups:
        raise errors.UserError(
            f"groups={groups!r}: expected a number that num_samples={num_samples!r} can be divided "
            "by."
        )
    return groups


def _check_rate(estimator, given):
    """Raises a UserError for a rate that the estimator cannot charge."""
    if estimator == "dreg" and given.get("free_bits"):
        raise errors.UserError(
            f"free_bits={given['free_bits']!r}: expected 0 with estimator=dreg, whose "
            "gradient is that of the whole rate. Take estimator=iwae."
        )
    if given.get("capacity") is not None:
        raise errors.UserError(
            f"capacity={given['capacity']!r}: expected None of a bound of many samples, which has "
            "no rate of its own to hold. Take capacity_vae."
        )
