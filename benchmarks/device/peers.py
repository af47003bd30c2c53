"""Trains the same networks in PyTorch on this device: needs PyTorch and NumPy alone.

    python FOLDER/peers.py --seconds=200 --result=program_peers.json

The networks of vae, conv_vae and resnet_vae as the manifest of the folder describes them; that the
parameters and the FLOPs of a step are as many is checked first. Images lie on the device, ink and
noise are drawn there; channels last, fused Adam, compiled; float32 with TensorFloat-32 products.
"""

import argparse
import math
import pathlib
import time

import measure
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

_HERE = pathlib.Path(__file__).parent
_TURNS, _TURN_SECONDS, _STEPS = 7, 3.0, 20
_SMALLEST, _SLOPE, _FEATURES = 8, 0.2, 256  # as in vae_zoo's networks


def main():
    """Times every network, precision and batch size of the manifest's training cases."""
    given = _arguments()
    budget = measure.Budget(given.seconds)
    manifest = measure.read(_HERE / "manifest.json")
    place = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if place == "cuda" else "cpu"
    figures = {"platform": "gpu" if place == "cuda" else "cpu", "device": name, "peaks": {}}
    figures["rows"] = []
    origin = measure.origin(name, ("torch", "numpy"), manifest["lowered"])
    result = {"benchmark": "program_peers", **origin, "figures": figures}
    torch.set_float32_matmul_precision("high")
    values = np.load(_HERE / "values.npz")
    for case in manifest["cases"]:
        if "network" not in case:
            continue
        named = {k: case[k] for k in ("what", "model", "precision")}
        for size in map(int, given.batch_sizes.split(",")):
            row = {"device": f"{figures['platform']}: {name}", **named, "batch_size": size}
            if row in [{k: other[k] for k in row} for other in figures["rows"]]:
                continue  # two cases of other batch sizes
            found = _row(case, _images(case, values), place, size, given.mode, budget)
            figures["rows"].append({**row, **found})
            said = found.get("not_measured") or f"{found['images_per_second']['median']:,.4g}"
            print(f"{case['model']} {case['precision']} {size}: {said} images/s", flush=True)
            measure.write(given.result, result)
    measure.write(given.result, result)
    print(f"written to {given.result}")


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=200.0, help="of the whole run")
    parser.add_argument("--result", default="program_peers.json", help="the file that is written")
    parser.add_argument("--batch_sizes", default="128,1024,8192", help="images a step")
    parser.add_argument("--mode", default="max-autotune", help="of torch.compile, or none")
    return parser.parse_args()


def _images(case, values):
    [tensor] = [each for each in case["inputs"] if each["name"] == "images"]
    return values[tensor["values"]]


def _row(case, images, place, batch_size, mode, budget):
    """Returns the figures of a network, or {"not_measured": why}."""
    try:
        if budget.left() <= 0:
            raise TimeoutError("the seconds are over")
        peer = TorchVAE(case["network"])
        check_same(peer, case)
        start = time.perf_counter()
        work = Training(peer, images, place, batch_size, case["precision"], mode)
        work()
        seconds = time.perf_counter() - start
        speeds = measure.speeds(work, _TURNS, _TURN_SECONDS, budget)
        if not math.isfinite(work.loss()):
            raise ArithmeticError("the loss is not finite")
    except Exception as error:  # a network that fails is a row that says so
        return {"not_measured": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    figure = measure.figure(speeds, "images/s")
    return {"images_per_second": figure, "compile_seconds": round(seconds, 2)}


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

    def forward(self, image):
        """Returns the negative ELBO in nats, the mean over images [B, C, H, W]."""
        mean, log_scale = self.head(self.encoder(image)).float().chunk(2, dim=1)
        low, high = self.log_scale
        log_scale = low + functional.softplus(high - low - functional.softplus(high - log_scale))
        scale = log_scale.exp()
        logits = self.decoder(mean + scale * torch.randn_like(mean)).float().flatten(1)
        rate = 0.5 * (scale**2 + mean**2 - 1 - 2 * log_scale).sum(1)
        ink = image.flatten(1)
        loss = functional.binary_cross_entropy_with_logits(logits, ink, reduction="none")
        return (rate + loss.sum(1)).mean()


def _mlp(network):
    widths = network["hidden"]
    pixels = math.prod(network["image_shape"])
    encoder = nn.Sequential(nn.Flatten(), *_rectified([pixels, *widths]))
    back = [network["latent_size"], *reversed(widths)]
    return encoder, nn.Sequential(*_rectified(back), nn.Linear(back[-1], pixels)), widths[-1]


def _rectified(widths):
    for inputs, outputs in zip(widths, widths[1:]):
        yield from (nn.Linear(inputs, outputs), nn.ReLU())


def _conv(network):
    channels, side, halvings = _stages(network)
    channels = [channels[min(i, len(channels) - 1)] for i in range(halvings)]
    narrow, colours = max(channels[-1] // 4, 4), network["image_shape"][2]
    maps = narrow * side**2
    down = [layer for pair in zip([colours, *channels], channels) for layer in
            (nn.Conv2d(*pair, 4, stride=2, padding=1), nn.ReLU())]  # fmt: skip
    down += [nn.Conv2d(channels[-1], narrow, 3, padding=1), nn.ReLU(), nn.Flatten()]
    encoder = nn.Sequential(*down, nn.Linear(maps, _FEATURES), nn.ReLU())
    dense = _rectified([network["latent_size"], _FEATURES, maps])
    up = [nn.Unflatten(1, (narrow, side, side))]
    up += [nn.Conv2d(narrow, channels[-1], 3, padding=1), nn.ReLU()]
    back = [*channels[::-1], colours]
    for inputs, outputs in zip(back, back[1:]):
        up += [nn.Conv2d(inputs, 4 * outputs, 3, padding=1), nn.ReLU(), nn.PixelShuffle(2)]
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


def check_same(peer, case):
    """Raises an error where a network has other parameters or takes other FLOPs than ours."""
    count = sum(parameter.numel() for parameter in peer.parameters())
    if count != case["network"]["parameters"]:
        raise RuntimeError(f"{count} parameters, expected {case['network']['parameters']}")
    height, width, colours = peer.shape
    with FlopCounterMode(display=False) as counter:
        peer(torch.zeros(2, colours, height, width)).backward()
    flops = counter.get_total_flops() / 2
    if abs(flops / case["flops_per_image"] - 1) > 0.01:
        raise RuntimeError(f"{flops:,.0f} FLOPs, expected {case['flops_per_image']:,.0f}")


class Training:
    """Called, makes some steps, waits, and returns how many images they took.

    Args:
        peer: TorchVAE.
        images: uint8 [N, H, W, C].
        place: "cuda" or "cpu".
        batch_size: images a step.
        precision: "float32" or "mixed_bfloat16".
        mode: of torch.compile.
    """

    def __init__(self, peer, images, place, batch_size, precision, mode):
        self.place, self.batch_size = place, batch_size
        self.peer = peer.to(place, memory_format=torch.channels_last)
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(place)
        self.optimizer = torch.optim.Adam(self.peer.parameters(), lr=1e-3, fused=True)
        low = precision != "float32"
        self.autocast = torch.autocast(place, torch.bfloat16, enabled=low)
        self.compiled = self._loss if mode == "none" else torch.compile(self._loss, mode=mode)
        self.last = None

    def _loss(self, rows):
        grey = self.images[rows]
        ink = torch.rand(grey.shape, device=grey.device) * 255 < grey
        ink = ink.float().to(memory_format=torch.channels_last)
        with self.autocast:
            return self.peer(ink)

    def __call__(self):
        for _ in range(_STEPS):
            torch.compiler.cudagraph_mark_step_begin()
            rows = torch.randint(len(self.images), (self.batch_size,), device=self.place)
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.compiled(rows)
            loss.backward()
            self.optimizer.step()
        self.last = float(loss.detach())  # waits
        return _STEPS * self.batch_size

    def loss(self):
        """Returns the loss of the last step."""
        return self.last


if __name__ == "__main__":
    main()
