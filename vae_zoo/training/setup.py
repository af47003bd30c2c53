"""Before the first step: the strategy, the optimizer, the compiled model."""

import keras
import tensorflow as tf

from vae_zoo.training import optimizers


def make_strategy(name):
    """Returns the tf.distribute strategy of a name; "multi_worker" reads TF_CONFIG."""
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def is_chief(strategy):
    """Returns whether this process writes the run's files."""
    resolver = strategy.cluster_resolver
    return resolver is None or not resolver.task_type or resolver.task_id == 0


def compile_model(model, settings, steps_per_epoch):
    """Compiles a model as the command does: guarded Adam, schedule, many steps a call.

    Args:
        model: a VAE; call within the strategy's scope.
        settings: Settings.
        steps_per_epoch: optimizer steps of an epoch.
    """
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        total = max(1, settings.epochs * steps_per_epoch)
        rate = keras.optimizers.schedules.CosineDecay(rate, total)
    averaging = {"use_ema": True, "ema_momentum": settings.ema} if settings.ema else {}
    optimizer = optimizers.GuardedAdam(rate, skip_norm=settings.skip_norm, **averaging)
    if model.dtype_policy.name == "mixed_float16":
        optimizer = optimizers.GuardedLossScale(optimizer)
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    model.compile(
        optimizer=optimizer,
        # XLA makes convolutions slower on a CPU.
        jit_compile=on_gpu if settings.jit == "auto" else settings.jit == "on",
        steps_per_execution=min(50 if on_gpu else 20, steps_per_epoch),
    )
    model.optimizer.build(model.trainable_variables)
    model.steps_per_epoch = steps_per_epoch
