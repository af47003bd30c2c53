"""python -m benchmarks [NAME] [flags]: lists the benchmarks, runs one, reports, compares."""

import importlib
import sys

from absl import flags

from vae_zoo import cli, errors

# Each module has FLAGS and a function `run`, whose docstring is its help.
BENCHMARKS = {
    "throughput": "training and sampling of every model, on each device and precision",
    "peers": "training against PyTorch, pythae and Keras's example, side by side",
    "input": "the data pipeline alone, and what it costs a training step",
    "likelihood": "importance-weighted samples a second, against pythae's get_nll",
    "quality": "test NLL on binarised MNIST against minutes of training",
    "zoo": "every model after five minutes: ELBO, NLL, active units, samples",
    "images": "pictures in colour: bits/dim, PSNR, completeness, samples after some minutes",
    "telling": "whether the numbers of a run's page tell models apart that are known to differ",
    "latency": "one call of decoder and sampler on one thread: Keras, its exports, PyTorch, ONNX",
    "memory": "peak resident memory of the default training command",
    "scaling": "one to several workers on this machine; what a model says of 8, 64 and 1,024",
}
COMMANDS = {
    "program": "writes training steps as programs that run where TensorFlow is not",
    "report": "writes RESULTS.md from the files under benchmarks/results",
    "compare": "says what got slower from one result file to another",
}


def list_benchmarks():
    """Lists the benchmarks and the commands that read their results."""
    rows = [("name", "what it measures"), *BENCHMARKS.items(), *COMMANDS.items()]
    print(cli.table(rows))


def main():
    """The command's entry point."""
    name = sys.argv[1] if len(sys.argv) > 1 else None
    known = {**BENCHMARKS, **COMMANDS}
    if name is None or name.startswith("-"):
        cli.run(list_benchmarks, flags.FlagValues())
    elif name not in known:
        cli.run(lambda: _refuse(name, known), flags.FlagValues(), [name])
    else:
        module = importlib.import_module(f"benchmarks.{name}")
        given = sys.argv[2:]
        if name == "compare":  # takes its two files by place
            files = [each for each in given if not each.startswith("-")]
            given = [each for each in given if each.startswith("-")]
            given += [f"--{k}={v}" for k, v in zip(("old", "new"), files, strict=False)]
        cli.run(module.run, module.FLAGS, [f"benchmarks {name}", *given])


def _refuse(name, known):
    raise errors.unknown("benchmark", name, known)


if __name__ == "__main__":
    main()
