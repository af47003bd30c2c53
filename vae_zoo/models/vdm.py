"""Variational diffusion: a hierarchy of T, or infinitely many, layers with a fixed posterior.

    q(z_t | x) = N(alpha_t x, sigma_t^2),   SNR(t) = alpha_t^2 / sigma_t^2 = exp(-gamma(t))
    -ELBO(x) = KL(q(z_1 | x) || N(0, 1)) - E[log p(x | z_0)]
               + T/2 E_i[(SNR(s) - SNR(t)) ||x - x_hat(z_t)||^2],   t = i / T, s = t - 1 / T

alpha_t^2 + sigma_t^2 = 1, and p(z_s | z_t) is q(z_s | z_t, x) with x_hat in the place of x. Images
are moved to [-1, 1]. One layer at a random time stands for all. The schedule gamma is learned: its
ends by the bound; its shape too for finite T, while in the limit the bound does not depend on it
and it lowers the variance of the estimate. The paper's gamma is a monotone network; here it is
piecewise linear with 16 learned pieces: in the limit the bound depends on its ends alone, and the
density of times over gamma is then a histogram, which says at once how to even out the variance.

Kingma, Salimans, Poole and Ho (2021), "Variational diffusion models", eq. 11, 13 and 15.
"""

import math

import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo import errors
from vae_zoo.errors import at_least
from vae_zoo.models.diffusing import CONDITIONS, Diffusing, Layer, conditions
from vae_zoo.networks import unet
from vae_zoo.probability import diffusion, distributions, likelihoods, noise
from vae_zoo.probability.elbo import Latent
from vae_zoo.vae import VAE

tfd = tfp.distributions

# gamma(0) and gamma(1) at the start of training: next to no noise, next to nothing else.
_ENDS = {"bernoulli": (-3.0, 7.0), "discretized_logistic": (-14.0, 7.0)}
_START, _READ, _LAYER, _TIME = range(4)  # noise streams: z_1, z_0, z_t and t


class VDM(Diffusing, VAE):
    """Variational diffusion model.

    Args:
        image_shape: (H, W, C).
        timesteps: T, layers of the hierarchy; None is the limit of infinitely many.
        sample_steps: steps of `sample`, where it is not told and T is None.
        network: "unet", the one network of this model.
        hidden: channels of the U-Net at each resolution; see unet.DEFAULT_HIDDEN.
        blocks: residual blocks at each resolution, down and up.
        **kwargs: of VAE. The latent variables have the image's size.
    """

    is_bound = True
    bound_samples = 16  # of the time; with one, most of the error is of the time, not of images
    decodes_z = False
    combines = {"network": ("unet",), "channels": ("independent",)}

    def __init__(
        self,
        image_shape,
        *,
        timesteps=None,
        sample_steps=100,
        network="unet",
        blocks=1,
        **kwargs,
    ):
        if "latent_size" in kwargs:
            raise errors.UserError(
                f"latent_size={kwargs['latent_size']!r}: vdm has no such choice, its latents are "
                "noisy images. Leave it out."
            )
        if timesteps is not None:
            timesteps = at_least("timesteps", timesteps, 1, whole=True)
        self.timesteps = timesteps
        self.sample_steps = at_least("sample_steps", sample_steps, 1, whole=True)
        super().__init__(
            image_shape, math.prod(image_shape), network=network, blocks=blocks, **kwargs
        )

    def build_likelihood(self, scale, mixture_components, channels):
        """Returns None: z_0 has the image's size, and `likelihood` reads each pixel from it."""
        if self.likelihood_name not in _ENDS:
            raise errors.UserError(
                f"likelihood={self.likelihood_name!r} does not combine with {type(self).__name__}. "
                f"Expected likelihood to be {' or '.join(map(repr, _ENDS))}."
            )
        if (scale, mixture_components, channels) != ("shared", 1, "independent"):
            raise errors.UserError(
                f"scale, mixture_components and channels do not combine with "
                f"{type(self).__name__}, which reads each pixel from a latent of its own. Expected "
                "them left out."
            )

    def build_networks(self):
        channels = self.image_shape[-1]
        low, high = _ENDS[self.likelihood_name]
        finite = self.timesteps is not None
        self.schedule = diffusion.NoiseSchedule(low, high, shape_from_bound=finite)
        self.denoiser = unet.build_unet(
            self.image_shape,
            2 * channels,
            CONDITIONS,
            channels * (1 if self.likelihood_name == "bernoulli" else diffusion.PRIOR_PARAMETERS),
            self.hidden,
            self.blocks,
            self.dtype_policy,
        )

    @property
    def diffused_shape(self):
        return self.image_shape

    def features(self, image, label=None):
        del label
        return 2.0 * image - 1.0

    def posterior_of(self, encoded):
        """Returns q(z_1 | x), the only posterior that has a prior of its own."""
        gamma = self.schedule.gamma(1.0)
        scale = tf.fill(tf.shape(encoded), diffusion.sigma(gamma))
        return tfd.Independent(tfd.Normal(diffusion.alpha(gamma) * encoded, scale), 3)

    def prior(self, label=None):
        del label
        return distributions.standard_normal(self.image_shape)

    def likelihood(self, z, label=None):
        """Returns p(x | z_0) for z_0 [..., H, W, C]: each pixel from its own latent alone."""
        del label
        gamma = self.schedule.gamma(0.0)
        if self.likelihood_name == "bernoulli":
            return tfd.Independent(likelihoods.Bernoulli(logits=diffusion.evidence(z, gamma)), 3)
        seen = z / diffusion.alpha(gamma)
        return tfd.Independent(diffusion.QuantizedPixel(seen, tf.exp(0.5 * gamma)), 3)

    def infer(self, encoded, label, num_samples, seed):
        batch = encoded.shape[0] or tf.shape(encoded)[0]

        def normals(stream):  # [K, B, H, W, C]
            return noise.standard_normal(seed, num_samples, batch, self.image_shape, stream)

        posterior = self.posterior_of(encoded)
        z_1 = distributions.reparameterize(posterior, normals(_START))
        z_0 = diffusion.diffuse(encoded, self.schedule.gamma(0.0), normals(_READ))
        time = noise.spread_uniform(seed, num_samples, batch, _TIME)
        layer = self.layer(encoded, time, normals(_LAYER))
        return [Latent(posterior, self.prior(label), z_1), Latent(None, layer, z_0)]

    def layer_rates(self, inputs, seed):
        """Returns the rate of each of the T layers in nats, [T, B]: their sum is what the second
        column of `terms` estimates.

        Args:
            inputs: {"image": [B, H, W, C]}.
            seed: int32 [2] or [B, 2], of the noise; the layers share it.

        Raises:
            UserError: where T is infinite.
        """
        if self.timesteps is None:
            raise errors.UserError(
                "timesteps=None: there are infinitely many layers. Expected a finite number."
            )
        x = self.features(self.check_inputs(inputs)[0])
        batch = tf.shape(x)[0]
        normals = noise.standard_normal(seed, 1, batch, self.image_shape, _LAYER)

        def rate(index):
            time = tf.fill([1, batch], (tf.cast(index, tf.float32) + 0.5) / self.timesteps)
            layer = self.layer(x, time, normals)
            return layer.rate()[0] / self.timesteps

        return tf.map_fn(rate, tf.range(self.timesteps), fn_output_signature=tf.float32)

    def rate(self, latent, analytic=True):
        if isinstance(latent.prior, Layer):
            return latent.prior.rate()
        return super().rate(latent, analytic)

    def penalty(self, latents, seed):
        del seed
        return self.even_out(latents[-1].prior)

    def denoise(self, z, gamma):
        """Returns x_hat(z_t), what the pixels are to be expected, [N, H, W, C].

        The network gives each pixel's prior in its context; the pixel's own noisy value comes in
        by Bayes' rule. What remains to be learned is smooth in gamma.

        Args:
            z: z_t, [N, H, W, C].
            gamma: negative log signal-to-noise ratio, [N].
        """
        features = conditions(gamma)
        gamma = gamma[:, tf.newaxis, tf.newaxis, tf.newaxis]
        own = diffusion.evidence(z, gamma) / 2.0
        inputs = tf.concat([z, tf.tanh(own)], axis=-1)
        outputs = tf.cast(self.denoiser([inputs, features]), tf.float32)
        if self.likelihood_name == "bernoulli":
            return tf.tanh(own + outputs)
        parameters = tf.split(outputs, diffusion.PRIOR_PARAMETERS, axis=-1)
        seen = z / diffusion.alpha(gamma)
        return diffusion.expected_pixel(seen, tf.exp(0.5 * gamma), *parameters)

    def reconstruct(self, image, label=None):
        """Returns the likelihood's mean at the mean of z_0, which has next to no noise."""
        x = self.features(*self.check_inputs({"image": image, "label": label}))
        return self.likelihood(diffusion.alpha(self.schedule.gamma(0.0)) * x).mean()

    def sample_likelihood(
        self, seed, label=None, temperature=1.0, steps=None, sampler="ancestral"
    ):
        """Returns (p(x | z_0), z_1 [N, H * W * C]); see `sample`."""
        seed, _ = self.draw_arguments(seed, label)
        z_0, z_1 = self.come_down(seed, temperature, steps, sampler)
        return self.likelihood(z_0), tf.reshape(z_1, [-1, self.latent_size])
