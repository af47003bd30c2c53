"""What a TFLite file is worth: bytes, operators, difference from Keras, latency."""

import time

import numpy as np

from export import agreement, flatbuffer, tflite
from vae_zoo import errors
from vae_zoo.probability import noise

DRAWS = 256
_SEED = 2026
_SECONDS = 0.25  # how long a latency is measured
_CHUNK = 64


class Reference:
    """256 prior draws of a model in Keras, computed once for all of its files."""

    def __init__(self, model):
        self.seed = noise.rows(_SEED, DRAWS)
        self.label = None
        if model.needs_labels:
            self.label = np.arange(DRAWS, dtype=np.int32) % model.num_classes
        chunks = [slice(start, start + _CHUNK) for start in range(0, DRAWS, _CHUNK)]
        pairs = [model.sample(self.seed[c], self.label_of(c)) for c in chunks]
        self.image = np.concatenate([np.asarray(image) for image, _ in pairs])
        self.z = np.concatenate([np.asarray(z) for _, z in pairs])

    def label_of(self, rows):
        """Returns the labels of some draws, or None."""
        return None if self.label is None else self.label[rows]

    def inputs(self, name, rows):
        """Returns the inputs of `sample` or `decode` for some draws."""
        inputs = {"seed": self.seed[rows]} if name == "sample" else {"z": self.z[rows]}
        return inputs if self.label is None else {**inputs, "label": self.label[rows]}


def measure_quality(path, reference):
    """Returns the figures of a TFLite file, for export.json.

    Args:
        path: the file, with fixed-batch signatures.
        reference: a Reference of its model.

    Returns:
        bytes, weight_bytes, graph_bytes, operators, signatures, sha256; max_difference and psnr_db
        of the image and z_max_difference against Keras over 256 prior draws; latency_ms, the median
        of each signature's call with one thread.
    """
    content = flatbuffer.read(path)
    runners = _runners(path, content.signatures)
    figures = content._asdict()
    figures |= _differences(runners, reference)
    figures["latency_ms"] = {
        name: round(_latency(runner, name, reference), 4)
        for name, runner in runners.items()
        if name.partition("_")[0] in ("decode", "sample")
    }
    return figures


def _runners(path, names):
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path), num_threads=1)
    except (ValueError, RuntimeError) as error:
        raise errors.UserError(
            f"{path.name} cannot be run ({error}): leave this format out of --quantize."
        ) from error
    return {name: interpreter.get_signature_runner(name) for name in names}


def _differences(runners, reference):
    size = max(tflite.BATCHES)
    name = "sample" if f"sample_{size}" in runners else "decode"
    runner = runners[f"{name}_{size}"]
    parts = []
    for start in range(0, DRAWS, size):
        outputs = runner(**reference.inputs(name, slice(start, start + size)))
        parts.append({key: np.array(value) for key, value in outputs.items()})
    image = np.concatenate([part["image"] for part in parts])
    figures = {
        "max_difference": float(np.abs(image - reference.image).max()),
        "psnr_db": agreement.psnr_db(image, reference.image),
    }
    if name == "sample":
        z = np.concatenate([part["z"] for part in parts])
        figures["z_max_difference"] = float(np.abs(z - reference.z).max())
    return figures


def _latency(runner, name, reference):
    """Returns the median time of a call in milliseconds, after calls that warm up."""
    kind, _, batch = name.partition("_")
    inputs = reference.inputs(kind, slice(0, int(batch)))
    for _ in range(3):
        runner(**inputs)
    times, end = [], time.perf_counter() + _SECONDS
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        runner(**inputs)
        times.append(time.perf_counter() - start)
    return 1000.0 * float(np.median(times))
