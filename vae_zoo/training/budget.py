"""How long a training is: from a number of steps, or of minutes, to epochs."""

import math
import time

from vae_zoo.training.setup import compile_model

_SHORTEST = 100  # steps of an epoch, at least: a validation after three steps says nothing
_EPOCHS = 20  # of a training, at least, where that leaves _SHORTEST steps for each
_SHARE = 0.9  # of the minutes are steps; validation and checkpoints take the rest
_MEASURED = (3.0, 15.0)  # seconds that the speed is measured for, least and most
_CALL = 5  # steps of a call while the speed is measured


def plan(steps, steps_per_pass):
    """Returns (epochs, steps of an epoch) for a training of so many steps.

    An epoch is a pass over the training images where that is at least 100 steps, and at most a
    twentieth of the training; a few steps more than asked for may be trained, to fill the last.

    Args:
        steps: of the whole training.
        steps_per_pass: of one pass over the training images.
    """
    length = max(_SHORTEST, min(steps_per_pass, steps // _EPOCHS))
    epochs = max(1, round(steps / length))
    return epochs, math.ceil(steps / epochs)


def steps_in(minutes, build, splits, settings):
    """Returns how many steps fit into some minutes on this machine: measured, for some seconds.

    Args:
        minutes: of training, the start, validation and checkpoints included.
        build: a function that returns the model; what it returns is trained, and left.
        splits: datasets.Splits.
        settings: Settings; those of length do not count.
    """
    seconds = 60 * minutes
    started = time.monotonic()
    model = build()
    compile_model(model, settings._replace(epochs=1, schedule="constant"), _CALL)
    model.steps_per_epoch = None  # each call makes _CALL steps
    call, batches = model.make_train_function(), iter(splits.train_from(0))
    call(batches)  # the graph is built here
    start = time.monotonic() - started
    speed = _steps_a_second(call, batches, min(max(_MEASURED[0], seconds / 50), _MEASURED[1]))
    return max(_CALL, int((_SHARE * seconds - start) * speed))


def _steps_a_second(call, batches, seconds):
    started, steps = time.monotonic(), 0
    while time.monotonic() - started < seconds:
        float(next(iter(call(batches).values())))  # reading a figure waits for the steps
        steps += _CALL
    return steps / (time.monotonic() - started)
