"""Models whose log p(x) is known, to hold bounds against."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import vae_zoo
from vae_zoo.probability import distributions

tfd = tfp.distributions


class LinearGaussianVAE(vae_zoo.VAE):
    """p(z) = N(0, I), p(x | z) = N(Wz + b, s^2 I): log p(x) is that of N(b, WW' + s^2 I).

    Args:
        noise_scale: s.
    """

    pixel_range = None  # its likelihood takes any number

    def __init__(self, image_shape, latent_size=2, *, noise_scale=0.5, **kwargs):
        self.noise_scale = noise_scale
        super().__init__(image_shape, latent_size, **kwargs)

    def build_networks(self):
        pixels = int(np.prod(self.image_shape))
        self.posterior_head = self.build_head(pixels, 2 * self.latent_size)
        self.decoder = self.build_head(self.latent_size, pixels)

    def features(self, image, label=None):
        return self.posterior_head(tf.reshape(image, [tf.shape(image)[0], -1]))

    def likelihood(self, z, label=None):
        mean = self.decoder(z)
        mean = tf.reshape(mean, tf.concat([tf.shape(z)[:-1], self.image_shape], 0))
        return tfd.Independent(tfd.Normal(mean, self.noise_scale), 3)

    def set_exact(self, loading, mean):
        """Takes W [P, D], its columns orthogonal, and b [P]; the posterior becomes the true one."""
        variance = self.noise_scale**2 / (self.noise_scale**2 + (loading**2).sum(0))  # [D]
        projection = variance / self.noise_scale**2 * loading  # [P, D]
        log_scale = np.array([unbounded(0.5 * np.log(v)) for v in variance])
        kernel = np.concatenate([projection, np.zeros_like(loading)], axis=1)
        self.posterior_head.set_weights([kernel, np.concatenate([-mean @ projection, log_scale])])
        self.decoder.set_weights([loading.T, mean])

    def log_evidence(self, images):
        """Returns log p(x) of images [N, H, W, C] in nats, [N]."""
        kernel, mean = self.decoder.get_weights()
        covariance = kernel.T @ kernel + self.noise_scale**2 * np.eye(len(mean))
        deviation = np.reshape(images, (len(images), -1)) - mean
        mahalanobis = np.einsum("ni,ij,nj->n", deviation, np.linalg.inv(covariance), deviation)
        _, log_determinant = np.linalg.slogdet(2 * np.pi * covariance)
        return -0.5 * (mahalanobis + log_determinant)


def probabilistic_pca(images, latent_size):
    """Returns (W, b, s) of the highest likelihood, and that likelihood in nats an image.

    Source: Tipping and Bishop (1999), eq. 4, 7 and 8.
    """
    rows = np.reshape(images, (len(images), -1)).astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(rows.T, bias=True))
    values, vectors = values[::-1], vectors[:, ::-1]
    kept, rest = values[:latent_size], values[latent_size:].mean()
    loading = vectors[:, :latent_size] * np.sqrt(kept - rest)
    lost = len(values) - latent_size
    size = len(values) * np.log(2 * np.pi) + np.log(kept).sum() + lost * np.log(rest)
    return (loading, rows.mean(0), float(np.sqrt(rest))), -0.5 * (size + len(values))


def unbounded(log_scale):
    """Returns what the bounded log-scale of a posterior is `log_scale` for."""
    low, high = distributions.LOG_SCALE
    inner = high - low - _inverse_softplus(log_scale - low)  # softplus(high - value)
    return high - _inverse_softplus(inner)


def _inverse_softplus(value):
    return value + np.log(-np.expm1(-value))
