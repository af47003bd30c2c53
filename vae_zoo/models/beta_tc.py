"""The beta-TCVAE: of the rate, the dependence between latent dimensions costs extra.

    E KL(q(z | x) || p(z)) = I(x; z) + TC(z) + sum_d KL(q(z_d) || p(z_d))
    TC(z) = KL(q(z) || prod_d q(z_d)),   q(z) = 1/N sum_n q(z | x_n)

Chen, Li, Grosse and Duvenaud (2018), "Isolating sources of disentanglement in variational
autoencoders", eq. 2 and 4 with alpha = gamma = 1 and beta = 1 + tc_weight. q(z) and q(z_d) are
estimated from a minibatch, appendix C.

The estimate is biased at usual sizes, in a direction that depends on the posteriors: with 128
images of 50,000 and 10 independent latents (a total correlation of 0), it reads -1.2 nats where the
posteriors have a standard deviation of 0.5, and 1.5 nats at 0.3. A negative value is no error, and
the value is no measurement: a report has bounds of it instead, from the posteriors of many images;
see metrics.total_correlation.
"""

import math

import tensorflow as tf

from vae_zoo import errors, replicas
from vae_zoo.errors import at_least
from vae_zoo.vae import VAE

SAMPLINGS = ("stratified", "weighted")


class BetaTCVAE(VAE):
    """VAE with a penalty on the total correlation of its latents, estimated from the minibatch.

    Args:
        image_shape: (H, W, C).
        latent_size: D.
        tc_weight: weight of the total correlation, beyond the 1 that it has in the rate.
        sampling: "stratified" or "weighted"; see total_correlation.
        dataset_size: N, training images; None: as many as the batch has. The train command
            fills it in.
        **kwargs: of VAE.

    Raises:
        UserError: for an unknown sampling, a negative weight, or a data set without images.
    """

    has_penalty = True

    def __init__(
        self,
        image_shape,
        latent_size=10,
        *,
        tc_weight=5.0,
        sampling="stratified",
        dataset_size=None,
        **kwargs,
    ):
        if sampling not in tuple(SAMPLINGS):
            raise errors.unknown("sampling", sampling, SAMPLINGS)
        super().__init__(image_shape, latent_size, **kwargs)
        self.tc_weight = at_least("tc_weight", tc_weight, 0)
        self.sampling = sampling
        if dataset_size is not None:
            at_least("dataset_size", dataset_size, 1, whole=True)
        self.dataset_size = dataset_size

    def penalty(self, latents, seed):
        del seed
        [latent] = latents
        normal = latent.posterior.distribution
        # The batch of all replicas: any number of workers estimates what one would.
        return self.tc_weight * total_correlation(
            replicas.gather(latent.z, axis=1),
            replicas.gather(normal.loc, axis=0),
            replicas.gather(normal.scale, axis=0),
            self.dataset_size,
            self.sampling,
        )


def total_correlation(z, mean, scale, dataset_size=None, sampling="stratified"):
    """Returns the total correlation of the aggregate posterior in nats, a scalar.

    Args:
        z: one sample of each image's posterior, [..., B, D].
        mean: of the diagonal normal posteriors, [B, D].
        scale: their standard deviations, [B, D].
        dataset_size: N; None is B.
        sampling: how the batch stands for the N posteriors of q(z): "weighted" counts each as
            1 / (N B), which adds the constant (D - 1) log N; "stratified" counts an image's own
            as the one of N that it is, and the others for the rest, without bias in q(z).

    Biased by a nat and more at usual sizes; see the module.

    Source: Chen et al. (2018), appendix C.1 and C.2 (its mean over which image comes last).
    """
    weights = mixture_log_weights(tf.shape(mean)[0], dataset_size, sampling)  # [B, B]
    deviation = (z[..., :, tf.newaxis, :] - mean) / scale  # [..., B, B, D], of image i under j
    density = -0.5 * deviation**2 - tf.math.log(scale) - 0.5 * math.log(2 * math.pi)
    joint = tf.reduce_logsumexp(tf.reduce_sum(density, axis=-1) + weights, axis=-1)  # [..., B]
    marginals = tf.reduce_logsumexp(density + weights[..., tf.newaxis], axis=-2)  # [..., B, D]
    return tf.reduce_mean(joint - tf.reduce_sum(marginals, axis=-1))


def mixture_log_weights(batch_size, dataset_size, sampling):
    """Returns the log-weight of each posterior j in the aggregate that image i sees, [B, B]."""
    batch = tf.cast(batch_size, tf.float32)
    total = batch if dataset_size is None else tf.constant(float(dataset_size))
    if sampling == "weighted":
        return tf.fill([batch_size, batch_size], -tf.math.log(total * batch))
    own, others = 1.0 / total, (1.0 - 1.0 / total) / tf.maximum(batch - 1.0, 1.0)
    return tf.math.log(tf.where(tf.eye(batch_size) > 0.0, own, others))
