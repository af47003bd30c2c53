"""What a replica of a tf.distribute strategy knows of the others: its place, and sums over all.

A worker is a process, with one replica or more. What its replicas do within a step is in the
functions; what the processes do together between steps is in `Workers`.
"""

import contextlib
import threading

import numpy as np
import tensorflow as tf


_own = threading.local()  # each replica has a thread


class WholeBatchError(Exception):
    """A part of a replica's batch asks for a statistic of the whole batch."""


def on_gpu():
    """Returns whether this process computes on a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))


def replica():
    """Returns (number of replicas in sync, index of this one).

    Within `part`, each part of a replica's batch counts as a replica.
    """
    count, index = _replica()
    parts = getattr(_own, "parts", None)
    return (count, index) if parts is None else (count * parts[1], index * parts[1] + parts[0])


@contextlib.contextmanager
def part(index, count):
    """Computes part `index` of `count` of this replica's batch, for the length of a `with`."""
    _own.parts = index, count
    try:
        yield
    finally:
        _own.parts = None


def _replica():
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return 1, 0
    return context.num_replicas_in_sync, context.replica_id_in_sync_group


def _replica_of_whole_batch():
    if getattr(_own, "parts", None) is not None:
        raise WholeBatchError
    return _replica()


def total(value):
    """Returns the sum of a batch statistic over the replicas, differentiable."""
    return _reduced(value, tf.distribute.ReduceOp.SUM)


def mean(value):
    """Returns the mean of a batch statistic over the replicas, differentiable."""
    return _reduced(value, tf.distribute.ReduceOp.MEAN)


def gather(value, axis):
    """Returns the rows of all replicas along an axis, differentiable; the same on each of them."""
    count, index = _replica_of_whole_batch()
    if count == 1:
        return value
    # A sum of rows and zeros, which XLA compiles; it has no kernel for all_gather.
    rows = total(tf.tensordot(tf.one_hot(index, count), value, axes=0))  # [replicas, ...]
    return tf.concat(tf.unstack(rows, count), axis)


def add_shared(layer, name, shape, initializer):
    """Adds a weight to a layer that no gradient moves, and that every replica computes the same."""
    return layer.add_weight(
        name=name,
        shape=shape,
        initializer=initializer,
        trainable=False,
        autocast=False,
        aggregation="only_first_replica",
    )


def _reduced(value, operation):
    count, _ = _replica_of_whole_batch()
    if count == 1:
        return value
    return tf.distribute.get_replica_context().all_reduce(operation, value)


class Workers:
    """The processes of a strategy, outside of its replicas: how to share out work among them.

    Every worker must make the same calls in the same order.

    Args:
        strategy: a tf.distribute strategy; None: this process is alone.

    Attributes:
        count: how many there are.
        index: the number of this one.
    """

    def __init__(self, strategy=None):
        self.count, self.index, self._strategy = 1, 0, strategy
        if strategy is not None and strategy.num_replicas_in_sync > 1:
            places = strategy.experimental_distribute_values_from_function(
                lambda context: np.int32(context.replica_id_in_sync_group)
            )
            own = [int(place) for place in strategy.experimental_local_results(places)]
            self.count = strategy.num_replicas_in_sync // len(own)
            self.index = own[0] // len(own)

    def total(self, values):
        """Returns the sum over the workers of an array of the same shape on each, float64."""
        values = np.asarray(values, np.float64)
        if self.count == 1:
            return values
        given = iter([values])  # the first replica of this worker; the others add nothing
        each = self._strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(next(given, np.zeros_like(values)))
        )
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, each, axis=None).numpy()

    def chiefs(self, values):
        """Returns an array that the first worker has, on all of them, float64."""
        return self.total(np.asarray(values, np.float64) * (self.index == 0))

    def share(self, count):
        """Returns which of `count` parts are this worker's, a range: every count-th."""
        return range(self.index, count, self.count)

    def joined(self, parts, sizes):
        """Returns the rows of all parts, in order, float64; the same on every worker.

        Args:
            parts: arrays [rows, width], of this worker's share of the parts.
            sizes: rows of each part, of all of them.
        """
        width = int(self.chiefs(parts[0].shape[1] if self.index == 0 else 0))
        ends = np.cumsum(sizes)
        rows = np.zeros([ends[-1], width])
        for number, part in zip(self.share(len(sizes)), parts, strict=True):
            rows[ends[number] - sizes[number] : ends[number]] = part
        return self.total(rows)
