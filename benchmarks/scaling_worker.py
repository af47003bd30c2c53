"""One worker of the scaling benchmark: a process that trains when it is told to.

`Group` starts the workers of a strategy and speaks to them through pipes, so that groups can take
turns and all workers of one make the same number of steps.
"""

import json
import math
import multiprocessing
import os
import socket
import threading
from multiprocessing import connection

from vae_zoo import errors

_STEPS = 20  # a request


class Group:
    """The processes of a strategy; use it in a `with`, at whose end they stop.

    Args:
        strategy: of training.STRATEGIES; "mirrored" is one process with `workers` logical CPUs.
        workers: how many.
        model: name of the model.
        tiny: True: at its small size.
    """

    def __init__(self, strategy, workers, model, tiny):
        spec = {"strategy": strategy, "workers": workers, "model": model, "tiny": tiny}
        self._pipes, self._processes = [], []
        context = multiprocessing.get_context("spawn")
        for place in _places(strategy, workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, {**spec, **place}), daemon=True)
            process.start()
            theirs.close()  # or the end of the process would not be seen
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process in self._processes:
            process.kill()  # TensorFlow takes the gentler signal for a preemption
        for process in self._processes:
            process.join()

    def ask(self, request, size):
        """Returns each worker's answer to a request, one of Trainer's methods.

        Args:
            request: the method's name.
            size: its argument, such as the images of the global batch.

        Raises:
            UserError: what a worker raised of these.
            RuntimeError: where a worker fails; it has said why.
        """
        for pipe in self._pipes:
            pipe.send((request, size))
        answers = {}
        while len(answers) < len(self._pipes):
            for pipe in connection.wait([p for p in self._pipes if p not in answers]):
                try:
                    answers[pipe] = pipe.recv()
                except EOFError:
                    raise RuntimeError("a worker failed") from None
        mistakes = [each for each in answers.values() if isinstance(each, errors.UserError)]
        if mistakes:
            raise mistakes[0]
        return [answers[pipe] for pipe in self._pipes]


def _places(strategy, workers):
    """Returns the cores and the TF_CONFIG of each process."""
    cores = sorted(os.sched_getaffinity(0))
    own = [cores[i % len(cores)] for i in range(workers)]
    if strategy != "multi_worker":
        return [{"cores": own, "cluster": None}]
    cluster = {"worker": [f"127.0.0.1:{port}" for port in _free_ports(workers)]}
    return [
        {"cores": [own[i]],
         "cluster": {"cluster": cluster, "task": {"type": "worker", "index": i}}}
        for i in range(workers)
    ]  # fmt: skip


def _free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def serve(pipe, spec):
    """A worker process's whole life: answers requests until it is stopped."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.sched_setaffinity(0, spec["cores"])
    if spec["cluster"]:
        os.environ["TF_CONFIG"] = json.dumps(spec["cluster"])
    trainer = Trainer(spec)
    while True:
        request, size = pipe.recv()
        try:
            answer = getattr(trainer, request)(size)
        except errors.UserError as error:
            answer = error
        pipe.send(answer)


def _end_with_parent():
    """Ends this process with its parent, even while it waits for another worker."""
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


class Trainer:
    """Trains a model under a strategy, with the project's own loop and pipeline.

    Args:
        spec: "strategy", "workers", "model", "tiny" and "cores", as of Group.
    """

    def __init__(self, spec):
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(len(set(spec["cores"])))
        self.spec, self.strategy = spec, _strategy(spec["strategy"], spec["workers"])
        self.started, self.inputs = {}, {}

    def steps(self, batch_size):
        """Runs some training steps; returns how many."""
        self._started(batch_size)[1](_STEPS)
        return _STEPS

    def make_inputs(self, share):
        """Makes as many batches, and their noise, without training; returns how many.

        Args:
            share: (images, shares): of a worker, and of how many workers' batch.
        """
        if share not in self.inputs:
            self.inputs[share] = self._input_maker(*share)
        self.inputs[share]()
        return _STEPS

    def losses(self, batch_size):
        """Returns the loss of each of the first steps, then the sum of all |weights|."""
        import numpy as np

        model, train = self._started(batch_size)
        made = []
        for _ in range(_STEPS):
            made.append(train(1))
            model.reset_metrics()
        weights = [np.abs(weight).sum(dtype=np.float64) for weight in model.get_weights()]
        return [*made, float(sum(weights))]

    def gradient_bytes(self, batch_size):
        """Returns the bytes of the float32 gradients; refuses a batch beyond the data."""
        from vae_zoo import datasets

        datasets.load("digits", batch_size=batch_size)
        return 4 * sum(math.prod(v.shape) for v in self._model().trainable_variables)

    def _started(self, batch_size):
        """Returns a model, and a function that trains it for a number of steps: the mean loss."""
        if batch_size not in self.started:
            self.started[batch_size] = self._start(batch_size)
        return self.started[batch_size]

    def _start(self, batch_size):
        from vae_zoo import datasets, training

        settings = training.Settings(epochs=10_000, strategy=self.spec["strategy"])
        splits = datasets.load("digits", batch_size=batch_size)
        with self.strategy.scope():
            model = self._model()
            training.compile_model(model, settings, settings.epochs)
        model.steps_per_epoch = None  # each call says how many steps
        data = training.training_data(splits, self.strategy, 0)
        iterator, loop = iter(data), model.make_train_function()

        def train(steps):
            model.steps_per_execution = steps
            return float(loop(iterator)["loss"])

        return model, train

    def _input_maker(self, images, shares):
        import tensorflow as tf

        from vae_zoo import datasets, replicas
        from vae_zoo.probability import noise

        splits = datasets.load("digits", batch_size=images * shares)
        last = shares - 1
        iterator = iter(splits.train_from(0, shares, range(last, shares)))
        shape = [self._model().latent_size]

        @tf.function
        def make(iterator):
            total = 0.0
            for step in tf.range(_STEPS):
                with replicas.part(last, shares):
                    normals = noise.standard_normal(tf.stack([0, step]), 1, images, shape)
                total += next(iterator)["image"][0, 0, 0, 0] + normals[0, 0, 0]
            return total

        return lambda: float(make(iterator))

    def _model(self):
        from vae_zoo import registry

        name, tiny = self.spec["model"], self.spec["tiny"]
        if registry.model_class(name).needs_labels:
            raise errors.UserError(f"--models={name}: expected models without labels.")
        return registry.create_model(name, tiny=tiny, image_shape=(28, 28, 1))


def _strategy(name, workers):
    import tensorflow as tf

    from vae_zoo import training

    if name != "mirrored":
        return training.make_strategy(name)
    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = [tf.config.LogicalDeviceConfiguration()] * workers
    tf.config.set_logical_device_configuration(cpu, devices)
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(workers)])
