"""Encoder and decoder stacks, apart from the models: one file for each network, one table.

`build_encoder` gives image [B, H, W, C] -> features [B, F]; `build_decoder` gives
z [N, D] -> likelihood parameters [N, H, W, P]. Stacks are built at once and serialise with
the model that owns them.
"""

import keras
from keras import layers

from vae_zoo import errors
from vae_zoo.networks import conv, mlp, resnet
from vae_zoo.networks.common import check_widths, initial_weights_of, over_samples
from vae_zoo.networks.mlp import build_mlp
from vae_zoo.networks.principal import PrincipalPath
from vae_zoo.networks.resnet import build_map_decoder, build_map_encoder

__all__ = [
    "ACTIVATIONS",
    "DEFAULT_HIDDEN",
    "PrincipalPath",
    "build_decoder",
    "build_encoder",
    "build_map_decoder",
    "build_map_encoder",
    "build_mlp",
    "check_hidden",
    "check_widths",
    "initial_weights_of",
    "over_samples",
]

# Default sizes: units of each layer for mlp; channels at each resolution for conv and resnet.
DEFAULT_HIDDEN = {"mlp": (500, 500), "conv": (32, 64, 64), "resnet": (128, 128)}
# Between the layers of mlp and conv. Runs of early versions have relu.
ACTIVATIONS = ("relu", "leaky_relu")
# Each has encoder(image_shape, hidden, blocks, dtype, activation), a list of layers, and decoder,
# which takes the numbers for each pixel after the image_shape.
_NETWORKS = {"mlp": mlp, "conv": conv, "resnet": resnet}


def build_encoder(network, image_shape, hidden=None, blocks=2, dtype=None, activation="relu"):
    """Returns a built stack image [B, H, W, C] -> features [B, F].

    Args:
        network: "mlp", "conv" or "resnet".
        image_shape: (H, W, C).
        hidden: widths; see DEFAULT_HIDDEN. None is the default of the network.
        blocks: residual blocks at each resolution, resnet only.
        dtype: dtype policy of the layers.
        activation: one of ACTIVATIONS, mlp and conv only.

    Raises:
        UserError: for an unknown network.
    """
    hidden = check_hidden(network, hidden)
    stack = _NETWORKS[network].encoder(image_shape, hidden, blocks, dtype, activation)
    encoder = keras.Sequential([layers.Input(image_shape), *stack], name="encoder")
    return encoder


def build_decoder(
    network,
    latent_size,
    image_shape,
    outputs,
    hidden=None,
    blocks=2,
    dtype=None,
    activation="relu",
):
    """Returns a built stack z [N, D] -> likelihood parameters [N, H, W, outputs].

    Args:
        network: "mlp", "conv" or "resnet".
        latent_size: D, with whatever is joined to z.
        image_shape: (H, W, C).
        outputs: numbers for each pixel.
        hidden: widths, as for the encoder; the decoder mirrors it.
        blocks: residual blocks at each resolution, resnet only.
        dtype: dtype policy of the layers.
        activation: one of ACTIVATIONS, mlp and conv only.

    Raises:
        UserError: for an unknown network.
    """
    hidden = check_hidden(network, hidden)
    build = _NETWORKS[network].decoder
    stack = build(image_shape, outputs, hidden, blocks, dtype, activation)
    return keras.Sequential([layers.Input((latent_size,)), *stack], name="decoder")


def check_hidden(network, hidden, defaults=None):
    """Returns the widths of a network: `hidden`, or the default where it is None.

    Args:
        network: a key of the defaults.
        hidden: widths, or None.
        defaults: {network: widths}; None is DEFAULT_HIDDEN.

    Raises:
        UserError: for an unknown network, or widths that make none.
    """
    defaults = DEFAULT_HIDDEN if defaults is None else defaults
    if network not in defaults:
        raise errors.unknown("network", network, defaults)
    return defaults[network] if hidden is None else check_widths("hidden", hidden)
