"""What diffusions share: one layer at a random time, and the way down from noise.

    q(z_t | x) = N(alpha_t x, sigma_t^2),   SNR(t) = alpha_t^2 / sigma_t^2 = exp(-gamma(t))
    sum of the rates = T/2 E_i[(SNR(s) - SNR(t)) ||x - x_hat(z_t)||^2],   t = i / T, s = t - 1 / T

x is a map: an image, or the latents of one. In the limit of infinitely many layers the factor is
-1/2 SNR'(t).

Kingma, Salimans, Poole and Ho (2021), "Variational diffusion models", eq. 13 and 15.
"""

from typing import NamedTuple

import tensorflow as tf

from vae_zoo import errors, replicas
from vae_zoo.errors import at_least
from vae_zoo.probability import diffusion, noise

SAMPLERS = ("ancestral", "ddim")
_FEWER = 10  # times fewer steps of ddim
_FREQUENCIES = (0.125, 0.25, 0.5, 1.0)  # of the features of gamma
CONDITIONS = 2 * len(_FREQUENCIES)


class Layer(NamedTuple):
    """One layer of the hierarchy at one time, weighed to stand for all of them.

    Attributes:
        error: ||x - x_hat(z_t)||^2, [K, B].
        weight: half of T (SNR(s) - SNR(t)), or of -SNR'(t) in the limit, [K, B].
        log_density: log of how densely times cover gamma(t), [K, B], up to a constant.
    """

    error: tf.Tensor
    weight: tf.Tensor
    log_density: tf.Tensor

    def rate(self):
        """Returns an estimate of the rate of all layers in nats, [K, B]."""
        return self.weight * self.error


class Diffusing:
    """The methods of a VAE with a `schedule`; a model says `diffused_shape`, `denoise` and
    `sample_likelihood`.

    Attributes:
        schedule: a diffusion.NoiseSchedule.
        timesteps: T, layers; None is the limit of infinitely many.
        sample_steps: steps down, where T is infinite and the user says nothing.
    """

    timesteps = None

    @property
    def diffused_shape(self):
        """The static shape of x, (H, W, C)."""
        raise NotImplementedError

    def denoise(self, z, gamma):
        """Returns x_hat(z_t), [N, H, W, C].

        Args:
            z: z_t, [N, H, W, C].
            gamma: negative log signal-to-noise ratio, [N].
        """
        raise NotImplementedError

    def layer(self, x, time, normals):
        """Returns the Layer at given times.

        Args:
            x: [B, H, W, C], or [K, B, H, W, C].
            time: [K, B] in [0, 1); with finite T, the layer i with i - 1 <= T time < i.
            normals: noise of z_t, [K, B, H, W, C].
        """
        if self.timesteps is None:
            gamma, slope, log_density = self.schedule(time)
            weight = 0.5 * slope * tf.exp(-gamma)
        else:
            above = (tf.floor(time * self.timesteps) + 1.0) / self.timesteps
            gamma, _, log_density = self.schedule(above)
            below = self.schedule.gamma(above - 1.0 / self.timesteps)
            weight = 0.5 * self.timesteps * tf.exp(-gamma) * tf.math.expm1(gamma - below)
        z = diffusion.diffuse(x, gamma[..., tf.newaxis, tf.newaxis, tf.newaxis], normals)
        flat = tf.reshape(z, [-1, *self.diffused_shape])
        x_hat = tf.reshape(self.denoise(flat, tf.reshape(gamma, [-1])), tf.shape(z))
        return Layer(tf.reduce_sum((x - x_hat) ** 2, [-3, -2, -1]), weight, log_density)

    def even_out(self, layer):
        """Returns zeros whose gradient moves the schedule's pieces to even out the rate's size.

        The variance over times is that of rate^2, an integral over gamma with one over the density
        of times in it: the gradient is that of -rate^2 log density.
        """
        if self.timesteps is not None:
            return tf.zeros([])
        rate = tf.stop_gradient(layer.rate())
        share = tf.math.divide_no_nan(rate, replicas.mean(tf.reduce_mean(rate)))
        return share**2 * (tf.stop_gradient(layer.log_density) - layer.log_density)

    def sample(self, seed, label=None, temperature=1.0, steps=None, sampler="ancestral"):
        """Returns (images [N, H, W, C], z [N, D]), one for each row of seed; z is z_1 in vdm.

        Args:
            seed: int32 [N, 2]; see noise.rows.
            label: not used.
            temperature: factor of all noise; 1 is the model.
            steps: layers to come down by; None is T, or sample_steps where T is infinite; a tenth
                of that with "ddim".
            sampler: "ancestral" draws each layer from the model's p(z_s | z_t). "ddim" adds no
                noise on the way (Song et al., 2021, "Denoising diffusion implicit models", eq. 12
                with sigma = 0): z_1 decides all, and far fewer steps do, but its draws are not
                those of the bound.

        Raises:
            UserError: for fewer than one step, or another sampler.
        """
        likelihood, z = self.sample_likelihood(seed, label, temperature, steps, sampler)
        return likelihood.mean(), z

    def come_down(self, seed, temperature, steps, sampler):
        """Returns (z_0, z_1), [N, H, W, C] each, one for each row of seed.

        Args:
            seed: int32 [N, 2].
            temperature: factor of all noise.
            steps: layers to come down by, or None; see `sample`.
            sampler: one of SAMPLERS.

        Raises:
            UserError: for fewer than one step, or another sampler.
        """
        if sampler not in SAMPLERS:
            raise errors.unknown("sampler", sampler, SAMPLERS)
        if steps is None:
            steps = self.timesteps or self.sample_steps
            steps = steps if sampler == "ancestral" else max(1, steps // _FEWER)
        at_least("steps", steps, 1, whole=True)
        z_1 = temperature * noise.normal(seed, self.diffused_shape)
        temperature = tf.constant(temperature, tf.float32)
        return self._walk_down(z_1, seed, temperature, steps, sampler == "ancestral"), z_1

    @tf.function(autograph=False, reduce_retracing=True)  # many steps, each of many operations
    def _walk_down(self, z_1, seed, temperature, steps, ancestral):
        gammas = self.schedule.gamma(tf.linspace(1.0, 0.0, steps + 1))

        def descend(step, z):
            gamma, below = tf.gather(gammas, step), tf.gather(gammas, step + 1)
            if not ancestral:
                return step + 1, self.slide(z, gamma, below)
            normals = temperature * noise.normal(seed, self.diffused_shape, step + 1)
            return step + 1, self.descend(z, gamma, below, normals)

        return tf.while_loop(lambda step, _: step < steps, descend, (tf.constant(0), z_1))[1]

    def descend(self, z, gamma, below, normals):
        """Returns z_s out of p(z_s | z_t), [N, H, W, C].

        Args:
            z: z_t, [N, H, W, C].
            gamma, below: gamma(t) and gamma(s), scalars.
            normals: noise, [N, H, W, C].

        Source: Kingma et al. (2021), appendix A.4.
        """
        x_hat = self.denoise(z, gamma + tf.zeros_like(z[:, 0, 0, 0]))
        fresh = -tf.math.expm1(below - gamma)  # the share of sigma_s^2 that is new
        mean = diffusion.alpha(below) * ((1.0 - fresh) * z / diffusion.alpha(gamma) + fresh * x_hat)
        return mean + diffusion.sigma(below) * tf.sqrt(fresh) * normals

    def slide(self, z, gamma, below):
        """Returns z_s with the noise that z_t has in it, [N, H, W, C].

        Args:
            z: z_t, [N, H, W, C].
            gamma, below: gamma(t) and gamma(s), scalars.

        Source: Song et al. (2021), "Denoising diffusion implicit models", eq. 12 with sigma = 0.
        """
        x_hat = self.denoise(z, gamma + tf.zeros_like(z[:, 0, 0, 0]))
        its_noise = (z - diffusion.alpha(gamma) * x_hat) / diffusion.sigma(gamma)
        return diffusion.diffuse(x_hat, below, its_noise)


def conditions(gamma):
    """Returns what a denoiser sees of gamma [N]: sines and cosines, [N, CONDITIONS]."""
    angles = gamma[:, tf.newaxis] * tf.constant(_FREQUENCIES)
    return tf.concat([tf.sin(angles), tf.cos(angles)], axis=-1)
