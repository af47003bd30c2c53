"""Peak resident memory of the default training command, as the operating system counts it."""

import pathlib
import resource
import tempfile

from absl import flags

from benchmarks import harness, runner

FLAGS = flags.FlagValues()
flags.DEFINE_string("model", "conv_vae", "the model", flag_values=FLAGS)
flags.DEFINE_bool("smoke", False, "one epoch; nothing is kept", flag_values=FLAGS)


def run():
    """Runs the default training and records its peak resident memory."""
    with tempfile.TemporaryDirectory() as scratch:
        given = [f"--model={FLAGS.model}", f"--output_dir={pathlib.Path(scratch) / 'run'}"]
        runner.command("vae_zoo.train", *given, *(["--epochs=1"] if FLAGS.smoke else []))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(f"{FLAGS.model}: {peak / 1e9:.2f} GB at the peak")
    harness.write("memory", {"model": FLAGS.model, "peak_bytes": peak}, smoke=FLAGS.smoke)
