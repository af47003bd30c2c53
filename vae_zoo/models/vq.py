"""Vector quantisation: the latents are codes of a codebook, with a learned prior.

    c_i = argmin_k ||e_i(x) - v_k||,   -ELBO(x) = -log p(x | v_c) - log p(c)
    loss = -ELBO(x) + commitment * sum_i ||e_i(x) - sg[v_{c_i}]||^2

e(x) is a grid of vectors; the decoder's gradient goes straight through the choice of the code. The
codebook follows the mean of what chooses each code; the prior over the grid is a causal
transformer, trained along with all else on the codes as they are. The posterior being one point,
-log p(c) is the whole rate, and the bound is one of log p(x).

That rate does not reach the encoder, which spends as many nats as its grid has room for. The
stochastic quantiser draws its codes instead, and is a VAE like any other:

    q(c_i = k | x) ~ exp(-||e_i(x) - v_k||^2 / (2 s^2))
    rate = sum_i KL(q(c_i | x) || p(c_i | c_1, ..., c_{i-1}))

Its gradient is that of the Gumbel-softmax, through the prior as well.

van den Oord, Vinyals and Kavukcuoglu (2017), "Neural discrete representation learning", eq. 1 to 3
and appendix A.1; codes out of use are reset as in Dhariwal et al. (2020), "Jukebox", section 3.1;
Takida et al. (2022), "SQ-VAE"; Jang et al. (2017), section 2.2.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from vae_zoo import errors, networks
from vae_zoo.errors import at_least
from vae_zoo.models.following import Following
from vae_zoo.networks import causal, sizes
from vae_zoo.probability import codebook, noise, quantizers
from vae_zoo.probability.elbo import Latent
from vae_zoo.training.loop import FiniteMean

QUANTIZERS = ("codebook", "fsq", "lfq", "stochastic")
_LATENT_SIZE = 16  # of a codebook's vectors


class Choice(NamedTuple):
    """What the encoder said, and the codes nearest to it.

    Attributes:
        encoded: e(x), float32 [B, h, w, D].
        codes: int32 [B, h * w].
        vectors: of the codes, float32 [B, h, w, D].
    """

    encoded: tf.Tensor
    codes: tf.Tensor
    vectors: tf.Tensor


class Draws(NamedTuple):
    """What the encoder said, and codes drawn from it.

    Attributes:
        encoded: e(x), float32 [B, h, w, D].
        log_shares: log q(code | x) of each place, float32 [B, h * w, C].
        one_hots: the codes, float32 [K, B, h * w, C].
    """

    encoded: tf.Tensor
    log_shares: tf.Tensor
    one_hots: tf.Tensor


class VQVAE(Following):
    """Autoencoder of discrete codes with an autoregressive prior, trained jointly.

    Args:
        image_shape: (H, W, C); codes lie on a grid of sides halved until one is at most 8.
        latent_size: D, of a code's vector; None: 16 of a codebook. fsq and lfq say it
            themselves.
        quantizer: "codebook", learned; "fsq", finite scalar; "lfq", lookup-free; "stochastic",
            learned, codes drawn: see probability.quantizers.
        codebook_size: codes; a power of two for lfq. fsq has the product of its levels.
        levels: of each dimension, of fsq.
        num_quantizers: codebooks in a row, each of what those before it leave (codebook alone).
        commitment: weight of the encoder's distance to its code; of lfq, also of what makes its
            codes sure and evenly used.
        decay: of the codebook's running means.
        temperature: of the gradient's softmax (stochastic alone); samples are codes, never shares.
        prior_width: channels of the prior.
        prior_depth: blocks of the prior.
        network: "resnet", the one network of this model.
        hidden: channels at each resolution; None is networks.DEFAULT_HIDDEN's of resnet.
        **kwargs: of VAE; but for beta, free_bits and capacity where codes are not drawn: there
            the rate trains the prior alone.

    Raises:
        UserError: for those, and for values out of range.
    """

    is_bound = True
    bound_samples = 1  # nothing is random
    decodes_z = False
    has_penalty = True
    combines = {"network": ("resnet",)}

    def __init__(
        self,
        image_shape,
        latent_size=None,
        *,
        quantizer="codebook",
        codebook_size=128,
        levels=(8, 6, 5),
        num_quantizers=1,
        commitment=0.25,
        decay=0.99,
        temperature=1.0,
        prior_width=64,
        prior_depth=3,
        network="resnet",
        **kwargs,
    ):
        self.is_drawn = quantizer == "stochastic"
        if self.is_drawn:
            self.is_bound, self.bound_samples = False, None
        else:
            self._check_rate_is_whole(kwargs)
        at_least("codebook_size", codebook_size, 2, whole=True)
        _check_quantizer(quantizer, latent_size, codebook_size, levels)
        self.quantizer, self.levels, self.codebook_size = quantizer, levels, codebook_size
        self.num_quantizers = _num_quantizers(num_quantizers, quantizer)
        if quantizer == "fsq":
            latent_size, self.codebook_size = len(levels), math.prod(levels)
        elif quantizer == "lfq":
            latent_size = codebook_size.bit_length() - 1
        self.commitment = at_least("commitment", commitment, 0)
        if not 0 < at_least("decay", decay, 0) < 1:
            raise errors.UserError(f"decay={decay!r}: expected a number between 0 and 1.")
        self.decay = decay
        self.prior_width = at_least("prior_width", prior_width, 4, whole=True)
        if self.prior_width % 4:  # heads
            raise errors.UserError(f"prior_width={prior_width!r}: expected a multiple of 4.")
        self.prior_depth = at_least("prior_depth", prior_depth, 1, whole=True, most=100)
        self.temperature = at_least("temperature", temperature, 1e-3)
        super().__init__(image_shape, latent_size or _LATENT_SIZE, network=network, **kwargs)

    def _check_rate_is_whole(self, given):
        """Raises a UserError for arguments that would charge less than the rate."""
        for name, only in {"beta": 1, "free_bits": 0, "capacity": None}.items():
            if given.get(name, only) != only:
                raise errors.UserError(
                    f"{name}={given[name]!r}: expected {only}. The rate of {type(self).__name__} "
                    "trains its prior alone, and nothing is gained by charging less of it; but "
                    "for quantizer=stochastic, whose codes feel it."
                )

    def build_networks(self):
        self.grid = sizes.resolutions(self.image_shape)[-1]
        self.vector_places = math.prod(self.grid)
        self.build_maps(networks.check_hidden("resnet", self.hidden))
        self.places = self.vector_places * self.num_quantizers
        self.codebook = self.build_quantizer()
        shape = (self.codebook_size, self.places, self.prior_width, self.prior_depth)
        self.code_prior = causal.CausalTransformer(*shape, dtype=self.dtype_policy)
        self.code_prior.build((None, self.places))
        self.trackers["perplexity"] = FiniteMean("perplexity")

    def build_maps(self, hidden):
        """Builds encoder and decoder.

        Args:
            hidden: channels at each resolution.
        """
        policy = self.dtype_policy
        parts = (self.image_shape, self.latent_size, hidden, self.blocks, policy)
        self.encoder = networks.build_map_encoder(*parts)
        self.decoder = networks.build_map_decoder(*parts, self.likelihood_part.outputs)

    def build_quantizer(self):
        """Returns the part that turns vectors into codes, and codes into vectors."""
        if self.quantizer == "fsq":
            return quantizers.FiniteScalarQuantizer(self.levels)
        if self.quantizer == "lfq":
            return quantizers.LookupFreeQuantizer(self.latent_size)
        if self.is_drawn:
            return quantizers.StochasticCodebook(self.codebook_size, self.latent_size)
        sizes_of_each = (self.codebook_size, self.latent_size, self.decay)
        if self.num_quantizers > 1:
            return codebook.ResidualCodebook(*sizes_of_each, self.num_quantizers)
        return codebook.Codebook(*sizes_of_each)

    def features(self, image, label=None):
        del label
        return tf.cast(self.encoder(self.centred(image)), tf.float32)

    def choose(self, encoded):
        """Returns the Choice for e(x) [B, h, w, D]."""
        codes = self.codebook.nearest(encoded)
        vectors = self.codebook.vectors_of(codes)
        return Choice(encoded, tf.reshape(codes, [-1, self.places]), vectors)

    def infer(self, encoded, label, num_samples, seed):
        del label
        if self.is_drawn:
            return [self._draw(encoded, num_samples, seed)]
        choice = self.choose(encoded)
        z = codebook.straight_through(self.codebook.bounded(encoded), choice.vectors)
        z = tf.reshape(z, [1, -1, self.vector_places * self.latent_size])
        return [Latent(choice, self.code_prior, tf.repeat(z, num_samples, axis=0))]

    def _draw(self, encoded, num_samples, seed):
        """Returns the Latent of codes that are drawn; its gradient is that of a softmax."""
        batch, flat = tf.shape(encoded)[0], self.places * self.latent_size
        logits = tf.reshape(self.codebook.logits(encoded), [-1, self.places, self.codebook_size])
        normals = noise.standard_normal(seed, num_samples, batch, logits.shape[1:])
        one_hots = codebook.draw_one_hots(logits, normals, self.temperature)  # [K, B, L, C]
        z = tf.reshape(self.codebook.drawn(one_hots), [num_samples, -1, flat])
        return Latent(Draws(encoded, tf.nn.log_softmax(logits), one_hots), self.code_prior, z)

    def rate(self, latent, analytic=True):
        """Returns -log p(codes), [B]; of codes that are drawn, [K, B].

        There, analytic is the sum of each place's KL(q || p) in closed form, p seeing the codes
        that were drawn before it.
        """
        if self.is_drawn:
            return self._rate_of_draws(latent, analytic)
        return -latent.prior.log_prob(latent.posterior.codes)

    def _rate_of_draws(self, latent, analytic):
        drawn = latent.posterior
        shape = tf.shape(drawn.one_hots)
        flat = tf.reshape(drawn.one_hots, [-1, *drawn.one_hots.shape[2:]])
        prior = tf.reshape(tf.nn.log_softmax(latent.prior.logits_of(flat)), shape)
        shares = tf.exp(drawn.log_shares) if analytic else drawn.one_hots
        return tf.reduce_sum(shares * (drawn.log_shares - prior), axis=[-2, -1])

    def penalty(self, latents, seed):
        """Returns the commitment term, [B]."""
        del seed
        if self.is_drawn:
            return tf.zeros([])
        choice = latents[0].posterior
        return self.commitment * self.codebook.cost(choice.encoded, choice.vectors)

    def follow(self, encoded, key, good):
        use = self.codebook.use_of(encoded, key)
        self.codebook.follow(use, good)
        self.trackers["perplexity"].update_state(codebook.perplexity(use.counts))

    def posterior_of(self, encoded):
        """Raises a UserError: the posterior is one code for each place."""
        self.check_decodes_z("posterior")

    def figures(self):
        usage = codebook.perplexity(tf.convert_to_tensor(self.codebook.counts))
        return {"codebook_perplexity": float(usage), "codebook_size": self.codebook_size}

    def encode(self, image, label=None):
        """Returns the codes of images [B, H, W, C], int32 [B, h * w]."""
        encoded = self.features(*self.check_inputs({"image": image, "label": label}))
        return self.choose(encoded).codes

    def reconstruct(self, image, label=None):
        """Returns the likelihood's mean at the image's codes, [B, H, W, C] in [0, 1]."""
        encoded = self.features(*self.check_inputs({"image": image, "label": label}))
        return self.decode(self.choose(encoded).vectors)

    def decode(self, z, label=None):
        """Returns the likelihood's mean for code vectors [N, h, w, D]."""
        del label
        return self._likelihood_of(z).mean()

    def _likelihood_of(self, vectors):
        """Returns p(x | codes) for code vectors [N, h, w, D]."""
        return self.likelihood(tf.reshape(vectors, [-1, self.vector_places * self.latent_size]))

    def sample_likelihood(self, seed, label=None, temperature=1.0):
        """Returns (p(x | codes) of batch [N], codes float32 [N, h * w]), one for each row of seed.

        Args:
            seed: int32 [N, 2]; see noise.rows.
            label: not used.
            temperature: what the prior's logits are divided by; 1 is the model.
        """
        seed, _ = self.draw_arguments(seed, label)
        uniforms = noise.uniform(seed, [self.places])
        codes = self.code_prior.draw(uniforms, tf.constant(temperature, tf.float32))
        if self.num_quantizers > 1:
            rows = tf.reshape(codes, [-1, self.vector_places, self.num_quantizers])
        else:
            rows = codes
        return self._likelihood_of(self.codebook.vectors_of(rows)), tf.cast(codes, tf.float32)


def _check_quantizer(quantizer, latent_size, codebook_size, levels):
    """Raises a UserError for arguments that make no quantiser."""
    if quantizer not in tuple(QUANTIZERS):
        raise errors.unknown("quantizer", quantizer, QUANTIZERS)
    if quantizer in ("fsq", "lfq") and latent_size is not None:
        raise errors.UserError(
            f"latent_size={latent_size!r}: expected it left out with quantizer={quantizer}, whose "
            "codes say how many dimensions they have."
        )
    if quantizer == "lfq" and codebook_size & (codebook_size - 1):
        raise errors.UserError(f"codebook_size={codebook_size!r}: expected a power of two, as 128.")
    if quantizer == "fsq" and min(networks.check_widths("levels", levels)) < 2:
        raise errors.UserError(f"levels={levels!r}: expected at least 2 of each dimension: (8, 5).")


def _num_quantizers(count, quantizer):
    """Returns how many codebooks there are in a row; a UserError where it can be one alone."""
    errors.at_least("num_quantizers", count, 1, whole=True)
    if count > 1 and quantizer != "codebook":
        raise errors.UserError(
            f"num_quantizers={count!r}: expected 1 with quantizer={quantizer}, or "
            "quantizer=codebook."
        )
    return count
