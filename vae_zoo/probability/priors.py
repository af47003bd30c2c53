"""Priors p(z) as parts of a model: standard, vamp, mixture, conditional, and others.

    vamp:         p(z) = 1/K sum_k q(z | u_k),  pseudo-inputs u_k learned
    mixture:      p(z) = sum_k w_k N(z; m_k, s_k),  all learned
    conditional:  p(z | y) = N(z; m_y, s_y),  learned for each class
    running:      p(z) = N(z; m, C),  which follows the codes; see probability.running
    sphere:       p(z) = 1 / area of the sphere; see probability.sphere
    ball:         N(0, 1) wrapped onto the Poincare ball; see probability.ball
    maf, realnvp: N(0, 1) carried through invertible steps; see vae_zoo.probability.flows

Tomczak and Welling (2018), "VAE with a VampPrior", eq. 9; Sohn, Lee and Yan (2015), "Learning
structured output representation using deep conditional generative models", eq. 4.
"""

import contextlib

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo import errors
from vae_zoo.probability import distributions, flows, noise, posteriors
from vae_zoo.probability.ball import BallPrior
from vae_zoo.probability.running import RunningNormal
from vae_zoo.probability.sphere import SpherePrior

tfd = tfp.distributions

_COMPONENT_STREAM = -1  # of the noise that picks a component; layers count from 0 up


class Prior:
    """A part that gives p(z).

    Attributes:
        analytic_kl: whether KL(q || p) has a closed form, q being a diagonal normal.
        posteriors: names of the posteriors that it combines with.
    """

    analytic_kl = False
    posteriors = posteriors.FLAT

    def distribution(self, posterior, label=None):
        """Returns p(z), event shape [D]: batch shape [], or [B] where it depends on the label.

        Args:
            posterior: a function images [N, H, W, C] -> q(z | x), batch [N].
            label: int32 [B], or None.
        """
        raise NotImplementedError

    @contextlib.contextmanager
    def computed_once(self, posterior, constant=False):
        """Within it, `distribution` computes only once what depends on the weights alone.

        Args:
            posterior: as for `distribution`.
            constant: compute it outside of the graph that is being traced, of final weights.
        """
        del posterior, constant
        yield


class StandardNormal(Prior):
    """N(0, 1) over D latent dimensions."""

    analytic_kl = True

    def __init__(self, latent_size):
        self.latent_size = latent_size

    def distribution(self, posterior, label=None):
        del posterior, label
        return distributions.standard_normal([self.latent_size])


@keras.saving.register_keras_serializable("vae_zoo")
class VampPrior(Prior, keras.layers.Layer):
    """The mean of the posteriors at K learned pseudo-inputs.

    A step encodes K images more than its batch.

    Args:
        components: K.
        image_shape: (H, W, C).

    Source: Tomczak and Welling (2018), eq. 9; pixels are clipped to [0, 1] as in their code.
    """

    posteriors = ("normal",)  # the density of a flow at any z costs D passes for each component

    def __init__(self, components, image_shape, **kwargs):
        super().__init__(**kwargs)
        self.components, self.image_shape = components, image_shape
        self._kept = []  # the distribution, within computed_once

    def build(self, input_shape=None):
        self.pseudo_inputs = self.add_weight(
            shape=(self.components, *self.image_shape),
            initializer=keras.initializers.RandomUniform(0.0, 1.0),  # none is clipped at first
            name="pseudo_inputs",
        )

    def distribution(self, posterior, label=None):
        del label
        if self._kept:
            return self._kept[0]
        images = tf.clip_by_value(tf.convert_to_tensor(self.pseudo_inputs), 0.0, 1.0)
        equal = tfd.Categorical(logits=tf.zeros([self.components]))
        return tfd.MixtureSameFamily(equal, posterior(images))

    @contextlib.contextmanager
    def computed_once(self, posterior, constant=False):
        with tf.init_scope() if constant else contextlib.nullcontext():
            self._kept.append(self.distribution(posterior))
        try:
            yield
        finally:
            self._kept.clear()

    def get_config(self):
        config = {"components": self.components, "image_shape": self.image_shape}
        return {**super().get_config(), **config}


class Mixture(Prior, keras.layers.Layer):
    """A mixture of K normals; a subclass builds `logits` and says its `normals`.

    Args:
        components: K.
        latent_size: D.
    """

    def __init__(self, components, latent_size, **kwargs):
        super().__init__(**kwargs)
        self.components, self.latent_size = components, latent_size

    def normals(self):
        """Returns the K normals, one distribution of batch [K]."""
        raise NotImplementedError

    def distribution(self, posterior, label=None):
        del posterior, label
        weights = tfd.Categorical(logits=self.logits.value)
        return tfd.MixtureSameFamily(weights, self.normals())

    def get_config(self):
        config = {"components": self.components, "latent_size": self.latent_size}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("vae_zoo")
class NormalMixture(Mixture):
    """A learned mixture of K diagonal normals."""

    def build(self, input_shape=None):
        shape = (self.components, self.latent_size)
        normal = keras.initializers.RandomNormal(stddev=1.0)
        self.means = self.add_weight(shape=shape, initializer=normal, name="means", autocast=False)
        self.log_scales = self.add_weight(
            shape=shape, initializer="zeros", name="log_scales", autocast=False
        )
        self.logits = self.add_weight(
            shape=shape[:1], initializer="zeros", name="logits", autocast=False
        )

    def normals(self):
        return distributions.diagonal_normal(tf.concat([self.means, self.log_scales], -1))


@keras.saving.register_keras_serializable("vae_zoo")
class ConditionalNormal(Prior, keras.layers.Layer):
    """A learned diagonal normal for each class; N(0, 1) at first, to within 2% of its scale.

    Args:
        num_classes: how many classes.
        latent_size: D.

    Source: Sohn et al. (2015), eq. 4, with y in the place of their x.
    """

    analytic_kl = True

    def __init__(self, num_classes, latent_size, **kwargs):
        super().__init__(**kwargs)
        self.num_classes, self.latent_size = num_classes, latent_size

    def build(self, input_shape=None):
        self.table = self.add_weight(
            shape=(self.num_classes, 2 * self.latent_size),
            initializer="zeros",
            name="table",
            autocast=False,
        )

    def distribution(self, posterior, label=None):
        del posterior
        return distributions.diagonal_normal(tf.gather(self.table.value, label))

    def get_config(self):
        config = {"num_classes": self.num_classes, "latent_size": self.latent_size}
        return {**super().get_config(), **config}


PRIORS = {
    "standard": StandardNormal,
    "vamp": VampPrior,
    "mixture": NormalMixture,
    "conditional": ConditionalNormal,
    "running": RunningNormal,
    "sphere": SpherePrior,
    "ball": BallPrior,
    "maf": flows.MaskedAutoregressivePrior,
    "realnvp": flows.RealNVPPrior,
}


def build(name, latent_size, components, image_shape, num_classes, flow_steps=4):
    """Returns a prior, built.

    Args:
        name: of PRIORS.
        latent_size: D.
        components: K, of a mixture.
        image_shape: (H, W, C), of pseudo-inputs.
        num_classes: how many classes, of a conditional prior.
        flow_steps: of a flow.

    Raises:
        UserError: for fewer than one component or step.
    """
    errors.at_least("components", components, 1, whole=True)
    errors.at_least("flow_steps", flow_steps, 1, whole=True, most=1000)
    arguments = {
        "standard": (latent_size,),
        "vamp": (components, image_shape),
        "mixture": (components, latent_size),
        "conditional": (num_classes, latent_size),
        "running": (latent_size,),
        "sphere": (latent_size,),
        "ball": (latent_size,),
        "maf": (latent_size, flow_steps),
        "realnvp": (latent_size, flow_steps),
    }
    prior = PRIORS[name](*arguments[name])
    if isinstance(prior, keras.layers.Layer):
        prior.build(None)
    return prior


def draw(prior, seed, latent_size, temperature=1.0):
    """Returns one z for each row of seed, portable: [N, D].

    Args:
        prior: a diagonal normal, a mixture of them, or a bijection of one.
        seed: int32 [N, 2]; see noise.rows.
        latent_size: D.
        temperature: factor of the noise; a mixture draws its component as at 1.
    """
    normals = temperature * noise.normal(seed, [latent_size])
    if isinstance(prior, tfd.MixtureSameFamily):
        prior = _component(prior, seed)
    return distributions.reparameterize(prior, normals)


def pick(weights, seed):
    """Returns the component of a mixture for each row of seed, int32 [N], by cumulative weight.

    Args:
        weights: float32 [K], which sum to 1.
        seed: int32 [N, 2].
    """
    uniforms = noise.uniform(seed, [1], _COMPONENT_STREAM)
    cumulative = tf.cumsum(weights)  # [K]
    index = tf.reduce_sum(tf.cast(cumulative <= uniforms, tf.int32), axis=-1)
    return tf.minimum(index, cumulative.shape[0] - 1)  # the weights sum to almost 1


def _component(mixture, seed):
    """Returns the diagonal normals, batch [N], of the components that are picked."""
    index = pick(mixture.mixture_distribution.probs_parameter(), seed)
    normal = mixture.components_distribution.distribution
    picked = tfd.Normal(tf.gather(normal.loc, index), tf.gather(normal.scale, index))
    return tfd.Independent(picked, 1)
