"""Latent diffusion: the VAE with a map of latents, whose prior is a diffusion trained with it.

    -ELBO(x) = -E log p(x | z) - H[q(z | x)] + E[-log p(z)],   z a map of [h, w, c]
    -log p(z) <= KL(q(z_1 | z) || N(0, 1)) + h w c / 2 (log 2 pi e + gamma(0))
                 + 1/2 E_t[gamma'(t) exp(-gamma(t)) ||z - z_hat(z_t)||^2]

z_t is z with noise (models.diffusing), and p(z | z_0) = N(z_0 / alpha_0, exp(gamma(0))) reads z
from the least noisy one: the second term. So what is reported stays a bound of log p(x), and its
gradient trains encoder, decoder, denoiser and schedule together. The network says how far z_hat is
from alpha_t z_t, the best guess where z is N(0, 1). It starts at zero: an untrained prior is
N(0, 1), and the bound that of spatial_vae, to within h w c / 2 exp(gamma(0)) nats.

Vahdat, Kreis and Kautz (2021), "Score-based generative modeling in latent space", eq. 5 to 8 and
section 3.2 (their mixing coefficient is fixed here: v of Salimans and Ho, 2022, in the place of
the noise); Rombach et al. (2022), "High-resolution image synthesis with latent diffusion models",
section 3.3 (which train the map first); Kingma et al. (2021), eq. 15.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from vae_zoo import networks
from vae_zoo.errors import at_least
from vae_zoo.models.diffusing import CONDITIONS, Diffusing, Layer, conditions
from vae_zoo.models.spatial import SpatialVAE
from vae_zoo.networks import unet
from vae_zoo.probability import diffusion, noise
from vae_zoo.vae import batch_size

_ENDS = (-10.0, 5.0)  # gamma(0) and gamma(1) at the start: of latents near N(0, 1)
_LAYER, _TIME = 1, 2  # noise streams: z_t and t; 0 is z's


class Crossing(NamedTuple):
    """What the diffusion says of samples z: it stands for their prior in a Latent.

    Attributes:
        nats: a bound of -log p(z), unbiased, [K, B].
        layer: the Layer behind it.
    """

    nats: tf.Tensor
    layer: Layer


class LatentDiffusion(Diffusing, SpatialVAE):
    """VAE with a map of latents and a diffusion as its prior, trained jointly.

    `posterior`, `encode` and `decode` are of z, flat [D]; `prior` is that of z_1, N(0, 1).

    Args:
        image_shape: (H, W, C).
        latent_channels: c, latent dimensions at each place of the map.
        denoiser_hidden: channels of the denoiser, a U-Net of the map, at each resolution.
        denoiser_blocks: its residual blocks at each resolution, down and up.
        sample_steps: steps of `sample`, where it is not told.
        **kwargs: of SpatialVAE: downsampling, hidden; of VAE.

    Raises:
        UserError: for values out of range.
    """

    is_bound = True
    bound_samples = 16  # of z and the time
    has_penalty = True  # its value is zero: it has the schedule's gradient
    combines = {"network": ("resnet",)}

    def __init__(
        self,
        image_shape,
        *,
        latent_channels=4,
        denoiser_hidden=(64,),
        denoiser_blocks=2,
        sample_steps=50,
        **kwargs,
    ):
        self.denoiser_hidden = networks.check_widths("denoiser_hidden", denoiser_hidden)
        self.denoiser_blocks = at_least("denoiser_blocks", denoiser_blocks, 0, whole=True, most=100)
        self.sample_steps = at_least("sample_steps", sample_steps, 1, whole=True)
        super().__init__(image_shape, latent_channels=latent_channels, **kwargs)

    def build_networks(self):
        super().build_networks()
        channels = self.latent_channels
        self.schedule = diffusion.NoiseSchedule(*_ENDS, shape_from_bound=False)
        self.denoiser = unet.build_unet(
            self.diffused_shape,
            channels,
            CONDITIONS,
            channels,
            self.denoiser_hidden,
            self.denoiser_blocks,
            self.dtype_policy,
        )

    @property
    def diffused_shape(self):
        return (*self.grid, self.latent_channels)

    def infer(self, encoded, label, num_samples, seed):
        [latent] = super().infer(encoded, label, num_samples, seed)
        batch, shape = batch_size(encoded), self.diffused_shape
        normals = noise.standard_normal(seed, num_samples, batch, shape, _LAYER)
        time = noise.spread_uniform(seed, num_samples, batch, _TIME)
        z = tf.reshape(latent.z, [num_samples, batch, *shape])
        return [latent._replace(prior=self.crossing(z, time, normals))]

    def crossing(self, z, time, normals):
        """Returns the Crossing of maps.

        Args:
            z: [K, B, h, w, c].
            time: [K, B] in [0, 1).
            normals: noise of z_t, [K, B, h, w, c].
        """
        layer = self.layer(z, time, normals)
        low, high = self.schedule.gamma(0.0), self.schedule.gamma(1.0)
        squares = tf.reduce_sum(z**2, [-3, -2, -1])
        noisy = tf.sigmoid(high)  # sigma_1^2
        end = tf.sigmoid(-high) * squares + self.latent_size * (noisy - 1.0 - tf.math.log(noisy))
        read = self.latent_size * (math.log(2.0 * math.pi * math.e) + low)
        return Crossing(0.5 * (end + read) + layer.rate(), layer)

    def rate(self, latent, analytic=True):
        """Returns a bound of KL(q || p), [K, B]; its mean over the noise is one.

        Args:
            latent: a Latent.
            analytic: the entropy of q in closed form; False: -log q(z | x) at the samples.
        """
        posterior = latent.posterior
        negentropy = -posterior.entropy() if analytic else posterior.log_prob(latent.z)
        return negentropy + latent.prior.nats

    def penalty(self, latents, seed):
        del seed
        return self.even_out(latents[0].prior.layer)

    def denoise(self, z, gamma):
        """Returns z_hat(z_t), what the latents are to be expected, [N, h, w, c].

        Args:
            z: z_t, [N, h, w, c].
            gamma: negative log signal-to-noise ratio, [N].
        """
        velocity = tf.cast(self.denoiser([z, conditions(gamma)]), tf.float32)
        gamma = gamma[:, tf.newaxis, tf.newaxis, tf.newaxis]
        return diffusion.alpha(gamma) * z - diffusion.sigma(gamma) * velocity

    def sample_prior(self, seed, label=None, temperature=1.0, steps=None, sampler="ancestral"):
        """Returns one z for each row of seed, [N, D]; see `sample` for the arguments."""
        seed, _ = self.draw_arguments(seed, label)
        z_0, _ = self.come_down(seed, temperature, steps, sampler)
        z = z_0 / diffusion.alpha(self.schedule.gamma(0.0))  # the noise of p(z | z_0) is left out
        return tf.reshape(z, [-1, self.latent_size])

    def sample_likelihood(
        self, seed, label=None, temperature=1.0, steps=None, sampler="ancestral"
    ):
        """Returns (p(x | z) of batch [N], z [N, D]), one for each row of seed; see `sample`."""
        z = self.sample_prior(seed, label, temperature, steps, sampler)
        return self.likelihood(z), z
