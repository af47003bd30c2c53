"""Posteriors q(z | x) as parts of a model: normal, fixed, full, householder, curved ones, flows.

full and householder are normals with correlations, see probability.correlated; vmf is on the
sphere, see probability.sphere; wrapped on the Poincare ball, see probability.ball; planar and
radial are flows, see probability.planar; iaf, the inverse autoregressive flow, is

    z_0 = m(x) + s(x) e,   z_t = g_t z_{t-1} + (1 - g_t) m_t,   [m_t, g_t] = MADE_t(z_{t-1}, h(x))
    log q(z_T | x) = log N(e; 0, 1) - sum log s(x) - sum_t sum log g_t

Element i of m_t and g_t depends on the elements of z_{t-1} before i alone: the Jacobian is
triangular, with g_t on its diagonal. Kingma et al. (2016), "Improved variational inference with
inverse autoregressive flow", eqs. 10-14 and algorithm 1; Germain et al. (2015), "MADE".
"""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo import errors
from vae_zoo.probability import ball, correlated, distributions, planar, sphere

tfd, tfb = tfp.distributions, tfp.bijectors

_FIXED_SCALE = 0.1
_HIDDEN = (320,)  # of a MADE
_CONTEXT = 64  # numbers of h(x)
_GATE_BIAS = 2.0  # the flow starts close to the identity
# Of the inverse: beyond the far end the base's density is zero in float32; NaN would spread.
_LEAST_GATE, _FAR = 1e-17, 1e6


class NormalPosterior:
    """A diagonal normal of D latent dimensions.

    Attributes:
        parameters: numbers that it takes from the encoder.
        analytic_kl: whether KL(q || p) has a closed form, p being a diagonal normal.
    """

    analytic_kl = True

    def __init__(self, latent_size, flow_steps=None):
        del flow_steps
        self.parameters = 2 * latent_size

    def distribution(self, encoded):
        """Returns q(z | x), batch [B], of the encoder's [B, parameters]."""
        return distributions.diagonal_normal(encoded)


class FixedNormal:
    """A normal of one deviation, 0.1, for every image: an encoder that gives a point, or nearly.

    A point itself has no density, and its ELBO would be no bound.

    Source: Ghosh et al. (2020), "From variational to deterministic autoencoders", section 3.1.
    """

    analytic_kl = True

    def __init__(self, latent_size, flow_steps=None):
        del flow_steps
        self.parameters = latent_size

    def distribution(self, encoded):
        """Returns q(z | x), batch [B], of the encoder's [B, parameters]."""
        mean = tf.cast(encoded, tf.float32)
        return tfd.Independent(tfd.Normal(mean, tf.fill(tf.shape(mean), _FIXED_SCALE)), 1)


@keras.saving.register_keras_serializable("vae_zoo")
class InverseAutoregressiveFlow(keras.layers.Layer):
    """A diagonal normal carried through gated autoregressive steps, in alternating order.

    Args:
        latent_size: D.
        steps: T.

    Source: Kingma et al. (2016), algorithm 1.
    """

    analytic_kl = False

    def __init__(self, latent_size, steps, **kwargs):
        super().__init__(**kwargs)
        self.latent_size = latent_size
        self.parameters = 2 * latent_size + _CONTEXT
        self.steps = [
            MADE(latent_size, _CONTEXT, reverse=step % 2 == 1, dtype=self.dtype_policy)
            for step in range(steps)
        ]

    def build(self, input_shape=None):
        for step in self.steps:
            step.build(None)

    def distribution(self, encoded):
        """Returns q(z | x), batch [B], of the encoder's [B, parameters]."""
        normal, context = tf.split(encoded, [2 * self.latent_size, _CONTEXT], axis=-1)
        steps = [GatedStep(step, context) for step in self.steps]
        return tfd.TransformedDistribution(
            distributions.diagonal_normal(normal), tfb.Chain(steps[::-1])
        )

    def get_config(self):
        config = {"latent_size": self.latent_size, "steps": len(self.steps)}
        return {**super().get_config(), **config}


class GatedStep(tfb.Bijector):
    """One step z -> g z + (1 - g) m; the inverse takes D passes, for lack of a closed form.

    A closed gate (g near 0) forgets z. The inverse is bounded there: finite, and far from the
    base's mass.

    Args:
        network: a MADE.
        context: h(x), [B, context].

    Source: Kingma et al. (2016), eqs. 13 and 14.
    """

    def __init__(self, network, context):
        parameters = {"network": network, "context": context}
        super().__init__(forward_min_event_ndims=1, parameters=parameters, name="gated_step")
        self.network, self.context = network, context

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, x):
        mean, gate = self._mean_and_gate(x)
        return tf.sigmoid(gate) * x + tf.sigmoid(-gate) * mean

    def _inverse(self, y):
        x = tf.zeros_like(y)
        for _ in range(self.network.size):  # each pass makes one element more right
            mean, gate = self._mean_and_gate(x)
            x = (y - tf.sigmoid(-gate) * mean) / tf.maximum(tf.sigmoid(gate), _LEAST_GATE)
            x = tf.clip_by_value(x, -_FAR, _FAR)
        return x

    def _forward_log_det_jacobian(self, x):
        return tf.reduce_sum(tf.math.log_sigmoid(self._mean_and_gate(x)[1]), axis=-1)

    def _mean_and_gate(self, x):
        outputs = tf.cast(self.network(x, self.context), tf.float32)
        mean, gate = tf.split(outputs, 2, axis=-1)
        return mean, gate + _GATE_BIAS


@keras.saving.register_keras_serializable("vae_zoo")
class MADE(keras.layers.Layer):
    """Masked autoencoder: z [..., D], context [B, C] -> [..., 2 D], two numbers for each element.

    Those of element i depend on no elements but those before i (after i, reversed), and on all
    of the context.

    Args:
        size: D.
        context: C; 0 is none.
        hidden: widths.
        reverse: whether the order of the elements is turned round.
        last_initializer: of the last kernel.

    Source: Germain et al. (2015), eqs. 12 and 13; with units that see the context alone.
    """

    def __init__(
        self,
        size,
        context,
        hidden=_HIDDEN,
        reverse=False,
        last_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.size, self.context = size, context
        self.hidden, self.reverse = tuple(hidden), reverse
        self.last_initializer = last_initializer
        self.masks = _masks(size, self.hidden, reverse)

    def build(self, input_shape=None):
        initializers = ["glorot_uniform"] * len(self.hidden) + [self.last_initializer]
        self.kernels = [
            self.add_weight(shape=mask.shape, initializer=initializer, name=f"kernel_{i}")
            for i, (mask, initializer) in enumerate(zip(self.masks, initializers, strict=True))
        ]
        self.biases = [
            self.add_weight(shape=mask.shape[1:], initializer="zeros", name=f"bias_{i}")
            for i, mask in enumerate(self.masks)
        ]
        if self.context:
            self.context_kernel = self.add_weight(
                shape=(self.context, self.hidden[0]), name="context_kernel"
            )

    def call(self, z, context=None):
        layers = list(zip(self.masks, self.kernels, self.biases, strict=True))
        x = self._masked(z, *layers[0])
        if self.context:
            seen = keras.ops.matmul(context, self.context_kernel)
            # As many axes as x: of a batch of one TensorFlow's optimizer takes them for the same.
            for _ in range(len(x.shape) - len(seen.shape)):
                seen = keras.ops.expand_dims(seen, 0)
            x += seen
        for layer in layers[1:]:
            x = self._masked(keras.ops.relu(x), *layer)
        return x

    def _masked(self, x, mask, kernel, bias):
        return keras.ops.matmul(x, kernel * keras.ops.cast(mask, self.compute_dtype)) + bias

    def get_config(self):
        names = ("size", "context", "hidden", "reverse", "last_initializer")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _masks(size, hidden, reverse):
    """Returns the mask of each layer's kernel, float32 [inputs, outputs].

    A unit of degree d sees elements 0 to d: hidden degrees go from -1 (the context alone) to D - 2.
    """
    elements = np.arange(size)[:: -1 if reverse else 1]
    degrees = [elements, *(np.arange(width) % size - 1 for width in hidden)]
    masks = [below[:, None] <= above for below, above in zip(degrees, degrees[1:], strict=False)]
    masks.append(degrees[-1][:, None] < np.tile(elements, 2))
    return [mask.astype(np.float32) for mask in masks]


POSTERIORS = {
    "normal": NormalPosterior,
    "fixed": FixedNormal,
    "full": correlated.FullNormal,
    "householder": correlated.HouseholderNormal,
    "iaf": InverseAutoregressiveFlow,
    "planar": planar.PlanarFlow,
    "radial": planar.RadialFlow,
    "vmf": sphere.VonMisesFisherPosterior,
    "wrapped": ball.WrappedNormalPosterior,
}
# Whose z may be any point.
FLAT = tuple(name for name in POSTERIORS if name not in ("vmf", "wrapped"))


def build(name, latent_size, flow_steps, dtype):
    """Returns a posterior, built.

    Args:
        name: of POSTERIORS.
        latent_size: D.
        flow_steps: T, of a flow and of householder.
        dtype: dtype policy of its layers.

    Raises:
        UserError: for fewer than one step.
    """
    errors.at_least("flow_steps", flow_steps, 1, whole=True, most=1000)
    part = POSTERIORS[name]
    if not issubclass(part, keras.layers.Layer):
        return part(latent_size, flow_steps)
    posterior = part(latent_size, flow_steps, dtype=dtype)
    posterior.build(None)
    return posterior
