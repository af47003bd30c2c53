"""The data pipeline alone, what it costs a training step, and what the command costs a step.

    pipeline  batches alone: read, shuffled, binarised
    step      training on one batch, again and again
    loop      training on the pipeline's batches, as the command does
    command   the command itself over whole epochs: validation, checkpoints and logs included

The first three take turns; each run of the command is next to more turns of the step.
"""

import pathlib
import tempfile

from absl import flags

from benchmarks import candidates, harness, runner
from vae_zoo import errors

FLAGS = flags.FlagValues()
flags.DEFINE_string("model", "conv_vae", "the model that is trained", flag_values=FLAGS)
flags.DEFINE_string("dataset", "mnist", "a data set; dynamic binarisation costs", flag_values=FLAGS)
flags.DEFINE_string("data_dir", None, "prepared TFDS data", flag_values=FLAGS)
flags.DEFINE_integer("batch_size", 128, "images a step", flag_values=FLAGS)
flags.DEFINE_integer("epochs", 10, "of the command", flag_values=FLAGS)
flags.DEFINE_integer("rounds", 7, "turns of each candidate", flag_values=FLAGS)
flags.DEFINE_integer("commands", 3, "runs of the command", flag_values=FLAGS)
flags.DEFINE_bool("smoke", False, "seconds, on digits; nothing is kept", flag_values=FLAGS)


def run():
    """Times the pipeline, the training step without it and with it, and the whole command."""
    harness.check_rounds(FLAGS.rounds)
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
    rounds, seconds = (3, 0.1) if FLAGS.smoke else (FLAGS.rounds, harness.SECONDS)
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
        given = [f"--model={FLAGS.model}", f"--dataset={dataset}", f"--output_dir={place}"]
        given += [f"--epochs={epochs + 1}", f"--batch_size={FLAGS.batch_size}"]
        given += ["--report_images=16", "--report_samples=2"]
        given += ["--set=hidden=(4,4)"] if FLAGS.smoke else []
        runner.command("vae_zoo.train", *given, data_dir=FLAGS.data_dir)
        rows = runner.metrics(place)
    seconds = 60 * (rows[-1]["minutes"] - rows[0]["minutes"])
    return epochs * images / seconds


def _epochs():
    return 2 if FLAGS.smoke else FLAGS.epochs
