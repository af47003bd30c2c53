"""Peak resident memory of the default training command, as the operating system counts it."""

import pathlib
import resource
import subprocess
import sys
import tempfile

from absl import flags

FLAGS = flags.FlagValues()
flags.DEFINE_string("model", "conv_vae", "the model", flag_values=FLAGS)
flags.DEFINE_bool("smoke", False, "one epoch; nothing is kept", flag_values=FLAGS)


def run():
    """Runs the default training and records its peak resident memory."""
    from benchmarks import harness

    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "vae_zoo.train", f"--model={FLAGS.model}"]
        command += [f"--output_dir={pathlib.Path(scratch) / 'run'}"]
        command += ["--epochs=1"] if FLAGS.smoke else []
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(f"{FLAGS.model}: {peak / 1e9:.2f} GB at the peak")
    harness.write("memory", {"model": FLAGS.model, "peak_bytes": peak}, smoke=FLAGS.smoke)
