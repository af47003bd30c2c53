"""Training and sampling images a second of every model, its arithmetic, and its share of the peak.

A row is measured in a process of its own, so that the peak memory is its own: training, sampling
and the matrix product whose speed is the peak take turns. A device that is not visible has one row
that says so.
"""

import os
import resource

from absl import flags

from benchmarks import candidates, harness, markdown
from vae_zoo import errors, registry

FLAGS = flags.FlagValues()
_PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
flags.DEFINE_list("models", None, "which models; all", flag_values=FLAGS)
flags.DEFINE_enum("device", "all", ["cpu", "gpu", "all"], "which device", flag_values=FLAGS)
flags.DEFINE_list("precision", "float32", ", ".join(_PRECISIONS), flag_values=FLAGS)
flags.DEFINE_list("batch_sizes", "128", "images a step", flag_values=FLAGS)
flags.DEFINE_enum("jit", "auto", ["auto", "on", "off"], "XLA", flag_values=FLAGS)
flags.DEFINE_integer("rounds", 7, "turns of each candidate", flag_values=FLAGS)
flags.DEFINE_float("seconds", 1.0, "of a turn", flag_values=FLAGS)
flags.DEFINE_bool("smoke", False, "seconds, of small models; nothing is kept", flag_values=FLAGS)

_NOT_MEASURED = "not measured on this machine"


def run():
    """Times training and sampling of the registry's models on each device and precision."""
    names = FLAGS.models or registry.model_names()
    for name in names:
        registry.spec(name)
    for precision in FLAGS.precision:
        if precision not in _PRECISIONS:
            raise errors.unknown("precision", precision, _PRECISIONS)
    sizes = harness.numbers("batch_sizes", FLAGS.batch_sizes)
    harness.check_rounds(FLAGS.rounds)
    rounds, seconds = (1, 0.0) if FLAGS.smoke else (FLAGS.rounds, FLAGS.seconds)
    devices = ("cpu", "gpu") if FLAGS.device == "all" else (FLAGS.device,)
    settings = [(n, p, b) for n in names for p in FLAGS.precision for b in sizes]
    rows = []
    for device in devices:
        if device == "gpu" and not harness.isolated(_count_gpus):
            rows.append({"device": device, "not_measured": _NOT_MEASURED})
            continue
        for setting in settings:
            if device == "cpu" and (reason := harness.missing(setting[1])):
                row = dict(zip(("model", "precision", "batch_size"), setting, strict=True))
                rows.append({"device": device, **row, "not_measured": reason})
                continue
            given = (device, *setting, FLAGS.jit, FLAGS.smoke, rounds, seconds)
            rows.append(harness.isolated(measure, *given))
            print(_line(rows[-1]), flush=True)
            harness.write("throughput", rows, smoke=FLAGS.smoke)
    harness.write("throughput", rows, smoke=FLAGS.smoke)


def measure(device, name, precision, batch_size, jit, tiny, rounds, seconds):
    """Returns the figures of one row; sets the process's devices."""
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import tensorflow as tf

    from benchmarks import flops

    arguments = {"precision": precision, "jit": jit, "tiny": tiny}
    model, splits = candidates.prepare(name, batch_size, **arguments)
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
        "device": device,
        "device_name": _device_name(tf, device),
        "model": name,
        "precision": precision,
        "batch_size": batch_size,
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


def _line(row):
    return (
        f"{row['device']} {row['model']} batch {row['batch_size']} {row['precision']}: training "
        f"{row['train']['median']:,.0f} images/s "
        f"({markdown.percent(row['share_of_peak']['median'])} of the peak), "
        f"sampling {row['sample']['median']:,.0f} images/s, "
        f"{row['peak_memory_bytes'] / 1e9:.2f} GB"
    )
