"""The same VAE in PyTorch, with the same weights, so that the work is known to be the same."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks import candidates
from benchmarks.device import networks
from vae_zoo.probability import discretized, likelihoods


class TorchVAE(networks.TorchVAE):
    """The MLP or convolutional VAE of vae_zoo in PyTorch.

    Args:
        model: a vae_zoo.VAE of network "mlp" or "conv", of a Bernoulli or of a discretised logistic
            with one shared scale; its weights are copied.
    """

    def __init__(self, model):
        super().__init__(candidates.network(model))
        _copy(model.encoder.layers, self.encoder)
        _copy([model.posterior_head], self.head)
        _copy(model.decoder.layers, self.decoder)
        self.pixels = None  # of a Bernoulli
        if model.likelihood_name == "discretized_logistic":
            self.pixels = DiscretizedLogistic(model.likelihood_part)

    def posterior(self, image):
        """Returns q(z | x)'s mean and log-scale, [B, D] each."""
        return super().posterior(image if self.pixels is None else 2.0 * image - 1.0)

    def distortion(self, decoded, image):
        """Returns -log p(x | z) of each image in nats, [B]."""
        if self.pixels is None:
            return super().distortion(decoded, image)
        return self.pixels(decoded, image).flatten(1).sum(1)

    def decode(self, z):
        """Returns the images of z [N, D], a Bernoulli's mean, [N, C, H, W]."""
        height, width, channels = self.shape
        return torch.sigmoid(self.decoder(z)).reshape(len(z), channels, height, width)

    def sample(self, count):
        """Returns `count` images of the prior N(0, 1), with noise of PyTorch's own."""
        return self.decode(torch.randn(count, self.latent_size))


class DiscretizedLogistic(nn.Module):
    """Minus the log-probability of 8-bit pixels; see vae_zoo.probability.discretized.

    Args:
        part: likelihoods.DiscretizedLogisticPixels with one shared scale; its weights are copied.
    """

    def __init__(self, part):
        super().__init__()
        if part.outputs != part.image_shape[-1] or part.scale != "shared":
            raise ValueError("expected one logistic for each channel, and one shared scale")
        self.log_scale = nn.Parameter(torch.tensor(part.log_scale.numpy()))
        mean = torch.from_numpy(part.pixel_mean.numpy()).permute(2, 0, 1).contiguous()
        self.register_buffer("mean", mean)

    def forward(self, location, image):
        """Returns nats [B, C, H, W] of locations and images [B, C, H, W]."""
        level = torch.round(image * (discretized.LEVELS - 1))
        location = discretized.HALF * (1.0 + location + self.mean)
        log_scale = likelihoods.SPEED * self.log_scale + math.log(discretized.HALF)
        inverse = torch.exp(-networks.bounded(log_scale, *discretized.LEVEL_LOG_SCALE))
        upper = (level + 0.5 - location) * inverse
        lower = upper - inverse
        black, white = level < 0.5, level > discretized.LEVELS - 1.5
        above = functional.softplus(-upper).masked_fill(white, 0.0)
        below = functional.softplus(lower).masked_fill(black, 0.0)
        width = torch.log(-torch.expm1(-inverse)).expand_as(upper).masked_fill(black | white, 0.0)
        return above + below - width


class _Decoder(nn.Module):
    """TorchVAE.decode as the module that torch.onnx.export asks for."""

    def __init__(self, vae):
        super().__init__()
        self.vae = vae

    def forward(self, z):
        return self.vae.decode(z)


def onnx_decoder(model, batch_size):
    """Returns the decoder of a vae_zoo.VAE as an ONNX file, bytes: z [N, D] to [N, 1, 28, 28]."""
    decoder, z = _Decoder(TorchVAE(model)).eval(), torch.zeros(batch_size, model.latent_size)
    program = torch.onnx.export(decoder, (z,), input_names=["z"], dynamo=True, verbose=False)
    return program.model_proto.SerializeToString()


def _copy(stack, peer):
    """Copies the weights of a stack's Keras layers to the PyTorch layers of the same order."""
    theirs = [each for each in peer.modules() if isinstance(each, (nn.Linear, nn.Conv2d))]
    ours = [
        (layer, *around)
        for layer, *around in zip(stack, [None, *stack[:-1]], [*stack[1:], None], strict=True)
        if layer.weights
    ]
    for module, (layer, before, after) in zip(theirs, ours, strict=True):
        kernel, bias = map(np.array, layer.weights)  # [in, out], or [h, w, in, out]
        if type(before).__name__ == "Flatten":
            kernel = kernel[_channels_first(before.input.shape[1:])]
        order = slice(None)
        if type(after).__name__ == "Reshape":
            order = _channels_first(after.target_shape)
        elif type(after).__name__ == "DepthToSpace":
            order = np.arange(len(bias)).reshape(4, -1).T.ravel()  # PixelShuffle's
        kernel = np.moveaxis(kernel[..., order], (-1, -2), (0, 1))
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel)))
            module.bias.copy_(torch.from_numpy(bias[order]))


def _channels_first(shape):
    """Returns the places of flattened maps [H, W, C] in the order of [C, H, W]."""
    return np.arange(np.prod(shape)).reshape(shape).transpose(2, 0, 1).ravel()


def tensor(images):
    """Returns images [N, H, W, C] as PyTorch's, [N, C, H, W]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
