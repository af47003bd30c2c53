"""Ways to run the decoder and the sampler on one thread, from arrays to arrays.

A candidate has `times(calls)`, the milliseconds of each call, and `images()`. PyTorch's sampler is
its own noise and the decoder; ONNX Runtime, whose file is made from PyTorch's twin, has none.
"""

import functools
import importlib.util
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks import litert_js

WHATS = ("decode", "sample")
OWN_NOISE = ("torch_eager", "torch_compile")  # their samples are others than Keras's
_NO_SAMPLER = ("onnx_runtime",)


class NotMeasured(Exception):
    """A way that is not installed here; the message says what is missing."""


class Setting(NamedTuple):
    """What to run.

    Attributes:
        model: a vae_zoo.VAE with a twin in torch_models.
        paths: of write_files.
        load_page: what litert_js.opened yields, or None.
        what: one of WHATS.
        inputs: {name: array [N, ...]} of that signature.
    """

    model: object
    paths: dict
    load_page: Callable | None
    what: str
    inputs: dict


class Local:
    """A candidate in this process.

    Args:
        work: function of the inputs that returns images [N, H, W, C].
        inputs: {name: array [N, ...]}.
    """

    def __init__(self, work, inputs):
        self.work = functools.partial(work, **inputs)

    def times(self, calls):
        """Returns the milliseconds of each of some calls."""
        return [self._time() for _ in range(calls)]

    def images(self):
        """Returns the images [N, H, W, C]."""
        return np.array(self.work())

    def _time(self):
        start = time.perf_counter()
        self.work()
        return 1000 * (time.perf_counter() - start)


def write_files(model, directory):
    """Writes the SavedModel and the TFLite files; returns {name: path}."""
    from export import saved_model, signatures, tflite

    archive = directory / "saved_model"
    archive.mkdir()
    saved_model.write_archive(signatures.signatures(model, WHATS).values(), archive)
    files = tflite.export_tflite(model, directory / "tflite", names=WHATS)
    return {"saved_model": archive, **files}


def candidates(setting):
    """Returns {name: candidate, or the NotMeasured that says why there is none}."""
    made = {}
    for name, make in _RUNTIMES.items():
        if setting.what == "sample" and name in _NO_SAMPLER:
            continue
        try:
            made[name] = make(setting)
        except NotMeasured as reason:
            made[name] = reason
    return made


def _keras(setting):
    import tensorflow as tf

    model = setting.model
    compute = tf.function(
        {"decode": model.decode, "sample": lambda **inputs: model.sample(**inputs)[0]}[setting.what]
    )

    def work(**inputs):
        return compute(**{key: tf.constant(value) for key, value in inputs.items()}).numpy()

    return Local(work, setting.inputs)


def _saved_model(setting):
    """The C loader, by ctypes: what it costs to pass the arrays counts."""
    import tensorflow as tf

    from export import fresh, saved_model

    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=1, inter_op_parallelism_threads=1
    )
    path = str(setting.paths["saved_model"])
    session = fresh.Session(path, config.SerializeToString())
    tensors = saved_model.read_signatures(path)[setting.what]
    image = tensors["outputs"]["image"]["name"]

    def work(**inputs):
        feeds = {tensors["inputs"][key]["name"]: value for key, value in inputs.items()}
        return session.run([image], feeds)[0]

    return Local(work, setting.inputs)


def _tflite(setting, kind):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(setting.paths[kind]), num_threads=1)
    runner = interpreter.get_signature_runner(f"{setting.what}_{_count(setting)}")
    return Local(lambda **inputs: runner(**inputs)["image"], setting.inputs)


def _torch(setting, compiled):
    import torch

    from benchmarks.torch_models import TorchVAE

    torch.set_num_threads(1)
    peer = TorchVAE(setting.model).to(memory_format=torch.channels_last).eval()
    compute = getattr(peer, setting.what)
    compute = torch.compile(compute, dynamic=False) if compiled else compute

    def work(z=None, seed=None):
        with torch.inference_mode():
            image = compute(torch.from_numpy(z) if seed is None else len(seed))
            return image.permute(0, 2, 3, 1).numpy()

    return Local(work, setting.inputs)


def _onnx_runtime(setting):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise NotMeasured(f"{package} is not installed")
    import onnxruntime

    from benchmarks import torch_models

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        torch_models.onnx_decoder(setting.model, _count(setting)),
        options,
        providers=["CPUExecutionProvider"],
    )
    return Local(lambda z: session.run(None, {"z": z})[0].transpose(0, 2, 3, 1), setting.inputs)


def _litert_js(setting):
    if setting.load_page is None:
        raise NotMeasured(litert_js.missing())
    return setting.load_page(setting.what, setting.inputs)


def _count(setting):
    return len(next(iter(setting.inputs.values())))


_RUNTIMES = {
    "keras": _keras,
    "saved_model_c_loader": _saved_model,
    "tflite_float32": functools.partial(_tflite, kind="float32"),
    "tflite_float16": functools.partial(_tflite, kind="float16"),
    "tflite_int8": functools.partial(_tflite, kind="int8"),
    "torch_eager": functools.partial(_torch, compiled=False),
    "torch_compile": functools.partial(_torch, compiled=True),
    "onnx_runtime": _onnx_runtime,
    "litert_js": _litert_js,
}
