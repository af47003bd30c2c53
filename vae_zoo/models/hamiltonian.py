"""The Hamiltonian VAE: the posterior's sample moves towards the true posterior, which pulls at it.

    z_0 ~ q(z | x),   r_0 = n / sqrt(b_0),   n ~ N(0, 1)
    T times: a leapfrog step of (z, r) under U(z) = -log p(x, z); then r <- r sqrt(b_{t-1} / b_t)
    ELBO(x) = E[log p(x, z_T) + log N(r_T; 0, 1) - log q(z_0 | x) - log N(n; 0, 1)]

A leapfrog step keeps volumes, and cooling by b_0 < ... < b_T = 1 changes that of r by b_0^(D / 2),
which cancels against the density of r_0. Each sample's weight has the mean p(x), so that the
importance weighted bound is one too. Step sizes and b_0 are learned.

Caterini, Doucet and Sejdinovic (2018), "Hamiltonian variational auto-encoder", eq. 9 and 11 to 14,
and algorithm 1.
"""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo.errors import at_least
from vae_zoo.probability import distributions, noise
from vae_zoo.probability.elbo import Latent
from vae_zoo.vae import VAE, batch_size

tfd = tfp.distributions

_LONGEST = 0.5  # step of a dimension
_FIRST = 0.05  # step of each dimension at the start
_COLDEST = 0.5  # b_0 at the start


class Path(NamedTuple):
    """Where samples came from, and what the move cost.

    Attributes:
        start: q(z | x), batch [B], of z_0.
        log_density: log q(z_0 | x) + log N(n; 0, 1) - log N(r_T; 0, 1), [K, B].
    """

    start: tfd.Distribution
    log_density: tf.Tensor


class HamiltonianVAE(VAE):
    """VAE whose samples of the posterior take T leapfrog steps, each a gradient of the decoder.

    `posterior`, `encode` and `reconstruct` are those of z_0.

    Args:
        image_shape: (H, W, C).
        latent_size: D.
        leapfrog_steps: T.
        **kwargs: of VAE.

    Raises:
        UserError: for fewer than one step.
    """

    analytic_kl = False
    combines = {"prior": ("standard", "mixture", "maf", "realnvp"), "posterior": ("normal", "full")}

    def __init__(self, image_shape, latent_size=32, *, leapfrog_steps=4, **kwargs):
        self.leapfrog_steps = at_least("leapfrog_steps", leapfrog_steps, 1, whole=True)
        super().__init__(image_shape, latent_size, **kwargs)

    def build_networks(self):
        super().build_networks()
        self.step_logits = self._add("step_logits", [self.latent_size], _FIRST / _LONGEST)
        self.cold_logit = self._add("cold_logit", [], _COLDEST)

    def _add(self, name, shape, share):
        initial = keras.initializers.Constant(np.log(share / (1.0 - share)))
        return self.add_weight(
            name=name, shape=shape, initializer=initial, dtype="float32", autocast=False
        )

    def features(self, image, label=None):
        """Returns (`VAE.features`'s result, the images): the steps need the likelihood."""
        return super().features(image, label), image

    def posterior_of(self, encoded):
        return super().posterior_of(encoded[0])

    def infer(self, encoded, label, num_samples, seed):
        shape, size = [2, self.latent_size], batch_size(encoded)
        normals = noise.standard_normal(seed, num_samples, size, shape)  # [K, B, 2, D]
        start = self.posterior_of(encoded)
        z = distributions.reparameterize(start, normals[:, :, 0])
        momentum = normals[:, :, 1]
        log_density = start.log_prob(z) - 0.5 * tf.reduce_sum(momentum**2, axis=-1)
        z, momentum = self.move(z, momentum, encoded[1], label)
        log_density += 0.5 * tf.reduce_sum(momentum**2, axis=-1)
        return [Latent(Path(start, log_density), self.prior(label), z)]

    def move(self, z, momentum, image, label=None):
        """Returns (z_T, r_T) of z_0 and n, [K, B, D] each."""
        step = _LONGEST * tf.sigmoid(self.step_logits)
        roots = self._root_temperatures()
        momentum = momentum / roots[0]
        pull = self._pull(z, image, label)
        for before, after in zip(roots[:-1], roots[1:], strict=True):
            momentum = momentum + 0.5 * step * pull
            z = z + step * momentum
            pull = self._pull(z, image, label)
            momentum = (momentum + 0.5 * step * pull) * before / after
        return z, momentum

    def _root_temperatures(self):
        """Returns sqrt(b_0) to sqrt(b_T) = 1: their inverses fall as a square; section 3.3."""
        inverse = tf.math.rsqrt(tf.sigmoid(self.cold_logit))
        shares = (np.arange(self.leapfrog_steps + 1) / self.leapfrog_steps) ** 2
        return [1.0 / ((1.0 - inverse) * share + inverse) for share in shares]

    def _pull(self, z, image, label):
        """Returns the gradient of log p(x, z) to z, [K, B, D]."""
        with tf.GradientTape() as tape:
            tape.watch(z)
            joint = self.likelihood(z, label).log_prob(image) + self.prior(label).log_prob(z)
            total = tf.reduce_sum(joint)
        return tape.gradient(total, z)

    def rate(self, latent, analytic=True):
        """Returns log q(z_0 | x) + log N(n) - log N(r_T) - log p(z_T), [K, B]; never analytic."""
        del analytic
        return latent.posterior.log_density - latent.prior.log_prob(latent.z)

    def figures(self):
        sizes = _LONGEST * tf.sigmoid(self.step_logits)
        found = {"mean_step_size": tf.reduce_mean(sizes), "beta_0": tf.sigmoid(self.cold_logit)}
        return {name: float(value) for name, value in found.items()}
