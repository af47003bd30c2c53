"""Principal components of the training images, past both networks of a model.

An image's coordinates on them are added to the posterior's parameters, and what they make of z to
the locations of the pixels:

    mu_k(x) += (g_k / v_k) u_k . (x - m),   log sigma_k(x) += log(s^2 / v_k) / 2
    location(z) += sum_k z_k g_k u_k,       g_k^2 = v_k - s^2

m is the training images' mean, v_k their variance on the component u_k, and s^2 what all components
leave of a pixel. So a model starts as probabilistic principal component analysis, with its exact
posterior, and its networks learn what no linear map sees. By themselves they find the weaker
components one after the other, in many times the steps. The components are not trained.

Tipping and Bishop (1999), "Probabilistic principal component analysis", eqs. 3 to 8; that a linear
VAE's best bound is there: Lucas et al. (2019), "Don't blame the ELBO!".
"""

import math

import keras
import numpy as np
import tensorflow as tf

_SIDE = 32  # pixels of the longer side, at most, of the images that have components
_LEAST = 20  # images, to find components of
_LEAST_NOISE = (2.0 / 255.0) ** 2  # a grey level: images that are all the same leave nothing
_HELD_OUT = 10  # each tenth image does not find components, and tells their variances


@keras.saving.register_keras_serializable("vae_zoo")
class PrincipalPath(keras.layers.Layer):
    """The path from an image to its posterior and from z to the image that is linear, and fixed.

    Images larger than 32 pixels are averaged over blocks before, and blocks become pixels after.
    Before `start_at` the path adds nothing.

    Args:
        image_shape: (H, W, C).
        latent_size: D.
    """

    def __init__(self, image_shape, latent_size, **kwargs):
        super().__init__(dtype="float32", trainable=False, **kwargs)
        self.image_shape, self.latent_size = tuple(image_shape), latent_size
        height, width, channels = image_shape
        self.block = -(-max(height, width) // _SIDE)
        self.small = (-(-height // self.block), -(-width // self.block), channels)

    def build(self, input_shape=None):
        def add(name, shape, start):
            return self.add_weight(name=name, shape=shape, initializer=start, autocast=False)

        self.components = add("components", (math.prod(self.small), self.latent_size), "zeros")
        self.gains = add("gains", (self.latent_size,), "zeros")
        self.variances = add("variances", (self.latent_size,), "ones")
        self.noise = add("noise", (), "ones")

    def parameters(self, image):
        """Returns what is added to means and to log deviations, [B, 2 * D].

        Args:
            image: float32 [B, H, W, C], of mean 0.
        """
        coordinates = tf.matmul(self._rows(image), self.components)
        means = coordinates * (self.gains / self.variances)
        log_scales = tf.math.log(self.noise / self.variances) / 2
        return tf.concat([means, tf.broadcast_to(log_scales, tf.shape(means))], axis=-1)

    def call(self, z):
        """Returns what is added to the locations, [N, H, W, C], for z [N, D]."""
        return self._enlarged(tf.matmul(z * self.gains, self.components, transpose_b=True))

    def start_at(self, images):
        """Finds the components of images, and returns what they leave of those held out.

        Args:
            images: float32 [N, H, W, C], of mean 0. Of fewer than 20 nothing is found.

        Returns:
            The mean squares of the differences, [H, W, C].
        """
        from sklearn.utils import extmath

        if len(images) < _LEAST:
            return np.mean(images**2, axis=0)
        rows = np.asarray(self._rows(images))
        seen = np.delete(rows, slice(None, None, _HELD_OUT), axis=0)
        count = min(self.latent_size, rows.shape[1], len(seen) - 1)
        components = extmath.randomized_svd(seen, count, n_iter=2, random_state=0)[2].T
        coordinates = rows[::_HELD_OUT] @ components
        left = images[::_HELD_OUT] - self._enlarged(coordinates @ components.T).numpy()
        noise = max(np.mean(left**2), _LEAST_NOISE) / self.block**2  # of a block's average
        variances = np.maximum(np.mean(coordinates**2, axis=0), noise)
        missing = (0, self.latent_size - count)
        self.components.assign(np.pad(components, [(0, 0), missing]))
        self.gains.assign(np.pad(np.sqrt(variances - noise), missing))
        self.variances.assign(np.pad(variances, missing, constant_values=noise))
        self.noise.assign(noise)
        return np.mean(left**2, axis=0)

    def _rows(self, images):
        """Returns images as the numbers that have components, [N, h * w * C]."""
        if self.block > 1:
            images = tf.nn.avg_pool2d(images, self.block, self.block, "SAME")
        return tf.reshape(images, (-1, math.prod(self.small)))

    def _enlarged(self, rows):
        """Returns such numbers as images, [N, H, W, C]."""
        images = tf.reshape(rows, (-1, *self.small))
        if self.block == 1:
            return images
        height, width, _ = self.image_shape
        padded = [side * self.block for side in self.small[:2]]
        top, left = (padded[0] - height) // 2, (padded[1] - width) // 2  # as of "SAME"
        images = tf.image.resize(images, padded, "bilinear")
        return images[:, top : top + height, left : left + width]

    def get_config(self):
        return {name: getattr(self, name) for name in ("image_shape", "latent_size", "name")}
