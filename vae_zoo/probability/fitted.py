"""Priors that are fitted to the latents of a trained model: gmm, two_stage, diffusion.

    gmm:        p(z) = sum_k w_k N(z; m_k, C_k)
    two_stage:  p(z) = int N(z; f(u), s^2) N(u; 0, 1) du,  a second VAE, of the latents
    diffusion:  z_t = cos(pi t / 2) z + sin(pi t / 2) noise,  a network that takes the noise away

Ghosh et al. (2020), "From variational to deterministic autoencoders", section 5; Dai and Wipf
(2019), "Diagnosing and enhancing VAE models", section 4; Rombach et al. (2022), "High-resolution
image synthesis with latent diffusion models", section 3.2.
"""

import math

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo import errors
from vae_zoo.probability import distributions, noise, priors

tfd = tfp.distributions

_HIDDEN = (256, 256)
_DRAW_STREAM = -2  # of the noise that two_stage adds to a draw
_LOSS_STREAM, _TIME_STREAM = 1, 2  # of a loss's noise: 0 is that of the latents it is taken at
_DENOISING_STEPS = 32
_WAVES = 4  # of the time that the network of the diffusion sees
_LEAST_SCALE = 1e-3  # of latents that hardly vary


@keras.saving.register_keras_serializable("vae_zoo")
class FullMixture(priors.Mixture):
    """A mixture of K normals of full covariance."""

    def build(self, input_shape=None):
        shape = (self.components, self.latent_size)
        self.logits = self.add_weight(
            shape=shape[:1], initializer="zeros", name="logits", autocast=False
        )
        self.means = self.add_weight(shape=shape, initializer="zeros", name="means", autocast=False)
        # Lower triangular, F F' = C.
        self.factors = self.add_weight(shape=(*shape, shape[1]), name="factors", autocast=False)

    def normals(self):
        return tfd.MultivariateNormalTriL(self.means.value, self.factors.value)

    def draw(self, seed, temperature=1.0):
        """Returns one z for each row of seed, portable: [N, D]."""
        index = priors.pick(tf.nn.softmax(self.logits.value), seed)
        normals = temperature * noise.normal(seed, [1, self.latent_size])
        factors = tf.gather(self.factors.value, index)  # [N, D, D]
        return tf.gather(self.means.value, index) + tf.reduce_sum(factors * normals, axis=-1)


class WithoutDensity(priors.Prior, keras.layers.Layer):
    """What two_stage and diffusion share: latents of mean 0 and deviation 1, no density.

    Args:
        latent_size: D.
    """

    def __init__(self, latent_size, **kwargs):
        super().__init__(**kwargs)
        self.latent_size = latent_size

    def build(self, input_shape=None):
        for name, initial in (("mean", "zeros"), ("deviation", "ones")):
            weight = self.add_weight(
                shape=(self.latent_size,), initializer=initial, trainable=False, name=name
            )
            setattr(self, name, weight)

    def start_at(self, z):
        """Takes mean and deviation of latents [N, D]."""
        self.mean.assign(tf.reduce_mean(z, axis=0))
        self.deviation.assign(tf.maximum(tf.math.reduce_std(z, axis=0), _LEAST_SCALE))

    def standardised(self, z):
        return (z - self.mean.value) / self.deviation.value

    def distribution(self, posterior, label=None):
        raise errors.UserError(
            f"prior={self.name!r} draws latents and gives no density of them: there is no bound of "
            "log p(x) with it. Expected gmm, maf, realnvp or vamp, or the model's own prior."
        )

    def get_config(self):
        return {**super().get_config(), "latent_size": self.latent_size}


@keras.saving.register_keras_serializable("vae_zoo")
class TwoStage(WithoutDensity):
    """A VAE of the latents, with as many latent dimensions, u; see WithoutDensity.

    Source: Dai and Wipf (2019), section 4; as there, the scale of p(z | u) is learned.
    """

    def __init__(self, latent_size, **kwargs):
        super().__init__(latent_size, **kwargs)
        self.encoder = _network(latent_size, 2 * latent_size, "encoder")
        self.decoder = _network(latent_size, latent_size, "decoder")

    def build(self, input_shape=None):
        super().build()
        self.log_scale = self.add_weight(
            shape=(), initializer="zeros", name="log_scale", autocast=False
        )

    def loss(self, z, seed):
        """Returns the negative ELBO of standardised z [B, D], nats, a scalar; seed int32 [2]."""
        z = self.standardised(z)
        posterior = distributions.diagonal_normal(self.encoder(z))
        batch, size = tf.shape(z)[0], [self.latent_size]
        normals = noise.standard_normal(seed, 1, batch, size, _LOSS_STREAM)[0]
        mean = self.decoder(distributions.reparameterize(posterior, normals))
        likelihood = tfd.Independent(tfd.Normal(mean, tf.exp(self.log_scale.value)), 1)
        rate = tfd.kl_divergence(posterior, distributions.standard_normal(size))
        return tf.reduce_mean(rate - likelihood.log_prob(z))

    def draw(self, seed, temperature=1.0):
        """Returns one z for each row of seed, portable: [N, D]."""
        size = [self.latent_size]
        mean = self.decoder(temperature * noise.normal(seed, size))
        spread = temperature * tf.exp(self.log_scale.value)
        z = mean + spread * noise.normal(seed, size, _DRAW_STREAM)
        return self.mean.value + self.deviation.value * z


@keras.saving.register_keras_serializable("vae_zoo")
class LatentDiffusion(WithoutDensity):
    """A diffusion of the latents; see WithoutDensity.

    The network gives v = alpha noise - sigma z. A draw starts from noise and takes 32 steps, which
    add none: a function of its noise.

    Source: Salimans and Ho (2022), "Progressive distillation for fast sampling of diffusion
    models", section 4 (v); Song et al. (2021), "Denoising diffusion implicit models", eq. 12.
    """

    def __init__(self, latent_size, **kwargs):
        super().__init__(latent_size, **kwargs)
        self.denoiser = _network(latent_size + 2 * _WAVES, latent_size, "denoiser")

    def loss(self, z, seed):
        """Returns the mean squared error of v, a scalar, for z [B, D]; seed int32 [2]."""
        z, batch = self.standardised(z), tf.shape(z)[0]
        normals = noise.standard_normal(seed, 1, batch, [self.latent_size], _LOSS_STREAM)[0]
        time = noise.spread_uniform(seed, 1, batch, _TIME_STREAM)[0][:, tf.newaxis]  # [B, 1]
        alpha, sigma = _alpha_and_sigma(time)
        found = self._velocity(alpha * z + sigma * normals, time)
        return tf.reduce_mean((found - (alpha * normals - sigma * z)) ** 2)

    def draw(self, seed, temperature=1.0):
        """Returns one z for each row of seed, portable: [N, D]."""

        def step(number, z):
            time = 1.0 - tf.cast(number, tf.float32) / _DENOISING_STEPS
            velocity = self._velocity(z, time + 0.0 * z[:, :1])
            alpha, sigma = _alpha_and_sigma(time)
            clean, normals = alpha * z - sigma * velocity, sigma * z + alpha * velocity
            alpha, sigma = _alpha_and_sigma(time - 1.0 / _DENOISING_STEPS)
            return number + 1, alpha * clean + sigma * normals

        start = temperature * noise.normal(seed, [self.latent_size])
        loop = (tf.constant(0), start)
        z = tf.while_loop(lambda number, _: number < _DENOISING_STEPS, step, loop)[1]
        return self.mean.value + self.deviation.value * z

    def _velocity(self, z, time):
        angles = math.pi * time * tf.range(0.5, _WAVES, 1.0)  # [B, waves]
        return self.denoiser(tf.concat([z, tf.sin(angles), tf.cos(angles)], axis=-1))


def _network(inputs, outputs, name):
    stack = [keras.layers.Dense(units, activation="relu") for units in _HIDDEN]
    last = keras.layers.Dense(outputs)
    return keras.Sequential([keras.layers.Input((inputs,)), *stack, last], name=name)


def _alpha_and_sigma(time):
    return tf.cos(0.5 * math.pi * time), tf.sin(0.5 * math.pi * time)


NAMES = ("gmm", "maf", "realnvp", "vamp", "diffusion", "two_stage")
COMPONENTS = {"gmm": 10, "vamp": 100}  # by default, of those that have components
_STEPS = 4  # of a flow


def build(name, model, components):
    """Returns a prior to fit, built, for the latents of a model.

    Args:
        name: of NAMES.
        model: a VAE.
        components: K, of gmm and vamp.
    """
    if name in priors.PRIORS:
        shape = model.image_shape
        part = priors.build(name, model.latent_size, components, shape, None, _STEPS)
    else:
        parts = {"gmm": (FullMixture, components), "two_stage": (TwoStage,)}
        part_class, *sizes = parts.get(name, (LatentDiffusion,))
        part = part_class(*sizes, model.latent_size, name=name)
        part.build(None)
    return part
