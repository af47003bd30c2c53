"""The InfoVAE: the latents of all images together should have the law of the prior.

    objective = E log p(x | z) - beta KL(q(z | x) || p(z)) - mmd_weight MMD^2(q(z), p(z))
    MMD^2(q, p) = E k(z, z') - 2 E k(z, y) + E k(y, y'),   z, z' ~ q(z),   y, y' ~ p(z)

Zhao, Song and Ermon (2019), "InfoVAE: Balancing learning and inference in variational
autoencoders", eq. 6 with beta = 1 - alpha and mmd_weight = alpha + lambda - 1. The rate pulls each
image's posterior to the prior, at the cost of information in z; the maximum mean discrepancy
(Gretton et al., 2012) pulls only their mixture.

The Wasserstein autoencoder with MMD, Tolstikhin, Bousquet, Gelly and Schoelkopf (2018), algorithm
2, is beta=0, kernel="imq", mmd_weight its lambda.
"""

import tensorflow as tf

from vae_zoo import errors, replicas
from vae_zoo.errors import at_least
from vae_zoo.probability import distributions, noise
from vae_zoo.vae import VAE

_PRIOR_STREAM = 1000  # beyond the layers' streams


def _rbf(squared_distance, size):
    return tf.exp(-squared_distance / (2.0 * size))


def _imq(squared_distance, size):
    return 2.0 * size / (2.0 * size + squared_distance)


# 2 D, the mean squared distance of two samples of N(0, I), is the length scale of both.
KERNELS = {"rbf": _rbf, "imq": _imq}


class InfoVAE(VAE):
    """VAE with a penalty on the maximum mean discrepancy of its latents and the prior.

    Args:
        image_shape: (H, W, C).
        latent_size: D.
        beta: weight of the rate: 1 - alpha of the paper.
        mmd_weight: weight of the squared discrepancy, in nats.
        kernel: "rbf", exp(-d^2 / 2D), or "imq", 2D / (2D + d^2), heavier in its tails.
        **kwargs: of VAE.

    Raises:
        UserError: for an unknown kernel, or a negative weight.
    """

    has_penalty = True

    def __init__(
        self, image_shape, latent_size=10, *, beta=0.5, mmd_weight=100.0, kernel="rbf", **kwargs
    ):
        if kernel not in tuple(KERNELS):
            raise errors.unknown("kernel", kernel, KERNELS)
        super().__init__(image_shape, latent_size, beta=beta, **kwargs)
        self.mmd_weight = at_least("mmd_weight", mmd_weight, 0)
        self.kernel = kernel

    def penalty(self, latents, seed):
        [latent] = latents
        num_samples, batch = latent.z.shape[0], tf.shape(latent.z)[1]
        normals = noise.standard_normal(
            seed, num_samples, batch, [self.latent_size], stream=_PRIOR_STREAM
        )
        prior = distributions.reparameterize(latent.prior, normals)  # [K, B, D]
        # The batch of all replicas: any number of workers estimates what one would.
        return self.mmd_weight * squared_mmd(
            replicas.gather(latent.z, axis=1), replicas.gather(prior, axis=1), self.kernel
        )


def squared_mmd(first, second, kernel="rbf"):
    """Returns the unbiased estimate of the squared maximum mean discrepancy, a scalar.

    Args:
        first: samples [..., N, D] of one law; leading axes are averaged.
        second: samples [..., M, D] of the other.
        kernel: "rbf" or "imq".

    Source: Gretton et al. (2012), "A kernel two-sample test", eq. 3. It may fall below zero.
    """
    return (
        _mean_of_pairs(first, kernel)
        + _mean_of_pairs(second, kernel)
        - 2.0 * tf.reduce_mean(_kernel_matrix(first, second, kernel))
    )


def _kernel_matrix(first, second, kernel):
    difference = first[..., :, tf.newaxis, :] - second[..., tf.newaxis, :, :]  # [..., N, M, D]
    return KERNELS[kernel](tf.reduce_sum(difference**2, axis=-1), first.shape[-1])


def _mean_of_pairs(samples, kernel):
    """Returns the kernel's mean over pairs of different samples; 0 where there is only one."""
    count = tf.cast(tf.shape(samples)[-2], tf.float32)
    matrix = _kernel_matrix(samples, samples, kernel)  # ones on its diagonal
    pairs = tf.reduce_sum(matrix, axis=[-2, -1]) - count
    return tf.reduce_mean(pairs) / tf.maximum(count * (count - 1.0), 1.0)
