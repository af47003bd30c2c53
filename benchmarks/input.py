"""The data pipeline alone, what it costs a training step, and what the command costs a step.

    pipeline  batches alone: read, shuffled, binarised
    step      training on one batch, again and again
    loop      training on the pipeline's batches, as the command does
    command   the command itself over whole epochs: validation, checkpoints and logs included

The first three take turns; each run of the command is next to more turns of the step.
"""

import pathlib
import tempfile

from benchmarks import candidates, harness, runner
from vae_zoo import errors, runs

FLAGS = harness.define(
    model="conv_vae",
    dataset="mnist",
    data_dir=str,
    batch_size=(128, "images in a batch"),
    epochs=(10, "epochs that each run of the command is timed over"),
    rounds=7,
    commands=(3, "how often the command is run"),
    smoke=False,
)


def run():
    """Times the pipeline, the training step without it and with it, and the whole command."""
    rounds, seconds = harness.turns(FLAGS)
    errors.at_least("--epochs", FLAGS.epochs, 1)
    errors.at_least("--commands", FLAGS.commands, 1)
    dataset = "digits" if FLAGS.smoke else FLAGS.dataset
    model, splits = candidates.prepare(
        FLAGS.model,
        FLAGS.batch_size,
        dataset=dataset,
        data_dir=FLAGS.data_dir,
        tiny=FLAGS.smoke,
    )
    work = {
        "pipeline": candidates.pipeline_work(splits),
        "step": candidates.training_work(model, splits, repeated=True),
        "loop": candidates.training_work(model, splits),
    }
    speeds = harness.interleave(work, rounds, seconds)
    commands, shares = [], []
    for _ in range(1 if FLAGS.smoke else FLAGS.commands):
        steps = harness.interleave({"step": work["step"]}, 1, seconds)["step"]
        commands.append(_command_speed(dataset, splits.num_train))
        steps += harness.interleave({"step": work["step"]}, 1, seconds)["step"]
        shares.append(commands[-1] / (sum(steps) / len(steps)))
    figures = {
        "model": FLAGS.model,
        "dataset": dataset,
        "binarization": splits.binarization,
        "batch_size": FLAGS.batch_size,
        "speed": {name: harness.figure(values, "images/s") for name, values in speeds.items()},
        "pipeline_share_of_step": harness.ratio(speeds["step"], speeds["pipeline"]),
        "loop_to_step": harness.ratio(speeds["loop"], speeds["step"]),
        "epochs": _epochs(),
        "command": harness.figure(commands, "images/s"),
        "command_to_step": harness.figure(shares, "ratio"),
    }
    for name, figure in figures["speed"].items():
        print(f"{name}: {figure['median']:,.0f} images/s")
    print(f"command: {figures['command']['median']:,.0f} images/s")
    harness.write("input", figures, smoke=FLAGS.smoke)


def _command_speed(dataset, images):
    """Returns images a second of the command from the end of its first epoch to the last one's."""
    epochs = _epochs()
    with tempfile.TemporaryDirectory() as scratch:
        place = pathlib.Path(scratch) / "run"
        given = [f"--epochs={epochs + 1}", f"--batch_size={FLAGS.batch_size}"]
        given += ["--report_images=16", "--report_samples=2", "--optimizer=adam"]  # the step's
        given += ["--set=hidden=(4,4)"] if FLAGS.smoke else []
        runner.train(FLAGS.model, dataset, place, *given, data_dir=FLAGS.data_dir)
        rows = runs.read_rows(place / runs.METRICS)
    seconds = 60 * (rows[-1]["minutes"] - rows[0]["minutes"])
    return epochs * images / seconds


def _epochs():
    return 2 if FLAGS.smoke else FLAGS.epochs
