"""The variational autoencoder: posterior -> sample -> likelihood -> ELBO terms.

    ELBO(x) = E_q(z|x) [log p(x | z)] - KL(q(z | x) || p(z))  <=  log p(x)

Kingma and Welling (2014), "Auto-encoding variational Bayes", eq. 3. Every model of the zoo is this
class with one part replaced. The forward pass *is* the ELBO terms, so that `compile`, `fit`,
`evaluate`, loss scaling and metrics are Keras's own.
"""

import keras
import tensorflow as tf

from vae_zoo import checks, networks
from vae_zoo.base import (
    Accumulating,
    Configured,
    ForUsers,
    KerasModel,
    Objective,
    Parts,
    Stacks,
)
from vae_zoo.errors import at_least
from vae_zoo.probability import distributions, noise, posteriors
from vae_zoo.probability.elbo import ElboTerms, Latent
from vae_zoo.training.loop import FiniteMean


@keras.saving.register_keras_serializable("vae_zoo")
class VAE(Configured, ForUsers, Objective, Parts, Stacks, Accumulating, KerasModel):
    """Variational autoencoder: one stochastic layer, its parts chosen by name.

    Inputs are a dict {"image": float32 [B, H, W, C] in [0, 1], "label": int32 [B] (optional)}.

    Args:
        image_shape: (H, W, C), C being 1 or 3.
        latent_size: D, latent dimensions.
        likelihood: "bernoulli" (binary images), "discretized_logistic" (8-bit images), or a density
            of grey values: "normal", "continuous_bernoulli". Or an object with `outputs` and
            `distribution(parameters)`. `outputs` is how many numbers it takes for each pixel;
            `distribution` makes p(x | z) from them [..., H, W, outputs], with log_prob and mean.
            It also has `pixel_range` if pixels are not in [0, 1]. Objects have Keras's
            `get_config` and `from_config`.
        scale: of the likelihood: "shared", "channel" or "pixel"; see likelihoods.ScaledPixels.
        mixture_components: logistics of each channel of each pixel (discretized_logistic).
        channels: "independent" given z, or "linear", green given red and blue given both
            (discretized_logistic).
        network: "mlp", "conv" or "resnet".
        activation: between the layers of mlp and conv: "relu", or "leaky_relu", which the models
            of the registry have: with relu, colour takes several times as many steps.
        hidden: widths of the network; None is its default (networks.DEFAULT_HIDDEN).
        blocks: residual blocks at each resolution (resnet).
        prior: "standard", "vamp", "mixture", "maf", "realnvp", "sphere" or "ball"; see
            vae_zoo.probability.priors. Or an object with `distribution(posterior, label)`, which
            makes p(z), and `draw(seed, temperature)`, which makes z [N, D] for rows of seed; of a
            keras.layers.Layer the weights are saved.
        components: of a mixture prior; pseudo-inputs of vamp.
        posterior: "normal", "fixed", "full", "householder", "iaf", "planar", "radial", "vmf" or
            "wrapped"; see vae_zoo.probability.posteriors. Or an object with `parameters`, how many
            numbers it takes, and `distribution(encoded)`, which makes q(z | x) of them
            [B, parameters], a diagonal normal or a bijection of it.
        flow_steps: steps of iaf, planar, radial, maf and realnvp; reflections of householder.
        beta: weight of the rate in the objective; 1 is the ELBO (Higgins et al., 2017).
        warmup_steps: steps over which the weight of the rate rises from 0 to beta.
        free_bits: nats of rate, in each stochastic layer, that the objective does not charge
            (Kingma et al., 2016, eq. 15).
        capacity: C, nats that the rate is held at: beta |rate - C| is charged, and warm-up lets C
            rise from 0, in the place of the rate's weight (Burgess et al., 2018, eq. 8). None: the
            rate itself is charged.
        principal: the principal components of the training images go past both networks, so that
            training starts at their bound; see networks.PrincipalPath. For a model that starts at
            its images, with a normal posterior and a likelihood of locations (8-bit, "normal").
        num_classes: how many labels there are, where the model uses them.
        encoder: a keras.Model [B, H, W, C] -> [B, F] in the place of the network's; its weights are
            saved with the model.
        decoder: a keras.Model [N, D] -> [N, H, W, P], P numbers a pixel as the likelihood says: C
            logits of "bernoulli". A conditional model joins the label to both inputs.
        seed: int32, of the run; initial weights are a function of it, all noise of (seed, step,
            layer).
        **kwargs: of keras.Model: name, dtype (a dtype policy).

    Example:
        model = VAE(image_shape=(28, 28, 1), latent_size=16)
        model.compile(optimizer="adam")
        model.fit(vae_zoo.load_dataset("digits").train, epochs=5)
        images = model.generate(vae_zoo.noise.rows(seed=0, count=16))  # [16, 28, 28, 1]

    Raises:
        UserError: for arguments that make no model.
    """

    needs_labels = False  # a conditional model says True
    is_bound = False  # True: importance weights have no meaning; only the ELBO is reported
    bound_samples = None  # where is_bound: samples that an evaluation takes the mean of, at most
    decodes_z = True  # False where an image is not decoded from one flat z [D]
    analytic_kl = True  # False where KL(q || p) has no closed form, whatever the parts
    # Parts that it combines with; a subclass says its own, see checks.parts.
    combines = {
        "prior": ("standard", "vamp", "mixture", "maf", "realnvp", "sphere", "ball"),
        "posterior": tuple(posteriors.POSTERIORS),
    }
    training_samples = 1  # K, samples an image of the bound that is trained
    analytic_training = True  # False: trained on log q - log p at the samples, as weights need it
    has_penalty = False  # True: `penalty` is not zero, and is tracked
    principal_path = None  # see the argument `principal`

    def __init__(
        self,
        image_shape,
        latent_size=32,
        *,
        likelihood="bernoulli",
        scale="shared",
        mixture_components=1,
        channels="independent",
        network="mlp",
        activation="relu",
        hidden=None,
        blocks=2,
        prior="standard",
        components=500,
        posterior="normal",
        flow_steps=4,
        beta=1.0,
        warmup_steps=0,
        free_bits=0.0,
        capacity=None,
        principal=False,
        num_classes=None,
        encoder=None,
        decoder=None,
        seed=0,
        **kwargs,
    ):
        # Images keep their 8 bits: the layers cast, not the model.
        super().__init__(autocast=False, **kwargs)
        checks.parts(type(self), network=network, prior=prior, posterior=posterior)
        self.image_shape = checks.image_shape(image_shape)
        self.latent_size = at_least("latent_size", latent_size, 1, whole=True)
        self.keep_own_parts(encoder=encoder, decoder=decoder, likelihood=likelihood)
        self.network, self.hidden = network, hidden
        self.activation = checks.activation(activation)
        self.blocks = checks.blocks(blocks)
        self.beta = at_least("beta", beta, 0)
        self.warmup_steps = at_least("warmup_steps", warmup_steps, 0)
        self.free_bits = at_least("free_bits", free_bits, 0)
        self.capacity = checks.capacity(capacity, free_bits)
        self.num_classes = checks.num_classes(num_classes, type(self))
        self.seed = checks.seed(seed)
        tracked = ["elbo", "rate", "distortion"] + ["penalty"] * self.has_penalty
        self.trackers = {name: FiniteMean(name) for name in tracked}
        self.set_step(0)
        with networks.initial_weights_of(seed):
            self.build_latent_parts(prior, posterior, components, flow_steps)
            self.likelihood_part = self.build_likelihood(scale, mixture_components, channels)
            self.build_networks()
        if checks.principal(principal, self, type(self).features is VAE.features):
            self.principal_path = self.build_principal_path()
        self.check_own_parts()
        self.built = True

    # What a model replaces.

    def build_networks(self):
        """Builds every layer of the model but the parts'; called once, by the constructor."""
        self.encoder = self.build_encoder()
        self.posterior_head = self.build_head(
            self.encoder.output_shape[-1], self.posterior_part.parameters
        )
        self.decoder = self.build_decoder(self.latent_size)

    def features(self, image, label=None):
        """Returns what `infer` needs from the encoder, a nest of tensors [B, ...]."""
        del label
        parameters = self.posterior_head(self.encoder(self.centred(image)))
        if self.principal_path is None:
            return parameters
        return tf.cast(parameters, tf.float32) + self.principal_parameters(image)

    def posterior_of(self, encoded):
        """Returns q(z | x), batch [B], from `features`'s result."""
        return self.posterior_part.distribution(encoded)

    def prior(self, label=None):
        """Returns p(z), or p(z | y) of a model that learns it; event shape [D]."""
        return self.prior_part.distribution(self.posterior, label)

    def likelihood(self, z, label=None):
        """Returns p(x | z) over images for z [..., D] (and labels [B] in a conditional model)."""
        return self.pixel_likelihood(self.decoder_inputs(z, label))

    def decoder_inputs(self, z, label=None):
        """Returns what the decoder sees, [..., F]: z, and whatever a model joins to it."""
        del label
        return z

    def infer(self, encoded, label, num_samples, seed):
        """Returns the list of Latents, top first; a hierarchy overrides this."""
        posterior = self.posterior_of(encoded)
        normals = noise.standard_normal(seed, num_samples, batch_size(encoded), [self.latent_size])
        z = distributions.reparameterize(posterior, normals)  # [K, B, D]
        return [Latent(posterior, self.prior(label), z)]

    def rate(self, latent, analytic=True):
        """Returns the rate of one Latent in nats, [B] or [K, B].

        Args:
            latent: a Latent.
            analytic: KL(q || p) in closed form, where there is one; False: log q(z | x) - log p(z)
                at the samples, which importance weighting needs.
        """
        if analytic and self.analytic_kl:
            return self.kl_divergence(latent)
        return latent.posterior.log_prob(latent.z) - latent.prior.log_prob(latent.z)

    def penalty(self, latents, seed):
        """Returns what the training objective adds, in nats, a scalar, [B] or [K, B].

        Args:
            latents: the Latents of the batch.
            seed: the batch's noise key, for streams that `infer` does not take.
        """
        del latents, seed
        return tf.zeros([])

    def bound(self, weights):
        """Returns the bound that is trained, [B], of log p(x, z) - log q(z | x), [B, K]."""
        return tf.reduce_mean(weights, axis=1)

    def objective(self, terms, latents, kl_weight=1.0):
        """Returns what is minimised, [B]: the negative ELBO with beta, free bits and the penalty.

        Args:
            terms: ElboTerms whose loss is not yet known.
            latents: the Latents behind them.
            kl_weight: warm-up's factor of the rate.
        """
        del latents
        return -self.bound(self.charged_weights(terms, kl_weight))

    def figures(self):
        """Returns {name: number} that a run's report has in addition to the bound."""
        return {}

    # What every model has.

    def posterior(self, image, label=None):
        """Returns q(z | x) for images [B, H, W, C], a distribution of batch [B], event [D]."""
        return self.posterior_of(self.features(image, self.check_label(label)))

    def terms(self, inputs, *, num_samples=1, analytic=True, seed, encoded=None, kl_weight=1.0):
        """Returns the ElboTerms of a batch, in nats. Pure: same arguments, same result.

        Args:
            inputs: {"image": [B, H, W, C], "label": [B]}.
            num_samples: K, samples of z for each image.
            analytic: KL(q || p) in closed form; False: at the samples (importance weighting).
            seed: int32 [2], a key for the batch; or int32 [B, 2], a key for each image.
            encoded: `features`'s result, where it is at hand.
            kl_weight: warm-up's factor of the rate, in the loss alone.
        """
        image, label = self.check_inputs(inputs)
        if encoded is None:
            encoded = self.features(image, label)
        latents = self.infer(encoded, label, num_samples, seed)
        log_likelihood = self.log_likelihood(image, latents, label)  # [K, B]
        rates = [self.rate(latent, analytic) for latent in latents]
        terms = ElboTerms(
            log_likelihood=tf.transpose(log_likelihood),
            rate=tf.stack([_batch_major(rate, log_likelihood) for rate in rates], axis=-1),
            penalty=_batch_major(self.penalty(latents, seed), log_likelihood),
            loss=None,
        )
        return terms._replace(loss=self.objective(terms, latents, kl_weight))

    def log_likelihood(self, image, latents, label=None):
        """Returns log p(x | z) of the lowest Latent's samples, in nats, [K, B]."""
        return self.likelihood(latents[-1].z, label).log_prob(image)

    def call(self, inputs, training=None, encoded=None):
        return self.terms(
            inputs,
            num_samples=self.training_samples,
            analytic=self.analytic_training,
            seed=self.noise_key(self._step() if training else noise.EVALUATION_STEP),
            encoded=encoded,
            kl_weight=self.kl_weight() if training else 1.0,
        )


def batch_size(encoded):
    """Returns B of a nest of tensors [B, ...], a number where it is known."""
    first = tf.nest.flatten(encoded)[0]
    return first.shape[0] or tf.shape(first)[0]


def _batch_major(value, like):
    """Returns a scalar, [B] or [K, B] as [B, K], for `like` of shape [K, B]."""
    return tf.transpose(tf.broadcast_to(value, tf.shape(like)))
