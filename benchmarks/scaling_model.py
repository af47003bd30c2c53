"""How a training step grows with the workers: a model in closed form, and its fit.

    T(N, b) = a + c b + r (N - 1) b + ring(N),
    ring(N) = 2 (N - 1) / N * gradient bytes * seconds a byte + 2 (N - 1) * latency

for N workers of b images each: a step of one worker, its own input and noise included; what the
images of the others cost its input and noise, which is next to nothing, for it draws and reads its
own rows alone; and the ring all-reduce of Patarasuk and Yuan (2009), "Bandwidth optimal
all-reduce algorithms for clusters of workstations": N - 1 steps of reduce-scatter, N - 1 of
all-gather, each a message of 1/N of the gradient, which TensorFlow sends as one tensor.
"""

from typing import NamedTuple

import numpy as np


class Work(NamedTuple):
    """A model's work in a step, on one machine.

    Attributes:
        fixed: a, seconds.
        image: c, seconds an image of the worker's own.
        global_image: r, seconds that an image of another worker costs the input and noise.
        gradient_bytes: all-reduced in a step.
    """

    fixed: float
    image: float
    global_image: float
    gradient_bytes: int


class Link(NamedTuple):
    """What carries the gradients.

    Attributes:
        byte: seconds a byte.
        latency: seconds a message.
    """

    byte: float
    latency: float


def fit_work(times, input_times, gradient_bytes):
    """Returns the Work of a model, by least squares of the relative errors.

    Args:
        times: {batch size: seconds of a step} of one worker.
        input_times: {images of all workers: seconds} of making one worker's share and its noise.
        gradient_bytes: of the trainable variables.
    """
    image, fixed = _line(times)
    return Work(fixed, image, _line(input_times)[0], gradient_bytes)


def fit_link(measured, latency):
    """Returns the Link behind step times of several workers, no part of it below zero.

    Args:
        measured: [(Work, workers, batch size, seconds of a step)], one for each model.
        latency: seconds a message, assumed where one model alone cannot tell it from the bytes.
    """
    from scipy import optimize

    terms = np.array([ring_terms(work, workers) for work, workers, _, _ in measured])
    seconds = np.array([
        max(0.0, step - sum(local_parts(work, workers, batch_size).values()))
        for work, workers, batch_size, step in measured
    ])  # fmt: skip
    if len(measured) == 1:
        (sent, messages), left = terms[0], seconds[0]
        return Link(float(max(0.0, left - messages * latency) / sent), latency)
    scale = terms.max(axis=0)
    byte, message = optimize.nnls(terms / scale, seconds)[0] / scale
    return Link(float(byte), float(message))


def ring_terms(work, workers):
    """Returns (bytes, messages) that each worker sends in a step."""
    messages = 2 * (workers - 1)
    return messages / workers * work.gradient_bytes, messages


def local_parts(work, workers, batch_size):
    """Returns {part: seconds} of a step without the all-reduce."""
    return {
        "compute": work.fixed + work.image * batch_size,
        "global_batch": work.global_image * (workers - 1) * batch_size,
    }


def step_parts(work, link, workers, batch_size):
    """Returns {part: seconds} of a step: "compute", "global_batch", "all_reduce"."""
    sent, messages = ring_terms(work, workers)
    parts = local_parts(work, workers, batch_size)
    return {**parts, "all_reduce": sent * link.byte + messages * link.latency}


def step_time(work, link, workers, batch_size):
    """Returns the seconds of a step."""
    return sum(step_parts(work, link, workers, batch_size).values())


def efficiency(work, link, workers, batch_size):
    """Returns images a second for each worker, as a share of one worker's."""
    alone = step_time(work, link, 1, batch_size)
    return alone / step_time(work, link, workers, batch_size)


def _line(times):
    """Returns (slope, value at 0) of the line through {x: y}, neither below zero."""
    from scipy import optimize

    x, y = np.array(list(times)), np.array(list(times.values()))
    columns = np.stack([x, np.ones(len(x))], axis=1)
    slope, start = optimize.nnls(columns / y[:, np.newaxis], np.ones(len(y)))[0]
    return float(slope), float(start)
