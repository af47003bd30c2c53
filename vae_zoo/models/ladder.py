"""The ladder VAE: posterior = what the image says of a layer, times the layer's own prior.

    q(z_l | x, z_<l) = N(mu_hat, sigma_hat) N(mu_p, sigma_p) / normaliser

where (mu_p, sigma_p) is p(z_l | z_<l) on the way down and (mu_hat, sigma_hat) comes of a
deterministic path up. Sonderby et al. (2016), "Ladder variational autoencoders", eq. 17-19; the
layers are numbered from the top.

The top layer is a vector; those below are maps, at two resolutions. As in Kingma et al. (2016),
"Improved variational inference with inverse autoregressive flow", section 5.1, residual features
go down next to the samples, and (mu_hat, sigma_hat) is the sum of what the way up and those
features say: what the image says of a layer then depends on the layers above it too.
"""

import math

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from keras import layers

from vae_zoo import networks
from vae_zoo.errors import at_least
from vae_zoo.models.hierarchy import Hierarchy
from vae_zoo.networks import common, sizes
from vae_zoo.probability import distributions
from vae_zoo.vae import VAE

tfd = tfp.distributions

_HIDDEN = {"conv": (64, 128), "mlp": (512,)}
_LATENT_CHANNELS = {"conv": 8, "mlp": 32}
_SCALES = 2  # resolutions that have stochastic layers


def precision_weighted(first, second):
    """Returns the normalised product of two diagonal normals (Sonderby et al., eq. 17-19)."""
    one, two = first.distribution, second.distribution
    precision_one, precision_two = one.scale**-2, two.scale**-2
    variance = 1.0 / (precision_one + precision_two)
    mean = variance * (one.loc * precision_one + two.loc * precision_two)
    return tfd.Independent(tfd.Normal(mean, tf.sqrt(variance)), second.reinterpreted_batch_ndims)


class LadderVAE(Hierarchy):
    """VAE of any number of stochastic layers, with the precision-weighted posterior.

    Args:
        image_shape: (H, W, C).
        latent_size: latent dimensions of the top layer.
        num_layers: stochastic layers, the top one included; those below it are shared out among
            two resolutions, the coarse one first.
        latent_channels: latent dimensions at each place of a map; None is 8, for mlp 32.
        network: "conv"; or "mlp", whose maps are 1 x 1.
        hidden: channels at each resolution, the fine one first; None is (64, 128), for mlp (512,).
        blocks: residual blocks at each resolution on the way up, and after each layer.
        **kwargs: of VAE.

    Raises:
        UserError: for arguments that make no model.
    """

    combines = {**VAE.combines, "network": ("conv", "mlp")}

    def __init__(
        self,
        image_shape,
        latent_size=32,
        *,
        num_layers=5,
        latent_channels=None,
        network="conv",
        hidden=None,
        blocks=1,
        **kwargs,
    ):
        self.num_layers = at_least("num_layers", num_layers, 1, whole=True, most=100)
        self.latent_channels = latent_channels
        super().__init__(
            image_shape, latent_size, network=network, hidden=hidden, blocks=blocks, **kwargs
        )

    def build_networks(self):
        at_least("blocks", self.blocks, 1, whole=True)
        self.hidden = networks.check_hidden(self.network, self.hidden, _HIDDEN)
        if self.latent_channels is None:
            self.latent_channels = _LATENT_CHANNELS[self.network]
        at_least("latent_channels", self.latent_channels, 1, whole=True)
        picture = (*self.image_shape[:2], self.likelihood_part.outputs)
        self.maps = self._map_shapes()
        self.scales = self._scales()
        self._build_way_up()
        self._build_way_down()
        last = self.scales[-1]
        self.decoder = self._stack(self.maps[last], self._down(last, 0) + self._paint(picture))

    def features(self, image, label=None):
        del label
        features, seen = self.centred(image), []
        for stage in self.way_up:
            features = stage(features)
            seen.append(features)
        pairs = zip(self.messages, self.scales[1:], strict=True)
        return [self.top_head(features), *(head(seen[scale]) for head, scale in pairs)]

    def lower_shapes(self):
        return [[*self.maps[scale][:2], self.latent_channels] for scale in self.scales[1:]]

    def join(self, layer, z, features=None):
        joined = networks.over_samples(self.joins[layer], z, 3 if layer else 1)
        joined = joined if features is None else features + joined
        is_last = layer == self.num_layers - 1
        return joined if is_last else networks.over_samples(self.ways_down[layer], joined, 3)

    def lower_prior(self, layer, features):
        parameters = networks.over_samples(self.priors[layer - 1], features, 3)
        return distributions.diagonal_normal(parameters, event_rank=3)

    def lower_posterior(self, layer, features, prior, encoded):
        context = networks.over_samples(self.contexts[layer - 1], features, 3)
        message = distributions.diagonal_normal(encoded[layer] + context, event_rank=3)
        return precision_weighted(message, prior)

    # The stacks.

    def _map_shapes(self):
        """Returns the shape of the features at each scale, the fine one first."""
        if self.network == "mlp":
            return [(1, 1, self.hidden[0])]
        halved = sizes.resolutions(self.image_shape, self._halvings())
        chosen = halved[1:][-_SCALES:] or halved
        channels = common.stage_channels(self.hidden, len(chosen))
        return [(*size, n) for size, n in zip(chosen, channels, strict=True)]

    def _scales(self):
        """Returns the scale of each layer, top first; the top one leads to the coarsest map."""
        coarsest = len(self.maps) - 1
        shares = np.array_split(np.arange(1, self.num_layers), len(self.maps))
        return [coarsest, *(coarsest - i for i, share in enumerate(shares) for _ in share)]

    def _build_way_up(self):
        self.way_up, shape = [], self.image_shape
        for scale, target in enumerate(self.maps):
            stack = [*self._shrink(shape, target), *self._blocks(scale)]
            self.way_up.append(self._stack(shape, stack))
            shape = target
        units = self.posterior_part.parameters
        head = [self._made(common.leaky_relu), layers.Flatten(), self._dense(units)]
        self.top_head = self._stack(shape, head)
        self.messages = [self._normal_head(scale) for scale in self.scales[1:]]

    def _build_way_down(self):
        start = [self._dense(math.prod(self.maps[-1])), layers.Reshape(self.maps[-1])]
        self.joins = [self._stack((self.latent_size,), start)]
        self.priors, self.contexts, self.ways_down = [], [], []
        for above, scale in zip(self.scales, self.scales[1:], strict=False):
            height, width, channels = self.maps[scale]
            self.ways_down.append(self._stack(self.maps[above], self._down(above, scale)))
            self.priors.append(self._normal_head(scale, kernel_initializer="zeros"))
            self.contexts.append(self._normal_head(scale, kernel_initializer="zeros"))
            z_shape = (height, width, self.latent_channels)
            self.joins.append(self._stack(z_shape, [self._conv(channels)]))

    def _down(self, start, stop):
        """Returns layers from one scale to another on the way down, blocks at each."""
        stack = self._blocks(start)
        for scale in range(start - 1, stop - 1, -1):
            channels = self.maps[scale][-1]
            stack += [self._conv(4 * channels), self._made(common.DepthToSpace, 2)]
            stack += self._blocks(scale)
        return stack

    def _shrink(self, shape, target):
        """Returns layers from an image or a map to the next coarser map."""
        if self.network == "mlp":
            return [layers.Flatten(), self._dense(target[-1]), layers.Reshape(target)]
        if shape == self.image_shape:
            pad = sizes.pad(shape, self.dtype_policy, self._halvings())
            return [*pad, *self._fold(common.SpaceToDepth), self._conv(target[-1], 3)]
        return [self._made(common.SpaceToDepth, shape[0] // target[0]), self._conv(target[-1])]

    def _paint(self, picture):
        """Returns layers from the finest map to the likelihood's parameters [H, W, P]."""
        if self.network == "mlp":
            flat = [self._made(common.leaky_relu), layers.Flatten()]
            return [*flat, self._dense(math.prod(picture)), layers.Reshape(picture)]
        crop = sizes.crop(picture, self.dtype_policy, self._halvings())
        paint = self._conv(self._finest_factor() ** 2 * picture[-1], 3)
        return [self._made(common.leaky_relu), paint, *self._fold(common.DepthToSpace), *crop]

    def _finest_factor(self):
        """Returns how much smaller than the padded image the finest map is."""
        padded = sizes.resolutions(self.image_shape, self._halvings())[0]
        return padded[0] // self.maps[0][0]

    def _halvings(self):
        return sizes.halvings(self.image_shape, least=0)

    def _fold(self, kind):
        """Returns the layers of a kind that trade the image's resolution for channels, or back."""
        factor = self._finest_factor()
        return [self._made(kind, factor)] if factor > 1 else []

    def _blocks(self, scale):
        height, width, channels = self.maps[scale]
        size = 1 if height == width == 1 else 3
        return [self._made(common.PreActivationBlock, channels, size) for _ in range(self.blocks)]

    def _normal_head(self, scale, **kwargs):
        """Returns a stack from features at a scale to the parameters of a layer's normal."""
        head = [self._made(common.leaky_relu), self._conv(2 * self.latent_channels, **kwargs)]
        return self._stack(self.maps[scale], head)

    def _stack(self, shape, stack):
        return keras.Sequential([layers.Input(shape), *stack])

    def _conv(self, channels, size=1, **kwargs):
        return self._made(layers.Conv2D, channels, size, padding="same", **kwargs)

    def _dense(self, units):
        return self._made(layers.Dense, units)

    def _made(self, kind, *args, **kwargs):
        return kind(*args, dtype=self.dtype_policy, **kwargs)
