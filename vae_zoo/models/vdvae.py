"""The very deep VAE: stochastic layers of a few channels at every resolution, the top one 1 x 1.

    x_l <- x_l + r_l(x_l) + W z_l,   x_(l+1) = x_l + f_l(x_l),   the prior's block giving r_l too
    p(z_l | z_<l) = N(prior block(x_l)),   q(z_l | x, z_<l) = N(posterior block(x_l, way up))

Maps go from one resolution to the next by nearest-neighbour upsampling and a learned map. The last
convolution of each residual block starts scaled by 1 / sqrt(depth). Its training skips steps of
large gradients and evaluates averaged weights; see the recipe.

Child (2021), "Very deep VAEs generalize autoregressive models and can outperform them on images".
z_1 has the prior of the base class here, N(0, 1) or another part; in the paper it is a learned
normal, which gives the same family of models.
"""

from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import layers

from vae_zoo import errors, networks
from vae_zoo.errors import at_least
from vae_zoo.models.hierarchy import Hierarchy
from vae_zoo.networks import common, sizes, very_deep
from vae_zoo.probability import distributions
from vae_zoo.vae import VAE


class Size(NamedTuple):
    """A size of the model.

    Attributes:
        width: channels of every map.
        latent_channels: latent dimensions at each place of a map.
        num_layers: stochastic layers at each resolution, the 1 x 1 one first; beyond the last
            number, that one again.
        blocks: residual blocks on the way up, at each resolution, in the same way.
        halvings: of the image before the first map.
        smallest: the image is halved until a side is at most this; below it is 1 x 1.
    """

    width: int
    latent_channels: int
    num_layers: tuple
    blocks: tuple
    halvings: int
    smallest: int


# "paper": `cifar10` of hps.py in the paper's code (github.com/openai/vdvae), 39M parameters.
SIZES = {
    "tiny": Size(8, 2, (1,), (1,), 1, 8),
    "small": Size(64, 8, (1, 5, 6, 3, 2), (1, 2, 3, 2), 1, 8),
    "paper": Size(384, 16, (1, 3, 6, 11, 22), (3, 3, 6, 6, 11), 0, 4),
}
_LARGEST_LEARNED = 64  # sides of a learned map: `no_bias_above` of the paper's code


class Features(NamedTuple):
    """What a layer below the top sees: the path, what its prior's block adds, and its prior."""

    path: Any  # [..., H, W, C]
    residual: Any  # [..., H, W, C]
    prior: Any  # [..., H, W, 2 * latent_channels]


class VDVAE(Hierarchy):
    """Very deep VAE: residual top-down path, a stochastic layer in each of its blocks.

    Args:
        image_shape: (H, W, C).
        latent_size: latent dimensions of the top layer.
        size: "tiny", "small" or "paper"; see SIZES.
        num_layers: stochastic layers at each resolution, the 1 x 1 one first; None is the size's.
        latent_channels: latent dimensions at each place of a map; None is the size's.
        hidden: (C,), channels of every map; None is the size's.
        network: "conv", the one network of this model.
        **kwargs: of VAE.

    Raises:
        UserError: for arguments that make no model.
    """

    combines = {**VAE.combines, "network": ("conv",)}

    def __init__(
        self,
        image_shape,
        latent_size=16,
        *,
        size="small",
        num_layers=None,
        latent_channels=None,
        hidden=None,
        network="conv",
        **kwargs,
    ):
        if size not in tuple(SIZES):
            raise errors.unknown("size", size, SIZES)
        given = {"num_layers": num_layers, "latent_channels": latent_channels}
        given["width"] = None if hidden is None else common.check_one_width("VDVAE", hidden)
        self.size = SIZES[size]._replace(**{k: v for k, v in given.items() if v is not None})
        networks.check_widths("num_layers", self.size.num_layers)
        at_least("latent_channels", self.size.latent_channels, 1, whole=True)
        super().__init__(image_shape, latent_size, network=network, hidden=hidden, **kwargs)

    def build_networks(self):
        size = self.size
        self.halvings = sizes.halvings(self.image_shape, size.halvings, size.smallest)
        halved = sizes.resolutions(self.image_shape, self.halvings)[size.halvings :]
        self.maps = [(1, 1), *halved[::-1]]  # the coarse one first
        counts = common.stage_channels(size.num_layers, len(self.maps))
        self.scales = [scale for scale, count in enumerate(counts) for _ in range(count)]
        self._build_way_up()
        self._build_way_down()
        outputs = 4**size.halvings * self.likelihood_part.outputs
        paint = [self._conv(outputs), *self._fold(common.DepthToSpace)]
        crop = sizes.crop(self.image_shape, self.dtype_policy, self.halvings)
        self.decoder = self._stack(self._map(-1), [*paint, *crop])

    def features(self, image, label=None):
        """Returns [the top posterior's parameters, the map of each resolution, coarse first]."""
        del label
        x, seen = self.centred(image), []
        for stage in self.way_up:
            x = stage(x)
            seen.append(x)
        return [self.top_head(x), *seen[::-1]]

    def lower_shapes(self):
        return [[*self.maps[scale], self.size.latent_channels] for scale in self.scales[1:]]

    def join(self, layer, z, features=None):
        path = networks.over_samples(self.projections[layer], z, 3 if layer else 1)
        if features is not None:
            path = features.path + features.residual + path
        path = networks.over_samples(self.steps[layer], path, 3)
        if layer == len(self.scales) - 1:
            return path
        seen = networks.over_samples(self.priors[layer], path, 3)
        residual, prior = tf.split(seen, [self.size.width, 2 * self.size.latent_channels], axis=-1)
        return Features(path, residual, prior)

    def lower_prior(self, layer, features):
        return distributions.diagonal_normal(features.prior, event_rank=3)

    def lower_posterior(self, layer, features, prior, encoded):
        image_map = tf.cast(encoded[1 + self.scales[layer]], features.path.dtype)  # [B, H, W, C]
        every_sample = tf.zeros_like(features.path) + image_map
        inputs = tf.concat([features.path, every_sample], axis=-1)
        parameters = networks.over_samples(self.posteriors[layer - 1], inputs, 3)
        return distributions.diagonal_normal(parameters, event_rank=3)

    # The stacks.

    def _build_way_up(self):
        counts = common.stage_channels(self.size.blocks, len(self.maps))[::-1]  # the fine one first
        depth = sum(counts) + len(self.maps) - 1
        pad = sizes.pad(self.image_shape, self.dtype_policy, self.halvings)
        stack = [*pad, *self._fold(common.SpaceToDepth), self._conv(self.size.width, 3)]
        self.way_up, shape = [], self.image_shape
        for scale, count in zip(reversed(range(len(self.maps))), counts, strict=True):
            stack += [self._residual(scale, depth) for _ in range(count)]
            self.way_up.append(self._stack(shape, stack))
            shape = self._map(scale)
            pool = layers.AveragePooling2D(2, dtype=self.dtype_policy)
            if scale == 1:
                pool = layers.GlobalAveragePooling2D(keepdims=True, dtype=self.dtype_policy)
            stack = [self._residual(scale, depth), pool]
        head = [self._block(0, self.posterior_part.parameters), layers.Flatten()]
        self.top_head = self._stack(shape, head)

    def _build_way_down(self):
        width, latent = self.size.width, self.size.latent_channels
        depth, last = len(self.scales), self.scales[-1]
        self.projections, self.steps, self.priors, self.posteriors = [], [], [], []
        for scale, below in zip(self.scales, [*self.scales[1:], last], strict=True):
            is_top = not self.projections
            z_shape = (self.latent_size,) if is_top else (*self.maps[scale], latent)
            start = [layers.Reshape((1, 1, self.latent_size))] if is_top else []
            project = [*start, self._conv(width, gain=depth**-0.5)]
            project += [self._learned(0)] if is_top else []
            self.projections.append(self._stack(z_shape, project))
            step = [self._residual(scale, depth), *(self._up(below) if below > scale else [])]
            self.steps.append(self._stack(self._map(scale), step))
            if len(self.steps) < depth:
                prior = self._block(below, width + 2 * latent, gain=0.0)
                self.priors.append(self._stack(self._map(below), [prior]))
                both = (*self.maps[below], 2 * width)
                self.posteriors.append(self._stack(both, [self._block(below, 2 * latent)]))

    def _up(self, scale):
        """Returns the layers from the resolution above to this one."""
        up = [very_deep.NearestUp(2, dtype=self.dtype_policy)] if scale > 1 else []
        learned = scale == 1 or max(self.maps[scale]) <= _LARGEST_LEARNED
        return [*up, *([self._learned(scale)] if learned else [])]

    def _fold(self, kind):
        """Returns the layers of a kind that trade the image's resolution for channels, or back."""
        halvings = self.size.halvings
        return [kind(2**halvings, dtype=self.dtype_policy)] if halvings else []

    def _learned(self, scale):
        return very_deep.LearnedMap(self.maps[scale], dtype=self.dtype_policy)

    def _residual(self, scale, depth):
        return self._block(scale, self.size.width, residual=True, gain=depth**-0.5)

    def _block(self, scale, channels, **kwargs):
        size = 3 if min(self.maps[scale]) > 2 else 1
        middle = max(self.size.width // 4, 4)
        return very_deep.Bottleneck(channels, middle, size, dtype=self.dtype_policy, **kwargs)

    def _conv(self, channels, size=1, gain=1.0):
        return very_deep.convolution(channels, size, gain, self.dtype_policy)

    def _map(self, scale):
        return (*self.maps[scale], self.size.width)

    def _stack(self, shape, stack):
        return keras.Sequential([layers.Input(shape), *stack])
