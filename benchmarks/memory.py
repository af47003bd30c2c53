"""Peak resident memory of the default training command, as the operating system counts it."""

import pathlib
import resource
import tempfile

from benchmarks import harness, runner

FLAGS = harness.define(model="conv_vae", smoke=False)


def run():
    """Runs the default training and records its peak resident memory."""
    with tempfile.TemporaryDirectory() as scratch:
        few = ["--epochs=1"] if FLAGS.smoke else []
        runner.train(FLAGS.model, "digits", pathlib.Path(scratch) / "run", *few)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(f"{FLAGS.model}: {peak / 1e9:.2f} GB at the peak")
    harness.write("memory", {"model": FLAGS.model, "peak_bytes": peak}, smoke=FLAGS.smoke)
