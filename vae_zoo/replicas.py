"""What a replica of a tf.distribute strategy knows of the others: its place, sums over all."""

import tensorflow as tf


def replica():
    """Returns (number of replicas in sync, index of this one)."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return 1, 0
    return context.num_replicas_in_sync, context.replica_id_in_sync_group


def total(value):
    """Returns the sum of a batch statistic over the replicas, differentiable."""
    return _reduced(value, tf.distribute.ReduceOp.SUM)


def mean(value):
    """Returns the mean of a batch statistic over the replicas, differentiable."""
    return _reduced(value, tf.distribute.ReduceOp.MEAN)


def gather(value, axis):
    """Returns the rows of all replicas along an axis, differentiable; the same on each of them."""
    count, index = replica()
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
    count, _ = replica()
    if count == 1:
        return value
    return tf.distribute.get_replica_context().all_reduce(operation, value)
