"""What guards every model's training: the optimizer that skips bad steps and averages weights."""

import contextlib

import keras
import tensorflow as tf

from vae_zoo import errors

_BUFFER = 2**25  # bytes of gradients that the replicas sum at a time


@keras.saving.register_keras_serializable("vae_zoo")
class GuardedAdam(keras.optimizers.Adam):
    """Adam that skips, and counts, steps whose gradient is not finite or is above a norm.

    A skipped step changes neither weights nor moments; `iterations` goes on, so that noise and
    data do too. The averaged weights (`use_ema`) are for evaluation: they never overwrite the
    raw ones, and `averaged(model)` puts them in place for the length of a `with`.

    Args:
        skip_norm: the global gradient norm beyond which a step is skipped; None: only what is
            not finite.
        **kwargs: of keras.optimizers.Adam. With `use_ema`, `ema_momentum` is reached gradually:
            min(ema_momentum, t / (9 + t)) after t steps, so that the averages start at the weights.

    Raises:
        UserError: for `amsgrad`, and for what would touch weights or gradients before the guard:
            `weight_decay` and the clipping of norms or values.
    """

    def __init__(self, learning_rate=1e-3, *, skip_norm=None, **kwargs):
        for name in ("amsgrad", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm"):
            if kwargs.get(name):
                raise errors.UserError(
                    f"{name}={kwargs[name]!r}: GuardedAdam has none. Expected it left out, or "
                    "keras.optimizers.Adam."
                )
        super().__init__(learning_rate, **kwargs)
        self.skip_norm = skip_norm

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.skipped = self.add_variable((), name="skipped", dtype="int64", initializer="zeros")
        self.skipped_in_a_row = self.add_variable(
            (), name="skipped_in_a_row", dtype="int64", initializer="zeros"
        )

    def get_config(self):
        return {**super().get_config(), "skip_norm": self.skip_norm}

    def count_skipped(self):
        """Says that a step was skipped."""
        self.skipped.assign_add(1)
        self.skipped_in_a_row.assign_add(1)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        variables = [getattr(v, "value", v) for v in trainable_variables]
        grads = _summed(list(grads))
        good = self._is_good(grads)
        grads = self._with_directions(grads, trainable_variables)
        grads_and_vars = list(zip(grads, variables, strict=True))
        tf.__internal__.distribute.interim.maybe_merge_call(
            self._guarded_update, self._distribution_strategy, grads_and_vars, learning_rate, good
        )

    def _with_directions(self, gradients, variables):
        """Returns what `update_step` takes for each variable: of Adam, its gradient."""
        return gradients

    def update_step(self, gradient, variable, learning_rate):
        """Adam's step in TensorFlow's fused kernel: Keras's own is a dozen passes over memory."""
        index, dtype = self._get_variable_index(variable), variable.dtype
        beta_1, beta_2 = tf.cast(self.beta_1, dtype), tf.cast(self.beta_2, dtype)
        step = tf.cast(self.iterations.value + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=tf.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )

    def _is_good(self, gradients):
        norm = tf.linalg.global_norm([tf.cast(g, tf.float32) for g in gradients])
        limit = float("inf") if self.skip_norm is None else self.skip_norm
        return tf.math.is_finite(norm) & (norm <= limit)

    def _guarded_update(self, distribution, grads_and_vars, learning_rate, good):
        # The gradients are summed over the replicas, so that every replica agrees on `good`.
        good = distribution.experimental_local_results(good)[0]

        def update():
            self._distributed_tf_update_step(distribution, grads_and_vars, learning_rate)
            self.skipped_in_a_row.assign(0)
            return tf.constant(0)

        def skip():
            self.count_skipped()
            return tf.constant(0)

        tf.cond(good, update, skip)

    def _update_model_variables_moving_average(self, trainable_variables):
        if not self.use_ema:
            return
        step = tf.cast(self.iterations.value, tf.float32)
        momentum = tf.minimum(self.ema_momentum, step / (9.0 + step))
        for variable, average in zip(
            trainable_variables, self._model_variables_moving_average, strict=True
        ):
            # average += (1 - momentum) * (variable - average), in one pass.
            tf.raw_ops.ResourceApplyGradientDescent(
                var=average.value.handle, alpha=1.0 - momentum, delta=average - variable
            )

    def finalize_variable_values(self, var_list):
        """Leaves the raw weights in place at the end of `fit`."""


def _summed(gradients):
    """Returns the sums over the replicas of a list of gradients.

    TensorFlow sends those of the last layers first, in buffers of this many bytes: one message
    for a small model; of a large one, the first buffers travel while the rest is computed.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return gradients
    options = tf.distribute.experimental.CommunicationOptions(bytes_per_pack=_BUFFER)
    return context.all_reduce(tf.distribute.ReduceOp.SUM, gradients, options=options)


@keras.saving.register_keras_serializable("vae_zoo")
class GuardedLossScale(keras.optimizers.LossScaleOptimizer):
    """Keras's loss scaling, for float16: a step that overflows counts as skipped, and as a step."""

    def _stateful_handle_non_finite_grads(self):
        super()._stateful_handle_non_finite_grads()
        self.inner_optimizer.count_skipped()
        self.inner_optimizer.iterations.assign_add(1)


def guard(optimizer):
    """Returns the GuardedAdam of a compiled optimizer (behind loss scaling), or None."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return optimizer if isinstance(optimizer, GuardedAdam) else None


@contextlib.contextmanager
def averaged(model):
    """Puts the averaged weights in place for the length of a `with`; none without `use_ema`."""
    optimizer = guard(model.optimizer)
    if optimizer is None or not optimizer.built or not optimizer.use_ema:
        yield
        return
    raw = [variable.numpy() for variable in model.trainable_variables]
    averages = optimizer._model_variables_moving_average
    try:
        for variable, average in zip(model.trainable_variables, averages, strict=True):
            variable.assign(average)
        yield
    finally:
        for variable, value in zip(model.trainable_variables, raw, strict=True):
            variable.assign(value)
