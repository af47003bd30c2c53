"""NVAE: several groups of latents at each of several resolutions, in residual cells.

    p(z_l | z_<l) = N(mu, sigma),   q(z_l | x, z_<l) = N(mu + dmu, sigma dsigma)

(dmu, dsigma) comes of the image and of what the layers above say: where the image tells nothing
new, dmu = 0 and dsigma = 1 cost no rate. The largest singular values of the convolutions are
added to the loss, times a small weight (spectral regularisation).

Vahdat and Kautz (2020), "NVAE: a deep hierarchical variational autoencoder", without the flows of
its posterior, as the paper's model of MNIST. See networks/cells.py for the cells.
"""

import math
from typing import NamedTuple

import keras
import tensorflow as tf
import tensorflow_probability as tfp
from keras import layers

from vae_zoo import checks, networks
from vae_zoo.errors import at_least
from vae_zoo.models import hierarchy
from vae_zoo.networks import cells, common, sizes, spectral, very_deep
from vae_zoo.probability import distributions
from vae_zoo.vae import VAE

tfd = tfp.distributions


class Size(NamedTuple):
    """A size of the model.

    Attributes:
        channels: of the maps at the image's resolution, twice as many at each halving.
        latent_channels: latent dimensions at each place of a group.
        groups: stochastic layers at each resolution, the coarse one first; beyond the last
            number, that one again.
        cells: residual cells before each group.
        outer_cells: cells at each resolution above those that have groups.
        halvings: of the image before the finest map that has groups.
        smallest: the image is halved until a side is at most this.
    """

    channels: int
    latent_channels: int
    groups: tuple
    cells: int
    outer_cells: int
    halvings: int
    smallest: int


# "paper": the command for MNIST in the README of the paper's code (github.com/NVlabs/NVAE).
SIZES = {
    "tiny": Size(4, 2, (1, 1), 1, 1, 1, 8),
    "small": Size(16, 4, (2, 4, 2, 1), 1, 1, 1, 8),
    "paper": Size(32, 20, (5, 10), 2, 3, 2, 4),
}


def moved_from(prior, change):
    """Returns N(mu + dmu, sigma dsigma) of a prior N(mu, sigma) and a change N(dmu, dsigma).

    Source: Vahdat and Kautz (2020), section 3.2, "residual normal distributions".
    """
    base, moved = prior.distribution, change.distribution
    normal = tfd.Normal(base.loc + moved.loc, base.scale * moved.scale)
    return tfd.Independent(normal, prior.reinterpreted_batch_ndims)


class NVAE(hierarchy.Hierarchy):
    """Deep hierarchy of maps, its posteriors residual to their priors.

    Args:
        image_shape: (H, W, C).
        size: "tiny", "small" or "paper"; see SIZES.
        groups: stochastic layers at each resolution, the coarse one first; None is the size's.
        latent_channels: latent dimensions at each place of a group; None is the size's.
        hidden: (C,), channels at the image's resolution, doubled at each halving; None is the
            size's.
        spectral_weight: nats for each unit of the sum of the largest singular values.
        network: "conv", the one network of this model.
        **kwargs: of VAE, but for latent_size: z_1 is the coarsest map, flat for its users.

    Raises:
        UserError: for latent_size, and for arguments that make no model.
    """

    combines = {"prior": VAE.combines["prior"], "network": ("conv",)}
    has_penalty = True

    def __init__(
        self,
        image_shape,
        *,
        size="small",
        groups=None,
        latent_channels=None,
        hidden=None,
        spectral_weight=0.01,
        network="conv",
        **kwargs,
    ):
        checks.no_latent_size(type(self), kwargs)
        self.size = hierarchy.size_of(
            "NVAE", SIZES, size, hidden, latent_channels, groups=groups
        )
        self.spectral_weight = at_least("spectral_weight", spectral_weight, 0)
        self.halvings = sizes.halvings(image_shape, self.size.halvings, self.size.smallest)
        self.maps = sizes.resolutions(image_shape, self.halvings)[::-1]  # the coarse one first
        latent_size = math.prod(self.maps[0]) * self.size.latent_channels
        super().__init__(image_shape, latent_size, network=network, hidden=hidden, **kwargs)

    def build_networks(self):
        with_groups = len(self.maps) - self.size.halvings
        self.scales = common.stage_of_layers(self.size.groups, with_groups)
        self._build_way_up()
        self._build_way_down()
        self.decoder = self._build_decoder()
        self.kernels = [v for v in self.trainable_variables if _is_of_convolution(v)]

    def features(self, image, label=None):
        """Returns [all means and then all log-scales of z_1, the map of each other group]."""
        del label
        seen = common.each_output(self.way_up, self.centred(image))
        parts = tf.split(self.top_head(seen[-1]), 2, axis=-1)  # [B, h, w, c] each
        flat = [tf.reshape(part, [-1, self.latent_size]) for part in parts]
        return [tf.concat(flat, axis=-1), *seen[-2::-1]]

    def lower_shapes(self):
        return [[*self.maps[scale], self.size.latent_channels] for scale in self.scales[1:]]

    def join(self, layer, z, features=None):
        if features is not None:
            z = tf.concat([features, tf.cast(z, features.dtype)], axis=-1)
        joined = networks.over_samples(self.joins[layer], z, 3 if layer else 1)
        is_last = layer == len(self.scales) - 1
        return joined if is_last else networks.over_samples(self.ways_down[layer], joined, 3)

    def lower_prior(self, layer, features):
        parameters = networks.over_samples(self.priors[layer - 1], features, 3)
        return distributions.diagonal_normal(parameters, event_rank=3)

    def lower_posterior(self, layer, features, prior, encoded):
        said = networks.over_samples(self.contexts[layer - 1], features, 3)
        parameters = networks.over_samples(self.changes[layer - 1], encoded[layer] + said, 3)
        return moved_from(prior, distributions.diagonal_normal(parameters, event_rank=3))

    def penalty(self, latents, seed):
        del latents, seed
        kernels = [variable.value for variable in self.kernels]
        return self.spectral_weight * tf.reduce_sum(spectral.spectral_norms(kernels))

    # The stacks.

    def _build_way_up(self):
        finest = len(self.maps) - 1
        pad = sizes.pad(self.image_shape, self.dtype_policy, self.halvings)
        stack, self.way_up = [*pad, self._conv(self.size.channels, 3)], []
        shape, here = self.image_shape, finest
        for scale in reversed(self.scales):
            for below in range(here, scale, -1):
                outer = self.size.outer_cells - 1 if below > self.scales[-1] else 0
                stack += [self._cell(below, "encoder") for _ in range(outer)]
                stack.append(self._cell(below - 1, "encoder", "down"))
            stack += [self._cell(scale, "encoder") for _ in range(self.size.cells)]
            self.way_up.append(self._stack(shape, stack))
            shape, here, stack = self._map(scale), scale, []
        head = [self._swish(), self._conv(self._channels(0)), self._swish()]
        self.top_head = self._stack(shape, [*head, self._conv(2 * self.size.latent_channels, 3)])

    def _build_way_down(self):
        latent, self.ways_down = self.size.latent_channels, []
        self.priors, self.contexts, self.changes = [], [], []
        top_z = layers.Reshape((*self.maps[0], latent))
        top = [top_z, self._conv(self._channels(0)), very_deep.LearnedMap(self.maps[0])]
        self.joins = [self._stack((self.latent_size,), top)]
        for above, scale in zip(self.scales, self.scales[1:], strict=False):
            down = [self._cell(scale, "decoder", "up")] if scale > above else []
            down += [self._cell(scale, "decoder") for _ in range(self.size.cells)]
            self.ways_down.append(self._stack(self._map(above), down))
            prior = [self._swish(), self._conv(2 * latent, kernel_initializer="zeros")]
            self.priors.append(self._stack(self._map(scale), prior))
            self.contexts.append(self._stack(self._map(scale), [self._conv(self._channels(scale))]))
            change = [self._swish(), self._conv(2 * latent, 3)]
            self.changes.append(self._stack(self._map(scale), change))
            both = (*self.maps[scale], self._channels(scale) + latent)
            self.joins.append(self._stack(both, [self._conv(self._channels(scale))]))

    def _build_decoder(self):
        last, stack = self.scales[-1], []
        for scale in range(last + 1, len(self.maps)):
            stack.append(self._cell(scale, "decoder", "up", 3))
            outer = self.size.outer_cells - 1
            stack += [self._cell(scale, "decoder", expansion=3) for _ in range(outer)]
        stack += [self._swish(), self._conv(self.likelihood_part.outputs, 3)]
        crop = sizes.crop(self.image_shape, self.dtype_policy, self.halvings)
        return self._stack(self._map(last), [*stack, *crop])

    def _channels(self, scale):
        return self.size.channels * 2 ** (len(self.maps) - 1 - scale)

    def _map(self, scale):
        return (*self.maps[scale], self._channels(scale))

    def _cell(self, scale, kind, change="", expansion=6):
        policy = self.dtype_policy
        return cells.ResidualCell(self._channels(scale), kind, change, expansion, dtype=policy)

    def _swish(self):
        return layers.Activation("silu", dtype=self.dtype_policy)

    def _conv(self, channels, size=1, **kwargs):
        return layers.Conv2D(channels, size, padding="same", dtype=self.dtype_policy, **kwargs)

    def _stack(self, shape, stack):
        return keras.Sequential([layers.Input(shape), *stack])


def _is_of_convolution(variable):
    """Returns whether a weight is the kernel of a convolution over all channels."""
    is_kernel = variable.path.endswith("/kernel") and len(variable.shape) == 4
    return is_kernel and "depthwise" not in variable.path
