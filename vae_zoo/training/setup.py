"""Before the first step: the strategy, the optimizer, the compiled model."""

import os

import keras
import tensorflow as tf

from vae_zoo import errors, replicas
from vae_zoo.training import muon, optimizers

_OPTIMIZERS = {"adam": optimizers.GuardedAdam, "muon": muon.GuardedMuon}


def make_strategy(name):
    """Returns the tf.distribute strategy of a name of STRATEGIES.

    Args:
        name: "one" is none; "mirrored" takes all GPUs of this process; "multi_worker" reads
            TF_CONFIG; "tpu" reads TPU_NAME, and takes the TPU of this machine without it.

    Raises:
        UserError: where there is no TPU.
    """
    if name == "tpu":
        return _tpu_strategy(os.environ.get("TPU_NAME", "local"))
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def _tpu_strategy(name):
    """Returns the strategy of a TPU, as TensorFlow's guide makes it; it was never run on one."""
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        if name != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise errors.UserError(
            f"--strategy=tpu: no TPU of the name {name} answers ({type(error).__name__}). Expected "
            "a machine with one, or its name in TPU_NAME; --strategy=one needs none."
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def is_chief(strategy):
    """Returns whether this process writes the run's files."""
    return strategy.extended.should_checkpoint


def check_batches(batch_size, strategy, accumulate=1):
    """Raises a UserError for batches that cannot be shared out evenly.

    Args:
        batch_size: images a step, of all replicas.
        strategy: of make_strategy.
        accumulate: parts of each replica's batch.
    """
    replicas = strategy.num_replicas_in_sync
    shares = replicas * accumulate
    if batch_size % shares:
        near = max(1, round(batch_size / shares)) * shares
        among = [f"{replicas} workers or devices"] if replicas > 1 else []
        among += [f"{accumulate} parts (--accumulate)"] if accumulate > 1 else []
        raise errors.UserError(
            f"batches of {batch_size} images for {' and '.join(among)}: expected a multiple of "
            f"{shares}, such as --batch_size={near}."
        )


def training_data(splits, strategy, step):
    """Returns endless batches from a step on; each worker reads and draws its own rows alone.

    Args:
        splits: datasets.Splits.
        strategy: of make_strategy.
        step: the first one.
    """
    if strategy is make_strategy("one"):
        return splits.train_from(step)

    def of_worker(context):
        here = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * here
        own = range(first, first + here)
        return splits.train_from(step, context.num_replicas_in_sync, own)

    return strategy.distribute_datasets_from_function(of_worker)


def compile_model(model, settings, steps_per_epoch):
    """Compiles a model as the command does: guarded optimizer, schedule, many steps a call.

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
    optimizer = _OPTIMIZERS[settings.optimizer](rate, skip_norm=settings.skip_norm, **averaging)
    if model.dtype_policy.name == "mixed_float16":
        optimizer = optimizers.GuardedLossScale(optimizer)
    model.compile(
        optimizer=optimizer,
        jit_compile="auto" if settings.jit == "auto" else settings.jit == "on",
        steps_per_execution=min(50 if replicas.on_gpu() else 20, steps_per_epoch),
    )
    model.optimizer.build(model.trainable_variables)
    model.steps_per_epoch = steps_per_epoch
    model.accumulate = settings.accumulate
    if model.accumulate > 1:
        model.check_accumulates()
