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
from networks import TorchVAE
from torch.utils.flop_counter import FlopCounterMode

_HERE = pathlib.Path(__file__).parent
_TURNS, _TURN_SECONDS, _STEPS = 7, 3.0, 20


def main():
    """Times every network, precision and batch size of the manifest's training cases."""
    given = _arguments()
    budget = measure.Budget(given.seconds)
    manifest = measure.read(_HERE / "manifest.json")
    on_gpu = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if on_gpu else "cpu"
    platform = "gpu" if on_gpu else "cpu"
    result = measure.new_result(
        "program_peers", platform, name, ("torch", "numpy"), manifest["lowered"]
    )
    torch.set_float32_matmul_precision("high")
    measure.write_rows(given.result, result, _rows(manifest, given, f"{platform}: {name}", budget))


def _rows(manifest, given, device, budget):
    """Yields the rows; cases that differ in the batch size alone are one."""
    values = np.load(_HERE / "values.npz")
    place = "cuda" if torch.cuda.is_available() else "cpu"
    cases = {(c["model"], c["precision"]): c for c in manifest["cases"] if "network" in c}
    for case in cases.values():
        named = {k: case[k] for k in ("what", "model", "precision")}
        for size in map(int, given.batch_sizes.split(",")):
            found = measure.attempt(
                lambda case=case, size=size: _measured(
                    case, _images(case, values), place, size, given.mode, budget
                ),
                budget,
            )
            yield {"device": device, **named, "batch_size": size, **found}


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


def _measured(case, images, place, batch_size, mode, budget):
    """Returns the figures of a network."""
    peer = TorchVAE(case["network"])
    check_same(peer, case)
    start = time.perf_counter()
    work = Training(peer, images, place, batch_size, case["precision"], mode)
    work()
    seconds = time.perf_counter() - start
    speeds = measure.speeds(work, _TURNS, _TURN_SECONDS, budget)
    if not math.isfinite(work.loss):
        raise ArithmeticError("the loss is not finite")
    figure = measure.figure(speeds, "images/s")
    return {"images_per_second": figure, "compile_seconds": round(seconds, 2)}


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
    """Called, makes some steps, waits, and returns how many images; `loss` is the last step's.

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
        self.loss = float(loss.detach())  # waits
        return _STEPS * self.batch_size


if __name__ == "__main__":
    main()
