"""Latency of the decoder and the sampler on one thread, by every way to run them: see runtimes.

Each candidate has the same weights and the same z or rows of seed; the images are compared first,
but not those of PyTorch's sampler. First call and steady state, which is what follows a turn that
does not count: p50 and p99 over interleaved rounds, in milliseconds a call.
"""

import contextlib
import os
import pathlib
import tempfile

import numpy as np

from benchmarks import harness, litert_js, peers, runtimes, sections
from vae_zoo import errors, registry

FLAGS = harness.define(
    model=("conv_vae", "the model to measure, one that PyTorch has too", ["conv_vae", "vae"]),
    batch_sizes=["1", "16"],
    rounds=7,
    calls=(300, "calls in each turn"),
    smoke=False,
)

_BATCHES = {1, 16}
_TOLERANCE = {"tflite_float16": 1e-2, "tflite_int8": 0.2}  # of a pixel; the others: 1e-5
_PACKAGES = ("ai-edge-litert", "torch", "onnxruntime")


def run():
    """Times one call of the decoder and of the sampler on one thread, by every way to run it."""
    peers.check_torch()
    harness.turns(FLAGS)  # refuses too few
    errors.at_least("--calls", FLAGS.calls, 1)
    if not set(harness.numbers("batch_sizes", FLAGS.batch_sizes)) <= _BATCHES:
        raise errors.UserError(
            f"--batch_sizes={','.join(FLAGS.batch_sizes)}: expected 1, 16 or both, which a TFLite "
            "file has signatures for."
        )
    os.environ["OMP_NUM_THREADS"] = "1"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = registry.create_model(FLAGS.model, tiny=FLAGS.smoke, image_shape=(28, 28, 1))
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory())
        paths = runtimes.write_files(model, pathlib.Path(scratch))
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = scratch  # a first call compiles
        here = not litert_js.missing()
        load_page = stack.enter_context(litert_js.opened(scratch)) if here else None
        rows = [measure(setting) for setting in _settings(model, paths, load_page)]
    harness.write("latency", rows, smoke=FLAGS.smoke, packages=_PACKAGES)


def _settings(model, paths, load_page):
    """Yields a runtimes.Setting for the decoder and the sampler at each batch size."""
    from export import signatures

    found = signatures.signatures(model, runtimes.WHATS)
    for what in runtimes.WHATS:
        for size in harness.numbers("batch_sizes", FLAGS.batch_sizes):
            inputs = signatures.examples(model, found, size)[what]
            copies = {key: np.array(value) for key, value in inputs.items()}  # PyTorch: writable
            yield runtimes.Setting(model, paths, load_page, what, copies)


def measure(setting):
    """Returns the row of one setting: {candidate: figures in ms a call, or why there are none}."""
    made = runtimes.candidates(setting)
    missing = {k: v for k, v in made.items() if isinstance(v, runtimes.NotMeasured)}
    candidates = {k: v for k, v in made.items() if k not in missing}
    first = {name: each.times(1)[0] for name, each in candidates.items()}
    check_images(
        {
            name: each.images()
            for name, each in candidates.items()
            if setting.what == "decode" or name not in runtimes.OWN_NOISE
        }
    )
    turns = _turns(candidates)
    figures = {
        name: {"not_measured": str(missing[name])}
        if name in missing
        else _figures(first[name], turns[name])
        for name in made
    }
    eager, fastest = (figures[k]["p50"]["values"] for k in ("torch_eager", "tflite_float32"))
    row = {
        "model": setting.model.name,
        "what": setting.what,
        "batch_size": len(next(iter(setting.inputs.values()))),
        "latency": figures,
        "torch_eager_to_tflite_float32": harness.ratio(eager, fastest),
    }
    for name, found in figures.items():
        print(f"{setting.what} batch {row['batch_size']} {name}: {sections.milliseconds(found)} ms")
    return row


def check_images(images):
    """Raises where a candidate's images are not Keras's.

    Args:
        images: {candidate: images}.
    """
    expected = np.ravel(images["keras"])
    for name, image in images.items():
        difference = np.abs(np.ravel(image) - expected).max()
        if not difference <= _TOLERANCE.get(name, 1e-5):  # nor is nan
            raise RuntimeError(f"{name} gives another image than Keras")


def _turns(candidates):
    """Returns {name: [milliseconds of each call, for each round]}, the candidates taking turns."""
    rounds, calls = (3, 10) if FLAGS.smoke else (FLAGS.rounds, FLAGS.calls)
    turns = {name: [] for name in candidates}
    for _ in range(1 + rounds):
        for name, each in candidates.items():
            turns[name].append(each.times(calls))
    return {name: each[1:] for name, each in turns.items()}


def _figures(first, turns):
    return {
        "first_ms": first,
        "p50": harness.figure([float(np.median(turn)) for turn in turns], "ms"),
        "p99": float(np.percentile(np.concatenate(turns), 99)),
    }
