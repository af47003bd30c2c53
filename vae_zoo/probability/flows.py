"""Steps of flows that are priors: maf, masked autoregressive, and realnvp, by affine couplings.

    e ~ N(0, 1),   z_i = m_i(z) + e_i exp(a_i(z)),   log p(z) = log N(e; 0, 1) - sum_i a_i(z)

In maf, m_i and a_i depend on the elements before i alone: the density takes one pass through the
network, a draw takes D. In realnvp, half of the elements stay as they are, and the others depend on
those alone: both take one pass.

Papamakarios, Pavlakou and Murray (2017), "Masked autoregressive flow for density estimation",
eqs. 3 to 5; Dinh, Sohl-Dickstein and Bengio (2017), "Density estimation using Real NVP", eqs. 7-9.
"""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo.probability import distributions, posteriors

tfd, tfb = tfp.distributions, tfp.bijectors

_HIDDEN = (128, 128)  # of a step's network
_BOUND = 3.0  # of a step's log-scale: the inverse stays exact in float32
_LEAST_SCALE = 1e-3  # of latents that hardly vary
_FAR = 1e6  # what a draw of maf has not yet computed must not overflow


class AffineStep(tfb.Bijector):
    """One step e -> z = m(z) + e exp(a(z)).

    Args:
        network: a layer [..., D] -> [..., 2 D], which gives m and the unbounded a.
        passes: after so many, starting anywhere, m(z) and a(z) are those of the z that they give.
    """

    def __init__(self, network, passes):
        parameters = {"network": network, "passes": passes}
        super().__init__(forward_min_event_ndims=1, parameters=parameters, name="affine_step")
        self.network, self.passes = network, passes

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, x):
        def again(z):
            shift, log_scale = self._shift_and_log_scale(z)
            return (tf.clip_by_value(shift + x * tf.exp(log_scale), -_FAR, _FAR),)

        if self.passes == 1:
            return again(x)[0]
        always = tf.constant(True)
        return tf.while_loop(lambda z: always, again, (x,), maximum_iterations=self.passes)[0]

    def _inverse(self, y):
        shift, log_scale = self._shift_and_log_scale(y)
        return (y - shift) * tf.exp(-log_scale)

    def _inverse_log_det_jacobian(self, y):
        return -tf.reduce_sum(self._shift_and_log_scale(y)[1], axis=-1)

    def _shift_and_log_scale(self, z):
        shift, log_scale = tf.split(self.network(z), 2, axis=-1)
        return shift, _BOUND * tf.tanh(log_scale / _BOUND)


@keras.saving.register_keras_serializable("vae_zoo")
class Coupling(keras.layers.Layer):
    """z [..., D] -> [..., 2 D], zero for each second element, and of those elements alone.

    Args:
        size: D.
        keep: 0 or 1, the first of the elements that stay.
        hidden: widths.

    Source: Dinh et al. (2017), eq. 9.
    """

    def __init__(self, size, keep, hidden=_HIDDEN, **kwargs):
        super().__init__(**kwargs)
        self.size, self.keep, self.hidden = size, keep, tuple(hidden)
        self.kept = (np.arange(size) % 2 == keep).astype(np.float32)
        dense = keras.layers.Dense
        self.stack = [dense(n, activation="relu", dtype=self.dtype_policy) for n in self.hidden]
        self.stack.append(dense(2 * size, kernel_initializer="zeros", dtype=self.dtype_policy))

    def build(self, input_shape=None):
        shape = (None, self.size)
        for layer in self.stack:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, z):
        x = z * self.kept
        for layer in self.stack:
            x = layer(x)
        return x * np.tile(1.0 - self.kept, 2)

    def get_config(self):
        config = {"size": self.size, "keep": self.keep, "hidden": self.hidden}
        return {**super().get_config(), **config}


class FlowPrior(keras.layers.Layer):
    """N(0, 1) carried through invertible steps, and a learned scale and shift; N(0, 1) at first.

    Args:
        latent_size: D.
        steps: how many.
    """

    analytic_kl = False
    posteriors = posteriors.FLAT  # names of those that it combines with

    def __init__(self, latent_size, steps, **kwargs):
        super().__init__(**kwargs)
        self.latent_size, self.steps = latent_size, steps
        self.networks = [self.network(number) for number in range(steps)]

    def network(self, number):
        """Returns the network of a step; it starts as zero, the step as the identity."""
        raise NotImplementedError

    def passes(self):
        """Returns how many passes a draw takes through each network."""
        return 1

    def build(self, input_shape=None):
        for network in self.networks:
            network.build(None)
        shape = (self.latent_size,)
        self.shift = self.add_weight(shape=shape, initializer="zeros", name="shift", autocast=False)
        self.log_scale = self.add_weight(
            shape=shape, initializer="zeros", name="log_scale", autocast=False
        )

    def start_at(self, z):
        """Takes mean and deviation of latents [N, D] as shift and scale."""
        self.shift.assign(tf.reduce_mean(z, axis=0))
        self.log_scale.assign(tf.math.log(tf.math.reduce_std(z, axis=0) + _LEAST_SCALE))

    def distribution(self, posterior, label=None):
        del posterior, label
        affine = [tfb.Shift(self.shift.value), tfb.Scale(log_scale=self.log_scale.value)]
        steps = [AffineStep(network, self.passes()) for network in self.networks]
        base = distributions.standard_normal([self.latent_size])
        return tfd.TransformedDistribution(base, tfb.Chain([*affine, *steps]))

    def get_config(self):
        return {**super().get_config(), "latent_size": self.latent_size, "steps": self.steps}


@keras.saving.register_keras_serializable("vae_zoo")
class MaskedAutoregressivePrior(FlowPrior):
    """A masked autoregressive flow; see FlowPrior. A draw takes D passes for each step."""

    def network(self, number):
        turned = {"reverse": number % 2 == 1, "last_initializer": "zeros"}
        size, policy = self.latent_size, self.dtype_policy
        return posteriors.MADE(size, 0, _HIDDEN, **turned, dtype=policy)

    def passes(self):
        return self.latent_size


@keras.saving.register_keras_serializable("vae_zoo")
class RealNVPPrior(FlowPrior):
    """A flow of affine couplings; see FlowPrior."""

    def network(self, number):
        return Coupling(self.latent_size, number % 2, dtype=self.dtype_policy)
