"""ELBO, rate, distortion and the importance-weighted NLL of each image by itself, in nats.

The figures are those of `likelihood`, image by image. The noise of an image is a function of the
seed and of its pixels alone: its scores do not depend on what other images there are.
"""

import weakref

import numpy as np
import tensorflow as tf

from vae_zoo import memory
from vae_zoo.metrics import likelihood
from vae_zoo.probability import noise

COLUMNS = ("nll", "elbo", "rate", "distortion")
_DECODES = 1024  # images x samples at once
_MOST_IMAGES = 256  # at once, of few samples each


class Scorer:
    """A function of images that gives the scores of each.

    Args:
        model: a VAE.
        num_samples: K, importance samples of each image; at most those of use.
        seed: int32, of the noise.
        batch_size: images at once; None is a good size. It changes no score.

    Attributes:
        batch_size, num_samples: as above, chosen.
    """

    def __init__(self, model, num_samples, seed, batch_size=None):
        self.num_samples = likelihood.samples_of_use(model, num_samples)
        shape = model.image_shape
        samples, self._chunks = likelihood.samples_at_once(self.num_samples, shape)
        decodes = memory.images_at_once(shape, _DECODES)
        self.batch_size = batch_size or min(_MOST_IMAGES, max(1, decodes // samples))
        self._seed, self._is_bound = seed, model.is_bound
        self._function = _compile(weakref.ref(model), samples)

    def __call__(self, image, key, label=None):
        """Returns float64 [n, len(COLUMNS)] of at most batch_size images.

        Args:
            image: float32 [n, H, W, C] in [0, 1].
            key: int32 [n], a number for each image; its noise is a function of it and the seed.
            label: int32 [n], for a conditional model.
        """
        rows = np.arange(self.batch_size) % len(image)  # one shape: one trace
        inputs = {"image": tf.constant(image[rows])}
        if label is not None:
            inputs["label"] = tf.constant(label[rows])
        numbers = tf.constant([self._seed, self.num_samples, self._chunks], tf.int32)
        results = self._function(inputs, tf.constant(key[rows], tf.int32), numbers)
        log_likelihood, bound, _, elbo, *rates = results.numpy()[: len(image)].T
        nll = -elbo if self._is_bound else -bound
        return np.stack([nll, elbo, np.sum(rates, axis=0), -log_likelihood], axis=1)


def _compile(model, samples):
    @tf.function
    def function(inputs, image_key, numbers):
        seed, num_samples, chunks = tf.unstack(numbers)

        def key(chunk):
            words = noise.threefry2x32(
                (tf.fill(tf.shape(image_key), seed), image_key),
                (tf.fill(tf.shape(image_key), chunk), tf.zeros_like(image_key)),
            )
            return tf.stack(words, axis=1)  # [B, 2]

        return likelihood.evaluate_block(model(), inputs, key, num_samples, samples, chunks)

    return function


def auroc(scores, anomalous):
    """Returns the area under the ROC curve: how often an anomaly scores above a normal image.

    Args:
        scores: float [N]; higher is more anomalous. Ties count half.
        anomalous: bool [N], with both kinds among them.

    Source: Hanley and McNeil (1982), the Wilcoxon statistic.
    """
    from scipy import stats

    ranks, anomalous = stats.rankdata(scores), np.asarray(anomalous, bool)
    count = int(anomalous.sum())
    above = ranks[anomalous].sum() - count * (count + 1) / 2
    return float(above / (count * (len(ranks) - count)))
