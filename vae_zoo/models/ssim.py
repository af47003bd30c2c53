"""The VAE that is also charged for what an eye would miss: the structural similarity of images.

    loss = -ELBO(x) + w (1 - MS-SSIM(x, E[p(x | z)]))
    MS-SSIM(x, y) = l_M^{a_M} prod_{j <= M} cs_j^{a_j},   image j being image j - 1 at half the size
    l = (2 m_x m_y + c) / (m_x^2 + m_y^2 + c),   cs = (2 s_xy + d) / (s_x^2 + s_y^2 + d)

m, s^2 and s_xy are local means, variances and covariances under a normal window. The ELBO that is
reported is the one of log p(x), without the penalty.

Wang, Simoncelli and Bovik (2003), "Multi-scale structural similarity for image quality assessment",
eq. 7; Snell et al. (2017), "Learning to generate images with perceptual similarity metrics".
"""

import numpy as np
import tensorflow as tf

from vae_zoo.errors import at_least
from vae_zoo.vae import VAE

_SHARES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # a_j of five scales; of fewer, scaled to sum 1
_WINDOW, _WIDTH = 11, 1.5  # pixels of a side, and of the normal's deviation
_LUMINANCE, _CONTRAST = 0.01**2, 0.03**2  # c and d, of pixels in [0, 1]
_LEAST = 1e-3  # of a factor: opposite structures have a negative one, and no root


class SSIMVAE(VAE):
    """VAE with a penalty on the structural dissimilarity of images and reconstructions.

    Args:
        image_shape: (H, W, C).
        latent_size: D.
        ssim_weight: w, in nats.
        **kwargs: of VAE.

    Raises:
        UserError: for a negative weight.
    """

    has_penalty = True
    combines = VAE.combines

    def __init__(self, image_shape, latent_size=32, *, ssim_weight=100.0, **kwargs):
        self.ssim_weight = at_least("ssim_weight", ssim_weight, 0)
        super().__init__(image_shape, latent_size, **kwargs)

    def features(self, image, label=None):
        """Returns (`VAE.features`'s result, the images): the penalty compares with them."""
        return super().features(image, label), image

    def posterior_of(self, encoded):
        return super().posterior_of(encoded[0])

    def infer(self, encoded, label, num_samples, seed):
        [latent] = super().infer(encoded, label, num_samples, seed)
        return [latent._replace(features=encoded[1])]

    def penalty(self, latents, seed):
        """Returns the weighed dissimilarity, [K, B]."""
        del seed
        [latent] = latents
        means = self.likelihood(latent.z).mean()  # [K, B, H, W, C]
        images = tf.broadcast_to(latent.features, tf.shape(means))
        flat = [tf.reshape(each, [-1, *self.image_shape]) for each in (images, means)]
        similar = tf.reshape(ms_ssim(*flat), tf.shape(means)[:2])
        return self.ssim_weight * (1.0 - similar)


def ms_ssim(x, y):
    """Returns the multi-scale structural similarity of images [N, H, W, C] in [0, 1], [N].

    As many of five scales are used as leave room for the window of 11 x 11 pixels; images smaller
    than it have one scale, and a window of their own size. The static shape is needed.
    """
    side = min(x.shape[1:3])
    scales = int(np.clip(np.log2(side / _WINDOW) + 1, 1, len(_SHARES)))
    shares = np.array(_SHARES[:scales]) / sum(_SHARES[:scales])
    kernel = _kernel(min(_WINDOW, side), x.shape[-1])
    total = 0.0
    for scale, share in enumerate(shares):
        luminance, structure = _factors(x, y, kernel)  # [N, C] each
        last = scale == scales - 1
        factor = luminance if last else structure
        total += share * tf.math.log(tf.maximum(factor, _LEAST))
        x, y = (tf.nn.avg_pool2d(each, 2, 2, "VALID") for each in (x, y))
    return tf.reduce_mean(tf.exp(total), axis=-1)


def _factors(x, y, kernel):
    """Returns the mean over places of (l cs, cs), [N, C] each."""

    def local(image):
        return tf.nn.depthwise_conv2d(image, kernel, [1, 1, 1, 1], "VALID")

    mean_x, mean_y = local(x), local(y)
    product, squares = 2.0 * mean_x * mean_y, mean_x**2 + mean_y**2
    luminance = (product + _LUMINANCE) / (squares + _LUMINANCE)
    apart = local(x**2 + y**2) - squares + _CONTRAST
    structure = (2.0 * local(x * y) - product + _CONTRAST) / apart
    both = (luminance * structure, structure)
    return tuple(tf.reduce_mean(each, axis=[1, 2]) for each in both)


def _kernel(size, channels):
    """Returns the window, float32 [size, size, channels, 1], of sum 1 for each channel."""
    places = np.arange(size) - (size - 1) / 2
    line = np.exp(-0.5 * (places / _WIDTH) ** 2)
    square = np.outer(line, line) / line.sum() ** 2
    return np.repeat(square[:, :, None, None], channels, axis=2).astype(np.float32)
