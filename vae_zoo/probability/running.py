"""A normal prior that follows the codes of a model that has no prior of its own.

    m <- d m + (1 - d) m_b,   C <- d C + (1 - d) (C_b + d (m_b - m)(m_b - m)')

m_b and C_b are the moments of q(z) over a batch, so that p(z) = N(m, C) is the density of one
normal that the codes are likeliest under: Ghosh et al. (2020), "From variational to deterministic
autoencoders", section 4, with one component.
"""

import keras
import tensorflow as tf

from vae_zoo import replicas
from vae_zoo.probability.correlated import CorrelatedNormal

_DECAY = 0.99


@keras.saving.register_keras_serializable("vae_zoo")
class RunningNormal(keras.layers.Layer):
    """A normal of the codes' running mean and covariance; N(0, 1) at first, and without a gradient.

    Args:
        latent_size: D.
    """

    analytic_kl = True
    posteriors = ("fixed",)

    def __init__(self, latent_size, **kwargs):
        super().__init__(dtype="float32", trainable=False, **kwargs)
        self.latent_size = latent_size

    def build(self, input_shape=None):
        size = self.latent_size
        self.mean = replicas.add_shared(self, "mean", (size,), "zeros")
        self.covariance = replicas.add_shared(self, "covariance", (size, size), "identity")
        # Its Cholesky factor.
        self.scale = replicas.add_shared(self, "scale", (size, size), "identity")

    def distribution(self, posterior, label=None):
        del posterior, label
        scale = tf.linalg.LinearOperatorLowerTriangular(self.scale.value)
        return CorrelatedNormal(self.mean.value, scale)

    def follow(self, mean, covariance, good=True):
        """Moves by the moments of a global batch, [D] and [D, D], where `good`."""
        shift = mean - self.mean.value
        between = _DECAY * shift[:, tf.newaxis] * shift
        moved = _DECAY * self.covariance.value + (1.0 - _DECAY) * (covariance + between)
        new = (self.mean.value + (1.0 - _DECAY) * shift, moved, tf.linalg.cholesky(moved))
        for variable, value in zip((self.mean, self.covariance, self.scale), new, strict=True):
            variable.assign(tf.where(good, value, variable.value))

    def get_config(self):
        config = super().get_config()
        return {"latent_size": self.latent_size, "name": config["name"]}
