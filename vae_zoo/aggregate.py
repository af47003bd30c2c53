"""A prior fitted after the fact to the aggregate posterior of a trained model's images.

    q(z) = 1/N sum_n q(z | x_n)

Of all priors, q(z) itself gives the highest ELBO (Hoffman and Johnson, 2016, "ELBO surgery"). The
encoder and the decoder stay as they are. Draws of q(z) are new at each step, and a function of
(seed, step).
"""

import keras
import numpy as np
import tensorflow as tf

from vae_zoo import errors, memory, networks
from vae_zoo.probability import distributions, fitted, noise, priors
from vae_zoo.vae import VAE

_BATCH = 256
_LEARNING_RATE = 1e-3
_LEAST_RATE = 0.01  # of the learning rate, at the end
_NORM = 10.0  # of a gradient, at most
_DRAWS = 20_000  # of q(z), behind a mixture of full covariance and the first scales
_ROW_STREAM = 3  # of the noise that picks images; losses of fitted priors take 1 and 2
_USE_THE_PRIOR = ("prior", "sample_prior")  # a model with its own has other latents
_VARIANCE = 1e-4  # that each covariance of a mixture has at least


class AggregatePosterior:
    """q(z) of images, which are encoded once.

    Args:
        model: a VAE of one layer of latents.
        images: float [N, H, W, C] in [0, 1].
        labels: int [N], for a conditional model.

    """

    def __init__(self, model, images, labels=None):
        self._model = model
        self._labels = labels = labels if model.needs_labels else None

        def encode(image, label=None):
            return model.features(*model.check_inputs({"image": image, "label": label}))

        function, shape = tf.function(encode, reduce_retracing=True), model.image_shape
        encoded = memory.in_batches(function, images, labels, image_shape=shape)
        self._encoded, self._count = tf.nest.map_structure(tf.constant, encoded), len(images)

    def __len__(self):
        return self._count

    def draw(self, seed, count):
        """Returns z of images that are picked at random, [count, D]; seed is int32 [2]."""
        uniforms = noise.philox_uniform(seed, count, stream=_ROW_STREAM)
        return self._draw(seed, tf.cast(uniforms * len(self), tf.int32), count)

    def log_density(self, seed):
        """Returns the mean of log p(z) in nats, p being the prior that the model has.

        Args:
            seed: int32, of one z for each image.
        """
        model, rows = self._model, np.arange(len(self))

        @tf.function(reduce_retracing=True)
        def log_prob(rows, label=None):
            count = tf.shape(rows)[0]
            z = self._draw(tf.stack([seed, -1 - rows[0]]), rows, count)
            return model.prior(label).log_prob(z)

        with model.fixed_prior():
            found = memory.in_batches(
                log_prob, rows.astype(np.int32), self._labels, image_shape=(1, 1)
            )
        return float(found.mean(dtype=np.float64))

    def _draw(self, seed, rows, count):
        encoded = tf.nest.map_structure(lambda part: tf.gather(part, rows), self._encoded)
        posterior = self._model.posterior_of(encoded)
        normals = noise.standard_normal(seed, 1, count, [self._model.latent_size])
        return distributions.reparameterize(posterior, normals)[0]


def fit(model, name, images, labels=None, *, components=None, steps=2000, seed=0, progress=None):
    """Returns a prior that is fitted to q(z) of images; see vae_zoo.probability.fitted.

    Args:
        model: a VAE.
        name: of fitted.NAMES.
        images: float [N, H, W, C] in [0, 1].
        labels: int [N], for a conditional model.
        components: K of gmm and vamp; None is fitted.COMPONENTS.
        steps: of the optimizer, 256 draws of q(z) each; gmm takes none.
        seed: int32; the result is a function of it.
        progress: called with the share that is done.

    Raises:
        UserError: for a model whose latents are codes, several layers, or noise; for more
            components than images; for vamp where the posterior is a flow.
    """
    if name not in fitted.NAMES:
        raise errors.unknown("prior", name, fitted.NAMES)
    check_model(model, name)
    errors.at_least("steps", steps, 1, whole=True)
    components = components or fitted.COMPONENTS.get(name, 1)
    errors.at_least("components", components, 1, whole=True)
    if components > len(images):
        raise errors.UserError(
            f"components={components}: expected at most as many as training images, {len(images)}."
        )
    latents = AggregatePosterior(model, images, labels)
    with networks.initial_weights_of(seed):
        part = fitted.build(name, model, components)
    z = latents.draw((seed, 0), _DRAWS)
    if name == "gmm":
        _fit_mixture(part, z, seed)
        return part
    if name == "vamp":
        rows = noise.generator(seed).permutation(len(images))[:components]
        part.pseudo_inputs.assign(images[rows])
    else:
        part.start_at(z)
    _minimise(part, model, latents, steps, seed, progress or (lambda share: None))
    return part


def check_model(model, name):
    """Raises a UserError for a model that no fitted prior can stand in, or not this one."""
    if hasattr(model, "leapfrog_steps"):
        raise errors.UserError(
            f"--prior={name}: the latents of {model.name} are moved by the prior that it was "
            "trained with. Expected another model, such as vae."
        )
    layers = hasattr(model, "lower_shapes")
    own = any(getattr(type(model), each) is not getattr(VAE, each) for each in _USE_THE_PRIOR)
    curved = model.prior_name in ("sphere", "ball")
    if layers or own or curved or not model.decodes_z:
        kind = "several layers" if layers else "no one vector of normal numbers"
        if own and model.decodes_z and model.is_bound:
            kind = "trained with a diffusion as their prior"
        raise errors.UserError(
            f"--prior={name}: the latents of {model.name} are {kind}. A prior is fitted to a model "
            "of one layer of normal latents, such as vae, conv_vae or beta_vae."
        )
    if name == "vamp" and (
        model.needs_labels or model.posterior_name not in priors.VampPrior.posteriors
    ):
        raise errors.UserError(
            f"--prior=vamp: it is made of normal posteriors of images alone, which {model.name} "
            "does not have. Expected another prior, such as gmm or realnvp."
        )


def _fit_mixture(part, z, seed):
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(
        part.components, covariance_type="full", reg_covar=_VARIANCE, random_state=seed % 2**32
    ).fit(np.asarray(z, np.float64))
    part.logits.assign(np.log(mixture.weights_))
    part.means.assign(mixture.means_)
    part.factors.assign(np.linalg.cholesky(mixture.covariances_))


def _minimise(part, model, latents, steps, seed, progress):
    rate = keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps, alpha=_LEAST_RATE)
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=_NORM)
    weights = part.trainable_weights
    optimizer.build(weights)

    @tf.function
    def step(key):
        z = latents.draw(key, _BATCH)
        with tf.GradientTape() as tape:
            loss = _loss(part, model, z, key)
        optimizer.apply(tape.gradient(loss, [weight.value for weight in weights]), weights)

    for number in range(1, steps + 1):
        step(tf.constant((seed, number), tf.int32))
        progress(number / steps)


def _loss(part, model, z, key):
    if hasattr(part, "loss"):
        return part.loss(z, key)
    return -tf.reduce_mean(part.distribution(model.posterior).log_prob(z))
