"""The same VAE in PyTorch, with the same weights, so that the work is known to be the same."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from vae_zoo.probability import discretized, distributions, likelihoods


class TorchVAE(nn.Module):
    """The MLP or convolutional VAE of vae_zoo in PyTorch.

    Args:
        model: a vae_zoo.VAE of network "mlp" or "conv", of a Bernoulli or of a discretised logistic
            with one shared scale; its weights are copied.
    """

    def __init__(self, model):
        super().__init__()
        encoder, decoder = model.encoder.layers, model.decoder.layers
        self.latent_size = model.latent_size
        self.encoder = nn.ModuleList(_translated(encoder))
        self.head = _dense(model.posterior_head)
        self.decoder = nn.ModuleList(_translated(decoder))
        self.maps = next(layer.target_shape for layer in decoder if hasattr(layer, "target_shape"))
        height, width, channels = model.image_shape
        self.image_shape = (channels, height, width)
        self.pixels = None  # of a Bernoulli
        if model.likelihood_name == "discretized_logistic":
            self.pixels = DiscretizedLogistic(model.likelihood_part)

    def forward(self, image, noise):
        """Returns the negative ELBO in nats, the mean over images [B, C, H, W], noise [B, D]."""
        mean, log_scale = self.posterior(image)
        scale = torch.exp(log_scale)
        decoded = self._decode(mean + scale * noise).float()
        rate = 0.5 * (scale**2 + mean**2 - 1 - 2 * torch.log(scale)).sum(1)
        if self.pixels is None:
            distortion = functional.binary_cross_entropy_with_logits(
                decoded, image, reduction="none"
            )
        else:
            distortion = self.pixels(decoded, image)
        return (rate + distortion.flatten(1).sum(1)).mean()

    def posterior(self, image):
        """Returns q(z | x)'s mean and log-scale, [B, D] each."""
        mean, log_scale = self.head(self._encode(image)).float().chunk(2, dim=1)
        return mean, _bounded(log_scale, *distributions.LOG_SCALE)

    def decode(self, z):
        """Returns the images of z [N, D], the likelihood's mean, [N, 1, 28, 28]."""
        return torch.sigmoid(self._decode(z))

    def sample(self, count):
        """Returns `count` images of the prior N(0, 1), with noise of PyTorch's own."""
        return self.decode(torch.randn(count, self.latent_size))

    def _encode(self, x):
        if self.pixels is not None:
            x = 2.0 * x - 1.0
        for layer in self.encoder:
            if isinstance(layer, nn.Linear) and x.ndim == 4:
                x = x.permute(0, 2, 3, 1).flatten(1)  # Keras's order of the features
            x = functional.relu(layer(x))
        return x

    def _decode(self, x):
        for layer in self.decoder[:-1]:
            x = functional.relu(self._mapped(layer, x))
        return self._mapped(self.decoder[-1], x).reshape(len(x), *self.image_shape)

    def _mapped(self, layer, x):
        if not isinstance(layer, nn.Linear) and x.ndim == 2:
            x = x.reshape(-1, *self.maps).permute(0, 3, 1, 2)
        return layer(x)


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
        inverse = torch.exp(-_bounded(log_scale, *discretized.LEVEL_LOG_SCALE))
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


def _bounded(value, low, high):
    return low + functional.softplus(high - low - functional.softplus(high - value))


def _translated(stack):
    """Yields the PyTorch layers with the weights of a stack's Keras layers."""
    for layer, after in zip(stack, [*stack[1:], None], strict=True):
        if type(layer).__name__ == "Dense":
            yield _dense(layer)
        elif type(layer).__name__ == "Conv2D":
            shuffled = type(after).__name__ == "DepthToSpace"
            yield nn.Sequential(_conv(layer, 4), nn.PixelShuffle(2)) if shuffled else _conv(layer)


def _dense(layer):
    kernel, bias = map(np.array, layer.weights)
    return _filled(nn.Linear(*kernel.shape), kernel.T, bias)


def _conv(layer, pixels=1):
    """Returns a convolution; the channels of `pixels` sub-pixels in PixelShuffle's order."""
    kernel, bias = map(np.array, layer.weights)  # [h, w, in, out]
    size, _, inputs, outputs = kernel.shape
    order = np.arange(outputs).reshape(pixels, -1).T.ravel()
    made = nn.Conv2d(inputs, outputs, size, layer.strides[0], 1)
    return _filled(made, kernel.transpose(3, 2, 0, 1)[order], bias[order])


def _filled(layer, kernel, bias):
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel)))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer


def tensor(images):
    """Returns images [N, H, W, C] as PyTorch's, [N, C, H, W]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
