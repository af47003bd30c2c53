"""The DIP-VAE: over all images, the latent dimensions should be uncorrelated, of variance 1.

    objective = ELBO - a sum_{i != j} C_ij^2 - b sum_i (C_ii - 1)^2
    I:   C = Cov_x[mu(x)]
    II:  C = Cov_x[mu(x)] + E_x[Sigma(x)],  the covariance of q(z)

Kumar, Sattigeri and Balakrishnan (2018), "Variational inference of disentangled latent concepts
from unlabeled observations", eq. 6 and 7: a and b are lambda_od and lambda_d. C is that of the
batch.
"""

import tensorflow as tf

from vae_zoo import errors, replicas
from vae_zoo.errors import at_least
from vae_zoo.probability.correlated import covariance
from vae_zoo.vae import VAE

_DIAGONAL = {"I": 10.0, "II": 1.0}  # b / a, where the user gives none; as in the paper


class DIPVAE(VAE):
    """VAE with a penalty on the covariance of its latents.

    Args:
        image_shape: (H, W, C).
        latent_size: D.
        kind: "I", of the posteriors' means; or "II", of their samples.
        off_diagonal_weight: a, of squared covariances, in nats.
        diagonal_weight: b, of squared distances of the variances from 1; None: 10 a of kind I,
            a of kind II.
        **kwargs: of VAE.

    Raises:
        UserError: for an unknown kind, or a negative weight.
    """

    has_penalty = True

    def __init__(
        self,
        image_shape,
        latent_size=10,
        *,
        kind="II",
        off_diagonal_weight=10.0,
        diagonal_weight=None,
        **kwargs,
    ):
        if kind not in tuple(_DIAGONAL):
            raise errors.unknown("kind", kind, _DIAGONAL)
        super().__init__(image_shape, latent_size, **kwargs)
        self.kind = kind
        self.off_diagonal_weight = at_least("off_diagonal_weight", off_diagonal_weight, 0)
        if diagonal_weight is None:
            diagonal_weight = _DIAGONAL[kind] * off_diagonal_weight
        self.diagonal_weight = at_least("diagonal_weight", diagonal_weight, 0)

    def penalty(self, latents, seed):
        del seed
        normal = latents[0].posterior.distribution
        # The batch of all replicas: any number of workers estimates what one would.
        mean, scale = (replicas.gather(part, axis=0) for part in (normal.loc, normal.scale))
        found = covariance(mean, scale if self.kind == "II" else None)
        squared = (found - tf.eye(self.latent_size)) ** 2
        diagonal = tf.reduce_sum(tf.linalg.diag_part(squared))
        off_diagonal = tf.reduce_sum(squared) - diagonal
        return self.diagonal_weight * diagonal + self.off_diagonal_weight * off_diagonal
