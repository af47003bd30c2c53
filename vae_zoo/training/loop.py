"""The loop of `fit`: many steps a call, on any tf.distribute strategy, from any step.

`make_train_function` is Keras's place for it, so that `compile`, `fit`, callbacks and metrics stay
Keras's own; its own loop fails under several replicas.
"""

import contextlib
import time
import types

import keras
import tensorflow as tf


class _Pace:
    """How many steps run between two looks at a stop: Python sees no signal and no clock meanwhile.

    Args:
        seconds: that they should take.
    """

    def __init__(self, seconds):
        self.steps, self._seconds, self._built = 1, seconds, False

    @contextlib.contextmanager
    def measured(self, count):
        """Learns from how long `count` steps take; the first ones also build the graph."""
        started = time.monotonic()
        yield
        if self._built:
            seconds = max(1e-6, time.monotonic() - started)
            self.steps = max(1, int(self._seconds * count / seconds))
        self._built = True


@keras.saving.register_keras_serializable("vae_zoo")
class FiniteMean(keras.metrics.Mean):
    """Mean over the values that are finite: one bad step does not spoil an epoch's figures.

    NaN where none was finite: a training that is lost must not look like a loss of zero.
    """

    def update_state(self, values, sample_weight=None):
        values = tf.cast(values, tf.float32)
        finite = tf.math.is_finite(values)
        weight = tf.cast(finite, tf.float32)
        if sample_weight is not None:
            weight *= tf.cast(sample_weight, tf.float32)
        return super().update_state(tf.where(finite, values, 0.0), weight)

    def result(self):
        return keras.ops.divide(self.total, keras.ops.cast(self.count, self.total.dtype))


@keras.saving.register_keras_serializable("vae_zoo")
class LossOfImages(FiniteMean):
    """Mean of the images' losses, weighted as the figures shown next to it are.

    Keras's own `update_state`, of a batch's mean and its number of images, does nothing: it would
    count a batch by its size, whatever its images weigh.
    """

    def update_state(self, values, sample_weight=None):
        pass

    def add(self, losses, weight):
        """Takes the losses of images [B], and their weights [B] or None."""
        return super().update_state(losses, weight)


class LoopedModel(keras.Model):
    """A keras.Model with that loop.

    Attributes:
        steps_per_epoch: set where an endless data set is cut into epochs; else None.
        steps_made: training steps that lie behind.
        calls_made: calls of the loop since then.
        must_stop: a function that says whether to leave a call before its end; None: never.
        pace_seconds: how often to ask it, about.
    """

    steps_per_epoch = None
    must_stop = None
    pace_seconds = 1.0

    def make_train_function(self, force=False):
        """Builds the loop of `fit`: `steps_per_execution` steps a call, on any strategy."""
        if self.train_function is not None and not force:
            return self.train_function
        strategy = self.distribute_strategy

        def replica_step(data):
            self.train_step(data)

        if not self.run_eagerly:
            replica_step = tf.function(
                replica_step, jit_compile=self.jit_compile, reduce_retracing=True
            )

        run_steps, run_what_is_left = _loops(strategy, replica_step, self.run_eagerly)
        pace = _Pace(self.pace_seconds)

        def run_endless(iterator):
            left = self._steps_to_run()
            while left:
                # Workers that do not stop by themselves all make the same calls.
                count = min(left, pace.steps) if self.must_stop else left
                with pace.measured(count):
                    run_steps(iterator, tf.constant(count))
                self.steps_made += count
                left = 0 if self.must_stop and self.must_stop() else left - count

        def train_function(iterator):
            if isinstance(iterator, types.GeneratorType):  # of train_on_batch; no graph's loop
                strategy.run(replica_step, args=(next(iterator),))
                self.steps_made += 1
            elif self.steps_per_epoch is None and isinstance(iterator, tf.data.Iterator):
                count = int(run_what_is_left(iterator, tf.constant(self._steps_to_run())))
                if not count:
                    raise StopIteration
                self.steps_made += count
            else:  # endless
                run_endless(iterator)
            self.calls_made += 1
            return self.get_metrics_result()

        self.train_function = train_function
        return train_function

    def set_step(self, step):
        """Says how many training steps lie behind, so that epochs end where they should."""
        self.steps_made, self.calls_made = step, 0

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing: the constructor has built it, and Keras would take a batch of the data."""

    def _steps_to_run(self):
        """How many steps the next call of the loop runs: none past the end of an epoch."""
        if self.steps_per_epoch is None:
            return self.steps_per_execution
        left = self.steps_per_epoch - self.steps_made % self.steps_per_epoch
        return min(self.steps_per_execution, left)


def _loops(strategy, replica_step, eagerly):
    """Returns two loops of steps, of (iterator, count): of endless data, and of what is left of it.

    Args:
        strategy: a tf.distribute strategy.
        replica_step: a function of a replica's batch.
        eagerly: whether they are no graphs.

    Returns:
        One that makes `count` steps, and one that makes at most so many, and returns how many.
    """

    def run_steps(iterator, count):
        for _ in tf.range(count):
            strategy.run(replica_step, args=(next(iterator),))

    def run_what_is_left(iterator, count):
        # A failing `next` would not stop the step counter, which waits for no data.
        made = tf.constant(0)
        for _ in tf.range(count):
            batch = iterator.get_next_as_optional()
            if not batch.has_value():
                break
            strategy.run(replica_step, args=(batch.get_value(),))
            made += 1
        return made

    if eagerly:
        return run_steps, run_what_is_left
    return tuple(
        tf.function(loop, reduce_retracing=True) for loop in (run_steps, run_what_is_left)
    )
