"""VAEs in PyTorch, of the architectures of vae_zoo's networks: needs PyTorch alone."""

import math

import torch
from torch import nn
from torch.nn import functional

_SMALLEST, _SLOPE, _FEATURES = 8, 0.2, 256  # as in vae_zoo's networks


class TorchVAE(nn.Module):
    """A VAE with a Bernoulli likelihood, in PyTorch.

    Args:
        network: {"network": "mlp", "conv" or "resnet", "image_shape", "hidden", "blocks",
            "latent_size", "log_scale": its bounds}.
    """

    def __init__(self, network):
        super().__init__()
        encoder, decoder, features = _NETWORKS[network["network"]](network)
        self.shape = tuple(network["image_shape"])
        self.latent_size, self.log_scale = network["latent_size"], network["log_scale"]
        self.encoder, self.decoder = encoder, decoder
        self.head = nn.Linear(features, 2 * self.latent_size)

    def forward(self, image, noise=None):
        """Returns the negative ELBO in nats, the mean over images [B, C, H, W].

        Args:
            image: the batch.
            noise: normals [B, D]; None: they are drawn.
        """
        mean, log_scale = self.posterior(image)
        scale = log_scale.exp()
        noise = torch.randn_like(mean) if noise is None else noise
        rate = 0.5 * (scale**2 + mean**2 - 1 - 2 * log_scale).sum(1)
        return (rate + self.distortion(self.decoder(mean + scale * noise).float(), image)).mean()

    def posterior(self, image):
        """Returns q(z | x)'s mean and log-scale, [B, D] each."""
        mean, log_scale = self.head(self.encoder(image)).float().chunk(2, dim=1)
        return mean, bounded(log_scale, *self.log_scale)

    def distortion(self, decoded, image):
        """Returns -log p(x | z) of each image in nats, [B]."""
        logits, ink = decoded.flatten(1), image.flatten(1)
        return functional.binary_cross_entropy_with_logits(logits, ink, reduction="none").sum(1)


def bounded(value, low, high):
    """Returns a value smoothly held between bounds; see vae_zoo.probability.distributions."""
    return low + functional.softplus(high - low - functional.softplus(high - value))


def _mlp(network):
    widths = network["hidden"]
    pixels = math.prod(network["image_shape"])
    encoder = nn.Sequential(nn.Flatten(), *_rectified([pixels, *widths]))
    back = [network["latent_size"], *reversed(widths)]
    return encoder, nn.Sequential(*_rectified(back), nn.Linear(back[-1], pixels)), widths[-1]


def _rectified(widths):
    for inputs, outputs in zip(widths, widths[1:]):
        yield from (nn.Linear(inputs, outputs), nn.LeakyReLU(_SLOPE))


def _conv(network):
    channels, side, halvings = _stages(network)
    channels = [channels[min(i, len(channels) - 1)] for i in range(halvings)]
    narrow, colours = max(channels[-1] // 4, 4), network["image_shape"][2]
    maps = narrow * side**2
    down = [layer for pair in zip([colours, *channels], channels) for layer in
            (nn.Conv2d(*pair, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE))]  # fmt: skip
    down += [nn.Conv2d(channels[-1], narrow, 3, padding=1), nn.LeakyReLU(_SLOPE), nn.Flatten()]
    encoder = nn.Sequential(*down, nn.Linear(maps, _FEATURES), nn.LeakyReLU(_SLOPE))
    dense = _rectified([network["latent_size"], _FEATURES, maps])
    up = [nn.Unflatten(1, (narrow, side, side))]
    up += [nn.Conv2d(narrow, channels[-1], 3, padding=1), nn.LeakyReLU(_SLOPE)]
    back = [*channels[::-1], colours]
    for inputs, outputs in zip(back, back[1:]):
        up += [nn.Conv2d(inputs, 4 * outputs, 3, padding=1)]
        up += [nn.LeakyReLU(_SLOPE), nn.PixelShuffle(2)]
    del up[-2]  # the last has no rectifier
    return encoder, nn.Sequential(*dense, *up), _FEATURES


def _resnet(network):
    hidden, side, halvings = _stages(network)
    factors = [4] + [2] * (halvings - 2) if halvings > 1 else [2] * halvings
    channels = [hidden[min(i, len(hidden) - 1)] for i in range(len(factors))]
    colours, down = network["image_shape"][2], []
    for stage, (factor, width) in enumerate(zip(factors, channels, strict=True)):
        inputs = (channels[stage - 1] if stage else colours) * factor**2
        size = 1 if stage else 3
        down += [nn.PixelUnshuffle(factor), nn.Conv2d(inputs, width, size, padding=size // 2)]
        down += [_Block(width) for _ in range(network["blocks"])]
    maps = channels[-1] * side**2
    up = [nn.Linear(network["latent_size"], maps), nn.Unflatten(1, (channels[-1], side, side))]
    back = [*channels[::-1], colours]
    for stage, factor in enumerate(factors[::-1]):
        size = 3 if stage == len(factors) - 1 else 1
        up += [_Block(back[stage]) for _ in range(network["blocks"])] + [nn.LeakyReLU(_SLOPE)]
        outputs = factor**2 * back[stage + 1]
        up += [nn.Conv2d(back[stage], outputs, size, padding=size // 2), nn.PixelShuffle(factor)]
    return nn.Sequential(*down, nn.LeakyReLU(_SLOPE), nn.Flatten()), nn.Sequential(*up), maps


class _Block(nn.Module):
    """The pre-activation residual bottleneck of vae_zoo's resnet."""

    def __init__(self, channels):
        super().__init__()
        narrow = max(channels // 4, 4)
        self.first, self.last = nn.Conv2d(channels, narrow, 1), nn.Conv2d(narrow, channels, 1)
        self.middle = nn.Conv2d(narrow, narrow, 3, padding=1)

    def forward(self, image):
        x = image
        for layer in (self.first, self.middle, self.last):
            x = layer(functional.leaky_relu(x, _SLOPE))
        return image + x


_NETWORKS = {"mlp": _mlp, "conv": _conv, "resnet": _resnet}


def _stages(network):
    """Returns (widths, side of the smallest map, how often the image is halved)."""
    side, halvings = network["image_shape"][0], 0
    while side > _SMALLEST:
        side, halvings = side // 2, halvings + 1
    return network["hidden"], side, halvings
