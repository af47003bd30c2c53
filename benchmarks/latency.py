"""Latency of the decoder on one thread: Keras, the SavedModel, TFLite files and PyTorch.

Each candidate decodes the same z with the same weights; the images are compared first. First call
and steady state: p50 and p99 over interleaved rounds, in milliseconds a call.
"""

import os
import pathlib
import tempfile
import time

import numpy as np
from absl import flags

from benchmarks import harness, peers

FLAGS = flags.FlagValues()
flags.DEFINE_string("model", "conv_vae", "a convolutional or MLP model", flag_values=FLAGS)
flags.DEFINE_list("batch_sizes", "1,16", "images a call: 1, 16", flag_values=FLAGS)
flags.DEFINE_integer("rounds", 7, "turns of each candidate", flag_values=FLAGS)
flags.DEFINE_integer("calls", 300, "calls a turn", flag_values=FLAGS)
flags.DEFINE_bool("smoke", False, "seconds, of a small model; nothing is kept", flag_values=FLAGS)

_TOLERANCE = {"float16": 1e-2, "int8": 0.2}  # of a pixel; float32: 1e-5


def run():
    """Times one call of the decoder on one thread, by every way to run it."""
    peers.check_torch()
    os.environ["OMP_NUM_THREADS"] = "1"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from vae_zoo import registry

    model = registry.create_model(FLAGS.model, tiny=FLAGS.smoke, image_shape=(28, 28, 1))
    with tempfile.TemporaryDirectory() as scratch:
        rows = [measure(model, int(size), pathlib.Path(scratch)) for size in FLAGS.batch_sizes]
    harness.write("latency", rows, smoke=FLAGS.smoke)


def measure(model, batch_size, scratch):
    """Returns {candidate: figures in ms a call} for one batch size."""
    z = np.random.default_rng(0).standard_normal((batch_size, model.latent_size), np.float32)
    candidates = _candidates(model, batch_size, scratch)
    first = {name: _timed(work, z) for name, work in candidates.items()}
    images = {name: np.array(work(z)).reshape(-1) for name, work in candidates.items()}
    for name, image in images.items():
        limit = next((v for k, v in _TOLERANCE.items() if k in name), 1e-5)
        if np.abs(image - images["keras"]).max() > limit:
            raise RuntimeError(f"{name} gives another image than Keras")
    times = {name: [] for name in candidates}
    rounds, calls = (3, 10) if FLAGS.smoke else (FLAGS.rounds, FLAGS.calls)
    for _ in range(rounds):
        for name, work in candidates.items():
            times[name].append([_timed(work, z) for _ in range(calls)])
    figures = {name: _figures(first[name], turns) for name, turns in times.items()}
    fastest, eager = figures["tflite_float32"], figures["torch_eager"]
    ratio = harness.ratio(eager["p50"]["values"], fastest["p50"]["values"])
    for name, figure in figures.items():
        print(f"batch {batch_size} {name}: p50 {figure['p50']['median']:.3f} ms")
    return {"model": model.name, "batch_size": batch_size, "latency": figures,
            "torch_eager_to_tflite_float32": ratio}  # fmt: skip


def _figures(first, turns):
    every = np.concatenate(turns)
    return {
        "first_ms": first,
        "p50": harness.figure([float(np.median(turn)) for turn in turns], "ms"),
        "p99": float(np.percentile(every, 99)),
    }


def _timed(work, z):
    start = time.perf_counter()
    work(z)
    return 1000 * (time.perf_counter() - start)


def _candidates(model, batch_size, scratch):
    """Returns {name: function of z [N, D] that returns images}."""
    import tensorflow as tf

    decode = tf.function(model.decode)
    made = {"keras": lambda z: decode(tf.constant(z)).numpy()}
    made["saved_model"] = _saved_model(model, scratch)
    made |= _tflite(model, batch_size, scratch)
    return made | _torch(model)


def _saved_model(model, scratch):
    import tensorflow as tf

    from export import saved_model, signatures

    place = scratch / f"saved_model-{len(list(scratch.iterdir()))}"
    place.mkdir()
    saved_model.write_archive([signatures.signatures(model)["decode"]], place)
    loaded = tf.saved_model.load(str(place))
    decode = loaded.signatures["decode"]
    made = lambda z: decode(z=tf.constant(z))["image"].numpy()  # noqa: E731
    made.kept = loaded  # its signatures hold no reference
    return made


def _tflite(model, batch_size, scratch):
    from ai_edge_litert.interpreter import Interpreter

    from export import tflite

    made = {}
    for kind, path in tflite.export_tflite(model, scratch / "tflite", names=("decode",)).items():
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        runner = interpreter.get_signature_runner(f"decode_{batch_size}")
        made[f"tflite_{kind}"] = lambda z, runner=runner: runner(z=z)["image"]
    return made


def _torch(model):
    import torch

    from benchmarks.torch_models import TorchVAE

    torch.set_num_threads(1)
    peer = TorchVAE(model).to(memory_format=torch.channels_last).eval()
    compiled = torch.compile(peer.decode)

    def with_(decode):
        def work(z):
            with torch.inference_mode():
                return decode(torch.from_numpy(z)).permute(0, 2, 3, 1).numpy()

        return work

    return {"torch_eager": with_(peer.decode), "torch_compile": with_(compiled)}
