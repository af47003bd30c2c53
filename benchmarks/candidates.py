"""What the benchmarks time of ours: functions for `harness.interleave`."""

STEPS = 20  # of training, a call
_MANY_EPOCHS = 10_000  # the learning rate does not fall while the clock runs


def prepare(name, batch_size, *, dataset="digits", precision="float32", jit="auto", tiny=False,
            data_dir=None, binarization=None, optimizer="adam", **arguments):  # fmt: skip
    """Returns (model, splits), compiled as the training command does.

    Args:
        name: a registered model.
        batch_size: images a step.
        dataset: whose images; see vae_zoo.load_dataset.
        precision: dtype policy.
        jit: "auto", "on" or "off".
        tiny: the registry's small variant.
        data_dir, binarization: of the data set.
        optimizer: "adam", which the peers take, or "muon".
        **arguments: constructor arguments, over the registry's.
    """
    from vae_zoo import datasets, registry, training

    splits = datasets.load(
        dataset, batch_size=batch_size, data_dir=data_dir, binarization=binarization
    )
    arguments = {"num_classes": splits.num_classes, **arguments}
    model = registry.create_model(
        name,
        tiny=tiny,
        image_shape=splits.image_shape,
        likelihood=splits.likelihood,
        dtype=precision,
        **arguments,
    )
    settings = training.Settings(
        epochs=_MANY_EPOCHS, precision=precision, jit=jit, optimizer=optimizer
    )
    training.compile_model(model, settings, _MANY_EPOCHS)
    return model, splits


def network(model):
    """Returns the sizes of a plain model's networks, of which device/networks.py builds them."""
    from vae_zoo import networks
    from vae_zoo.probability import distributions

    return {
        "network": model.network,
        "image_shape": model.image_shape,
        "log_scale": distributions.LOG_SCALE,
        "hidden": networks.check_hidden(model.network, model.hidden),
        "blocks": model.blocks,
        "latent_size": model.latent_size,
        "parameters": sum(variable.numpy().size for variable in model.trainable_variables),
    }


def training_work(model, splits, repeated=False, device=None):
    """Returns a function that trains for some steps, waits, and returns how many images it saw.

    Args:
        model, splits: of `prepare`.
        repeated: one batch, again and again: the step without its pipeline.
        device: where the batches are wanted, if not on the CPU.
    """
    import tensorflow as tf

    data = splits.train_from(0)
    if repeated:
        data = data.take(1).cache().repeat()
    if device:
        data = data.apply(tf.data.experimental.prefetch_to_device(device))
    iterator, loop = iter(data), model.make_train_function()

    def work():
        before = model.steps_made
        loop(iterator)
        model.optimizer.iterations.numpy()  # waits
        return (model.steps_made - before) * splits.batch_size

    return work


def sampling_work(model, batch_size):
    """Returns a function that draws images from the prior and returns how many."""
    import tensorflow as tf

    from vae_zoo.metrics import latent_space
    from vae_zoo.probability import noise

    label = latent_space.cycle_labels(model, batch_size)
    draw = tf.function(lambda rows: model.sample(rows, label)[0])
    rows = tf.constant(noise.rows(0, batch_size))

    def work():
        draw(rows).numpy()
        return batch_size

    return work


def pipeline_work(splits):
    """Returns a function that takes some batches of the pipeline and returns how many images."""
    import tensorflow as tf

    iterator = iter(splits.train_from(0))

    @tf.function
    def take(iterator, count):
        for _ in tf.range(count):
            next(iterator)

    def work():
        take(iterator, tf.constant(10 * STEPS))
        return 10 * STEPS * splits.batch_size

    return work


def training_speed(name, batch_size, seconds, **arguments):
    """Returns (images a second of a short training, steps of an epoch); see `prepare`."""
    from benchmarks import harness

    model, splits = prepare(name, batch_size, **arguments)
    [speed] = harness.interleave({name: training_work(model, splits)}, 1, seconds)[name]
    return speed, splits.steps_per_epoch
