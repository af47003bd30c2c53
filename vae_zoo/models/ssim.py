"""The VAE that is also charged for what an eye would miss: the structure of images.

    loss = -ELBO(x) + w apart(x, E[p(x | z)])
    ms_ssim   apart(x, y) = 1 - MS-SSIM(x, y)
    features  apart(x, y) = mean over stages l and places of ||f_l(x) - f_l(y)||^2
    MS-SSIM(x, y) = l_M^{a_M} prod_{j <= M} cs_j^{a_j},   image j being image j - 1 at half the size
    l = (2 m_x m_y + c) / (m_x^2 + m_y^2 + c),   cs = (2 s_xy + d) / (s_x^2 + s_y^2 + d)

m, s^2 and s_xy are local means, variances and covariances under a normal window. f_l are the
features of a small convolutional network after its stage l, at each place scaled to length 1. Its
weights are random and always the same: it needs no labels, no other data and no download, and knows
edges and their neighbours, but no objects. The ELBO that is reported is the one of log p(x),
without the penalty.

Wang, Simoncelli and Bovik (2003), "Multi-scale structural similarity for image quality assessment",
eq. 7; Snell et al. (2017), "Learning to generate images with perceptual similarity metrics";
Zhang et al. (2018), "The unreasonable effectiveness of deep features as a perceptual metric",
eq. 1, with random weights in the place of trained ones.
"""

import numpy as np
import tensorflow as tf

from vae_zoo import errors
from vae_zoo.errors import at_least
from vae_zoo.models.comparing import ComparesImages
from vae_zoo.vae import VAE

_SHARES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # a_j of five scales; of fewer, scaled to sum 1
_WINDOW, _WIDTH = 11, 1.5  # pixels of a side, and of the normal's deviation
_LUMINANCE, _CONTRAST = 0.01**2, 0.03**2  # c and d, of pixels in [0, 1]
_LEAST = 1e-3  # of a factor: opposite structures have a negative one, and no root
_WIDTHS = (16, 32, 64)  # channels of the random network's stages, each at half the size before
_SLOPE = 0.2  # of its rectifiers
_DARK = 1e-6  # squared length below which features are next to nothing


class SSIMVAE(ComparesImages, VAE):
    """VAE with a penalty on the dissimilarity of images and reconstructions to an eye.

    Args:
        image_shape: (H, W, C).
        latent_size: D.
        ssim_weight: w, in nats.
        dissimilarity: "ms_ssim" or "features".
        **kwargs: of VAE.

    Raises:
        UserError: for a negative weight, or an unknown dissimilarity.
    """

    has_penalty = True
    combines = VAE.combines

    def __init__(
        self, image_shape, latent_size=32, *, ssim_weight=100.0, dissimilarity="ms_ssim", **kwargs
    ):
        if dissimilarity not in tuple(DISSIMILARITIES):
            raise errors.unknown("dissimilarity", dissimilarity, DISSIMILARITIES)
        self.dissimilarity = dissimilarity
        self.ssim_weight = at_least("ssim_weight", ssim_weight, 0)
        super().__init__(image_shape, latent_size, **kwargs)

    def penalty(self, latents, seed):
        """Returns the weighed dissimilarity, [K, B]."""
        del seed
        [latent] = latents
        means = self.likelihood(latent.z).mean()  # [K, B, H, W, C]
        images = tf.broadcast_to(latent.features, tf.shape(means))
        flat = [tf.reshape(each, [-1, *self.image_shape]) for each in (images, means)]
        apart = DISSIMILARITIES[self.dissimilarity](*flat)
        return self.ssim_weight * tf.reshape(apart, tf.shape(means)[:2])


def feature_distance(x, y):
    """Returns how far images [N, H, W, C] in [0, 1] are apart in random features, [N].

    It is 0 for equal images, and at most 4. Source: Zhang et al. (2018), eq. 1.
    """
    stages = zip(_random_features(x), _random_features(y), strict=True)
    apart = [tf.reduce_sum((ours - theirs) ** 2, axis=-1) for ours, theirs in stages]
    return tf.add_n([tf.reduce_mean(each, axis=[1, 2]) for each in apart]) / len(apart)


def _random_features(image):
    """Yields the features of each stage, [N, h, w, F], of length 1 at each place."""
    rng = np.random.default_rng(0)
    for width in _WIDTHS:
        inputs = image.shape[-1]
        kernel = rng.normal(0.0, np.sqrt(2.0 / (9 * inputs)), (3, 3, inputs, width))
        image = tf.nn.conv2d(image, kernel.astype(np.float32), 2, "SAME")
        image = tf.nn.leaky_relu(image, _SLOPE)
        yield image * tf.math.rsqrt(tf.reduce_sum(image**2, axis=-1, keepdims=True) + _DARK)


def structural_dissimilarity(x, y):
    """Returns 1 less the similarity of `ms_ssim`, [N]."""
    return 1.0 - ms_ssim(x, y)


DISSIMILARITIES = {"ms_ssim": structural_dissimilarity, "features": feature_distance}


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
