"""Training and sampling images a second of every model, its arithmetic, and its share of the peak.

A row is measured in a process of its own, so that the peak memory is its own: training, sampling
and the matrix product whose speed is the peak take turns. A device that is not visible has one row
that says so.
"""

import itertools
import os
import resource

from benchmarks import candidates, harness, markdown, sections

_PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
FLAGS = harness.define(
    models=list,
    device=("all", "the device to measure", ["cpu", "gpu", "all"]),
    precision=(["float32"], f"one or several of {', '.join(_PRECISIONS)}"),
    batch_sizes=["128"],
    jit=("auto", "whether XLA compiles the step; auto: on GPUs only", ["auto", "on", "off"]),
    rounds=7,
    seconds=(1.0, "how long each turn of a candidate lasts, in seconds"),
    smoke=False,
)

_NOT_MEASURED = "not measured on this machine"


def run():
    """Times training and sampling of the registry's models on each device and precision."""
    names = harness.models(FLAGS.models)
    harness.check_known("precision", FLAGS.precision, _PRECISIONS)
    sizes = harness.numbers("batch_sizes", FLAGS.batch_sizes)
    rounds, seconds = harness.turns(FLAGS, smoke_rounds=1, smoke_seconds=0.0)
    devices = ("cpu", "gpu") if FLAGS.device == "all" else (FLAGS.device,)
    rows = []
    for device in devices:
        if device == "gpu" and not harness.isolated(_count_gpus):
            rows.append({"device": device, "not_measured": _NOT_MEASURED})
            continue
        for name, precision, size in itertools.product(names, FLAGS.precision, sizes):
            row = {"device": device, "model": name, "precision": precision, "batch_size": size}
            reason = harness.missing(precision) if device == "cpu" else None
            if reason:
                row |= {"not_measured": reason}
            else:
                given = {**row, "jit": FLAGS.jit, "tiny": FLAGS.smoke}
                row |= harness.isolated(measure, **given, rounds=rounds, seconds=seconds)
            rows.append(row)
            print(markdown.line(sections.THROUGHPUT, row), flush=True)
            harness.write("throughput", rows, smoke=FLAGS.smoke)
    harness.write("throughput", rows, smoke=FLAGS.smoke)


def measure(device, model, precision, batch_size, jit, tiny, rounds, seconds):
    """Returns the figures of one row; sets the process's devices."""
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import tensorflow as tf

    from benchmarks import flops

    arguments = {"precision": precision, "jit": jit, "tiny": tiny}
    model, splits = candidates.prepare(model, batch_size, **arguments)
    where = "/GPU:0" if device == "gpu" else None
    count = flops.training_flops(model, batch_size)
    work = {
        "train": candidates.training_work(model, splits, device=where),
        "sample": candidates.sampling_work(model, batch_size),
    }
    for warm_up in work.values():
        warm_up()
    memory = _memory(tf, device)  # before the matrix product takes some
    work["matmul"] = flops.matmul_work(precision.removeprefix("mixed_"), seconds)
    speeds = harness.interleave(work, rounds, seconds)
    peak = speeds.pop("matmul")
    return {
        "device_name": _device_name(tf, device),
        "jit": jit,
        "train": harness.figure(speeds["train"], "images/s"),
        "sample": harness.figure(speeds["sample"], "images/s"),
        "flops_per_image": count,
        "peak": harness.figure(peak, "FLOP/s"),
        "share_of_peak": harness.share(speeds["train"], count, peak),
        "peak_memory_bytes": memory,
    }


def _count_gpus():
    import tensorflow as tf

    return len(tf.config.list_physical_devices("GPU"))


def _device_name(tf, device):
    if device == "cpu":
        return harness.machine()["processor"]
    [gpu, *_] = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)


def _memory(tf, device):
    """Returns the peak: of the GPU's memory, or what the process had resident."""
    if device == "gpu":
        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
