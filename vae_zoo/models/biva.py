"""BIVA: each level of the hierarchy has two latents, one drawn on the way up, one on the way down.

    q(z | x) = prod_i q(u_i | x, u_<i)  q(z_1 | x, u)  prod_i q(d_i | x, u, what is above i)
    p(z) = p(z_1) prod_i p(u_i | what is above i) p(d_i | what is above i)

u_i are the latents of the way up (bottom-up inference), counted from the image; d_i those of the
way down. A deterministic path goes up next to the samples and tells the way down of the image; both
ways pass all that came before to every level (skip connections).

Maaloe et al. (2019), "BIVA: a very deep hierarchy of latent variables for generative modeling".
z_1 is their top one, z_L. The layers are z_1, and then (u_i, d_i) of each level from the top.
Without the paper's dropout and weight normalisation.
"""

import math
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import layers

from vae_zoo import errors, networks
from vae_zoo.errors import at_least
from vae_zoo.models import hierarchy
from vae_zoo.networks import common, sizes
from vae_zoo.probability import distributions
from vae_zoo.vae import VAE


class Size(NamedTuple):
    """A size of the model.

    Attributes:
        channels: of every map.
        latent_channels: latent dimensions at each place of each of a level's two maps.
        levels: levels at each resolution, the coarse one first; beyond the last number, that one
            again.
        blocks: residual blocks of each level, on each of its ways.
    """

    channels: int
    latent_channels: int
    levels: tuple
    blocks: int


SIZES = {"tiny": Size(8, 2, (1, 1), 1), "small": Size(64, 4, (2, 3, 1), 1)}


class Climbed(NamedTuple):
    """What the way up says: of z_1, and of the level at each index, counted from the image."""

    top: Any  # the parameters of q(z_1 | x, u), [..., P]
    bottom_up: list  # q(u_i | x, u_<i)
    maps: list  # the deterministic path, [..., h, w, C]


class Features(NamedTuple):
    """What the layers below see: the way down, and u_i where d_i of its level is still to come."""

    path: Any  # [..., h, w, C]
    drawn: Any = None  # [..., h, w, latent_channels]


class BIVA(hierarchy.Hierarchy):
    """Hierarchy with bidirectional inference: 2 latents a level, and the top one.

    Its rate is that of the samples: what is above a level depends on the sample of its way up, so
    the expectation of log q - log p is no KL divergence in closed form. `posterior`, `encode` and
    `reconstruct` take the latents of the way up at their means.

    Args:
        image_shape: (H, W, C).
        latent_size: latent dimensions of the top layer.
        size: "tiny" or "small"; see SIZES.
        levels: levels at each resolution, the coarse one first; None is the size's.
        latent_channels: latent dimensions at each place of a map; None is the size's.
        hidden: (C,), channels of every map; None is the size's.
        network: "conv", the one network of this model.
        **kwargs: of VAE.

    Raises:
        UserError: for arguments that make no model.
    """

    combines = {"prior": VAE.combines["prior"], "network": ("conv",)}
    analytic_kl = False

    def __init__(
        self,
        image_shape,
        latent_size=32,
        *,
        size="small",
        levels=None,
        latent_channels=None,
        hidden=None,
        network="conv",
        **kwargs,
    ):
        if size not in tuple(SIZES):
            raise errors.unknown("size", size, SIZES)
        given = {"levels": levels, "latent_channels": latent_channels}
        given["channels"] = None if hidden is None else common.check_one_width("BIVA", hidden)
        self.size = SIZES[size]._replace(**{k: v for k, v in given.items() if v is not None})
        networks.check_widths("levels", self.size.levels)
        at_least("latent_channels", self.size.latent_channels, 1, whole=True)
        super().__init__(image_shape, latent_size, network=network, hidden=hidden, **kwargs)

    def build_networks(self):
        self.maps = sizes.resolutions(self.image_shape)[1:]  # the fine one first
        counts = common.stage_channels(self.size.levels, len(self.maps))[::-1]
        self.scales = [scale for scale, count in enumerate(counts) for _ in range(count)]
        self._build_way_up()
        self._build_way_down()
        paint = [common.leaky_relu(self.dtype_policy), self._conv(4 * self.likelihood_part.outputs)]
        unfold = common.DepthToSpace(2, dtype=self.dtype_policy)
        crop = sizes.crop(self.image_shape, self.dtype_policy)
        self.decoder = self._stack(self._map(0), [*paint, unfold, *crop])

    def features(self, image, label=None):
        """Returns the maps of the lowest level, before its latents: of both paths."""
        del label
        lowest = self.stem(self.centred(image))
        return [lowest, self.stem_path(lowest)]

    def climb(self, encoded, normals):
        drawn, path = encoded
        bottom_up, maps = [], [path]
        for level, scale in enumerate(self.scales):
            parameters = networks.over_samples(self.up_heads[level], drawn, 3)
            bottom_up.append(distributions.diagonal_normal(parameters, event_rank=3))
            shape = [*self.maps[scale], self.size.latent_channels]
            z = distributions.reparameterize(bottom_up[-1], normals(self._layer(level), shape))
            inputs = _joined(z, drawn, path)
            if level == len(self.scales) - 1:
                return Climbed(networks.over_samples(self.top_head, inputs, 3), bottom_up, maps)
            drawn = networks.over_samples(self.ups[level], inputs, 3)
            below = networks.over_samples(self.path_inputs[level], path, 3)
            path = networks.over_samples(self.paths[level], below + drawn, 3)
            maps.append(path)

    def posterior_of(self, encoded):
        if not isinstance(encoded, Climbed):
            encoded = self.climb(encoded, hierarchy.no_noise)
        return super().posterior_of(encoded)

    def lower_shapes(self):
        shapes = [[*self.maps[scale], self.size.latent_channels] for scale in self.scales[::-1]]
        return [shape for shape in shapes for _ in ("up", "down")]

    def lower_prior(self, layer, features):
        parameters = networks.over_samples(self.priors[layer - 1], features.path, 3)
        return distributions.diagonal_normal(parameters, event_rank=3)

    def lower_posterior(self, layer, features, prior, encoded):
        level = self._level(layer)
        if features.drawn is None:
            return encoded.bottom_up[level]
        inputs = _joined(features.path, encoded.maps[level])
        parameters = networks.over_samples(self.down_heads[level], inputs, 3)
        return distributions.diagonal_normal(parameters, event_rank=3)

    def join(self, layer, z, features=None):
        if features is None:
            return Features(networks.over_samples(self.start, z))
        if features.drawn is None:
            return features._replace(drawn=z)
        level = self._level(layer)
        both = networks.over_samples(self.joins[level], _joined(features.drawn, z), 3)
        path = networks.over_samples(self.downs[level], features.path + both, 3)
        return Features(path) if level else path

    def _level(self, layer):
        """Returns the level of a layer below the top, counted from the image."""
        return len(self.scales) - 1 - (layer - 1) // 2

    def _layer(self, level):
        """Returns the layer of a level's latent of the way up."""
        return 1 + 2 * (len(self.scales) - 1 - level)

    # The stacks.

    def _build_way_up(self):
        channels, latent = self.size.channels, self.size.latent_channels
        fold = common.SpaceToDepth(2, dtype=self.dtype_policy)
        pad = sizes.pad(self.image_shape, self.dtype_policy)
        first = [*pad, fold, self._conv(channels, 3), *self._blocks()]
        self.stem = self._stack(self.image_shape, first)
        self.stem_path = self._stack(self._map(0), self._blocks())
        self.up_heads = [self._head(scale) for scale in self.scales]
        self.ups, self.path_inputs, self.paths = [], [], []
        for scale, above in zip(self.scales, self.scales[1:], strict=False):
            joined = (*self.maps[scale], latent + 2 * channels)
            self.ups.append(self._stack(joined, [*self._shrink(scale, above), *self._blocks()]))
            self.path_inputs.append(self._stack(self._map(scale), self._shrink(scale, above)))
            self.paths.append(self._stack(self._map(above), self._blocks()))
        joined = (*self.maps[self.scales[-1]], latent + 2 * channels)
        head = [common.leaky_relu(self.dtype_policy), layers.Flatten()]
        head.append(layers.Dense(self.posterior_part.parameters, dtype=self.dtype_policy))
        self.top_head = self._stack(joined, [self._conv(channels), *self._blocks(), *head])

    def _build_way_down(self):
        channels, latent = self.size.channels, self.size.latent_channels
        coarsest = self._map(self.scales[-1])
        start = layers.Dense(math.prod(coarsest), dtype=self.dtype_policy)
        stack = [start, layers.Reshape(coarsest), *self._blocks()]
        self.start = self._stack((self.latent_size,), stack)
        # In the layers' order, two a level from the top; the lists below count from the image.
        self.priors = [self._head(scale, "zeros") for scale in self.scales[::-1] for _ in range(2)]
        self.down_heads, self.joins, self.downs = [], [], []
        for scale, below in zip(self.scales, [0, *self.scales], strict=False):
            self.down_heads.append(self._head(scale, channels=2 * channels))
            both = (*self.maps[scale], 2 * latent)
            self.joins.append(self._stack(both, [self._conv(channels)]))
            down = [*self._blocks(), *(self._grow() if scale > below else [])]
            self.downs.append(self._stack(self._map(scale), down))

    def _shrink(self, scale, above):
        """Returns the layers to a level's resolution and channels from those of the one below."""
        fold = [common.SpaceToDepth(2, dtype=self.dtype_policy)] if above > scale else []
        return [*fold, self._conv(self.size.channels)]

    def _grow(self):
        """Returns the layers to twice the resolution."""
        unfold = common.DepthToSpace(2, dtype=self.dtype_policy)
        return [self._conv(4 * self.size.channels), unfold]

    def _head(self, scale, kernel="glorot_uniform", channels=None):
        """Returns a stack from a map to the parameters of a normal over the latents there."""
        shape = (*self.maps[scale], channels or self.size.channels)
        outputs = self._conv(2 * self.size.latent_channels, kernel_initializer=kernel)
        return self._stack(shape, [common.leaky_relu(self.dtype_policy), outputs])

    def _blocks(self):
        channels, policy = self.size.channels, self.dtype_policy
        return [common.PreActivationBlock(channels, dtype=policy) for _ in range(self.size.blocks)]

    def _conv(self, channels, size=1, **kwargs):
        return layers.Conv2D(channels, size, padding="same", dtype=self.dtype_policy, **kwargs)

    def _map(self, scale):
        return (*self.maps[scale], self.size.channels)

    def _stack(self, shape, stack):
        return keras.Sequential([layers.Input(shape), *stack])


def _joined(samples, *maps):
    """Returns samples [..., h, w, c] and maps, for one sample or for each, side by side."""
    every_sample = tf.zeros_like(samples[..., :1])
    spread = [every_sample + tf.cast(one, samples.dtype) for one in maps]
    return tf.concat([samples, *spread], axis=-1)
