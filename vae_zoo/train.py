"""Trains a model: python -m vae_zoo.train --model=conv_vae

Flags, then a few calls: data, model, training, report. TensorFlow is imported only when something
is trained.
"""

import contextlib
import os
import pathlib
import shlex
import sys
import types

from vae_zoo import cli, datasets, errors, recipes, registry
from vae_zoo import train_flags, train_lists, train_request
from vae_zoo.train_flags import FLAGS

_LARGE = 50_000_000  # weights


def train(given=None, own=None):
    """Trains a model on a data set and writes its run: checkpoints, model, figures, pictures.

    Args:
        given: the command line; None is that of this process.
        own: a model object to train, of the name --model; None makes one as the flags say.

    Example: python -m vae_zoo.train --model=conv_vae
    """
    given = sys.argv[1:] if given is None else given
    for name, listed in train_lists.LISTS.items():
        if FLAGS[name].value:
            print(listed())
            return
    protocol = _take_protocol() if FLAGS.recipe else None
    spec = registry.spec(_required_model())
    recipe = protocol.recipe if protocol else recipes.recipe(FLAGS.model, FLAGS.dataset)
    wished = {**recipe.arguments, **registry.parse_settings(FLAGS["set"].value)}
    train_flags.check_numbers()
    if own is None and _is_done_already(given):
        return
    # Before any tensor: TensorFlow asks it of these.
    strategy = _strategy() if FLAGS.strategy in ("multi_worker", "tpu") else None
    dataset = train_request.dataset_settings()
    splits = datasets.load(seed=FLAGS.seed, default_batch_size=recipe.batch_size, **dataset)
    dataset["batch_size"] = splits.batch_size
    for note in splits.notes:
        print(f"note: {note}")

    from vae_zoo import replicas, runs, training
    from vae_zoo.runs import finished

    directory = pathlib.Path(FLAGS.output_dir or f"runs/{FLAGS.model}-{_plain_name(splits.name)}")
    _check_source(directory)
    strategy = strategy or _strategy()
    training.check_batches(splits.batch_size, strategy, FLAGS.accumulate)
    build = train_request.own_model if own else train_request.model_of_flags
    if not FLAGS.overwrite:
        recipe, wished = train_request.as_begun(directory, spec, recipe, wished)
    create = build(own or spec, splits, wished)
    settings = train_request.training_settings(recipe, splits, directory, create)
    with strategy.scope():
        model = own or create(**train_request.fitting_warmup(create, settings, splits))
        training.compile_model(model, settings, splits.steps_per_epoch)
    _say_if_large(model)
    command = "python -m vae_zoo.train " + shlex.join(finished.lasting(given))
    if own:
        command = _call_of(directory, own)
    config = runs.describe(
        FLAGS.model, model.get_config(), dataset, settings._asdict(), command, splits
    )
    with _lost_worker_told():
        workers = replicas.Workers(strategy)
        if not training.is_chief(strategy):
            _help_in(directory, model, splits, config, settings, strategy, workers)
            return
        with runs.held(directory):
            _train_in(directory, model, splits, config, settings, strategy, workers)


def _check_source(directory):
    """Refuses several workers that read a run while --overwrite deletes it."""
    source = os.path.abspath(FLAGS.init_from or "")
    alone = FLAGS.strategy != "multi_worker" or not FLAGS.overwrite
    if FLAGS.init_from and not alone and source == os.path.abspath(directory):
        raise errors.UserError(
            f"--init_from={FLAGS.init_from}: --overwrite deletes that run, and the other workers "
            "still want to read it. Expected another --output_dir."
        )


@contextlib.contextmanager
def _lost_worker_told():
    """Ends with one line, and code 1, where another worker of the cluster was lost."""
    import tensorflow as tf

    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        if FLAGS.strategy != "multi_worker":
            raise
        print(
            f"error: another worker was lost ({type(error).__name__}); its own output says why. "
            f"Give all of them {cli.same_command(FLAGS)}: they go on from the last whole epoch.",
            file=sys.stderr,
        )
        sys.exit(1)


def _is_done_already(given):
    """Says what is there, where the command is that of a finished training; returns whether."""
    from vae_zoo.runs import finished

    directory = FLAGS.output_dir or f"runs/{FLAGS.model}-{_plain_name(FLAGS.dataset)}"
    if FLAGS.overwrite:
        return False
    report = finished.report_of_command(directory, given, FLAGS.max_minutes)
    if report is not None:
        print(finished.text(directory, report))
    return report is not None


def _help_in(directory, model, splits, config, settings, strategy, workers):
    """Does the share of a worker that is not the first, and writes nothing."""
    from vae_zoo import runs, training
    from vae_zoo.runs import initial, report

    if not workers.chiefs(False):
        print("the first worker has nothing to train, or a mistake to tell: see what it says")
        return
    if FLAGS.init_from:
        initial.copy_weights(model, FLAGS.init_from)
    training.train(model, splits, directory, settings, strategy=strategy)
    num_images, num_samples = (int(number) for number in workers.chiefs([0, 0]))
    report.evaluate(
        runs.fresh_copy(model),
        splits,
        config,
        num_images=num_images,
        num_samples=num_samples,
        workers=workers,
    )


def _open_run(directory, model, config, workers):
    """Returns whether a training goes on in a directory, and the report of one that is over.

    A training that begins from other weights has them before: --overwrite may delete them.
    """
    from vae_zoo import runs
    from vae_zoo.runs import finished, initial

    report, opened = None, False
    try:
        if FLAGS.init_from and (FLAGS.overwrite or not runs.is_started(directory)):
            print(f"note: {initial.copy_weights(model, FLAGS.init_from)}")
        resumed = runs.open_run(directory, config, overwrite=FLAGS.overwrite, resume=FLAGS.resume)
        report = finished.report_of(directory, FLAGS.max_minutes) if resumed else None
        opened = True
    finally:
        workers.chiefs(opened and report is None)  # the others wait to hear whether to train
    return resumed, report


def _train_in(directory, model, splits, config, settings, strategy, workers):
    """Trains a model in a directory that no other process writes to; prints what becomes of it."""
    from vae_zoo import runs, training
    from vae_zoo.runs import finished

    resumed, report = _open_run(directory, model, config, workers)
    if report is not None:
        print(finished.text(directory, report))
        return
    if resumed and runs.is_started(directory) and runs.draws_differ(directory):
        print(
            "note: this training was begun with a version that drew noise and data otherwise. It "
            "goes on with the draws of this version: the model will be as good, and not the one "
            "that either version alone would have trained"
        )
    print(
        f"{'going on with' if resumed else 'training'} {FLAGS.model} on {splits.name} "
        f"({splits.num_train:,} images, binarization {splits.binarization}) in {directory}: "
        f"{settings.epochs * splits.steps_per_epoch:,} steps, batches of {splits.batch_size}",
        flush=True,
    )
    outcome = training.train(
        model,
        splits,
        directory,
        settings,
        callbacks=_callbacks(settings, splits, directory),
        strategy=strategy,
    )
    _finish(directory, model, splits, config, outcome, workers)


def train_run(model, dataset="digits", output_dir=None, *, arguments=None, **settings):
    """Does in Python what `python -m vae_zoo.train` does, and returns the run's folder.

    The recipe of the model on the data set says what is not given. The run holds checkpoints, the
    model, figures and pictures; vae_zoo.load_run opens it, and the same call goes on with it.

    Args:
        model: the name of a registered model, which is made for the data; or a model object of a
            registered class, which is trained from the weights that it has, and has the run's
            weights in the end.
        dataset: a name or a path; see vae_zoo.load_dataset.
        output_dir: the run's folder; None is runs/<model>-<dataset>.
        arguments: constructor arguments of a model that is made, such as {"latent_size": 2}.
        **settings: the command's other flags, such as epochs=5, minutes=2, overwrite=True.

    Returns:
        The folder, a pathlib.Path.

    Raises:
        UserError: as the command.

    Example:
        run = vae_zoo.train("conv_vae", "digits", minutes=2)
        images = vae_zoo.load_run(run).generate(seed=0)
    """
    own = None if isinstance(model, str) else model
    name = registry.name_of(own) if own else model
    dataset = os.fspath(dataset)
    output_dir = os.path.expanduser(output_dir or "") or f"runs/{name}-{_plain_name(dataset)}"
    given = {"model": name, "dataset": dataset, "output_dir": output_dir, **settings}
    if own:
        train_request.refuse_for_own(name, arguments, settings)
        given |= {"seed": own.seed, "precision": own.dtype_policy.name}
    argv = [_flag(name, value) for name, value in given.items() if value is not None]
    argv += [f"--set={name}={value!r}" for name, value in (arguments or {}).items()]
    for name in FLAGS:
        FLAGS[name].unparse()
    try:
        cli.parse(FLAGS, ["train", *argv])
        train(argv, own)
    finally:
        FLAGS.unparse_flags()
    if own:
        from vae_zoo import runs

        own.set_weights(runs.load_run(output_dir).get_weights())
    return pathlib.Path(output_dir)


def _flag(name, value):
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    return f"--{name}={','.join(map(str, value)) if isinstance(value, (list, tuple)) else value}"


def _take_protocol():
    """Returns the Protocol of --recipe, and sets the flags of its model and data."""
    given = [name for name in ("model", "dataset") if FLAGS[name].present]
    if given:
        raise errors.UserError(
            f"--recipe={FLAGS.recipe} and --{given[0]}: expected one of them. The recipe says what "
            "is trained on what; --set and the other flags go over its numbers."
        )
    protocol = recipes.protocol(FLAGS.recipe)
    FLAGS.model, FLAGS.dataset = protocol.model, protocol.dataset
    if not FLAGS.output_dir:
        FLAGS.output_dir = f"runs/recipe-{_plain_name(FLAGS.recipe)}"
    print(
        f"recipe {FLAGS.recipe}: {protocol.source} has {protocol.published:.2f} nats "
        f"({protocol.num_samples:,} importance samples); what differs here: {protocol.differs}"
    )
    return protocol


def _finish(directory, model, splits, config, outcome, workers):
    """Writes what a finished run leaves: model.keras, report.json, pictures; prints the summary."""
    from vae_zoo import progress, runs
    from vae_zoo.runs import report, summary

    fresh = runs.save_model(model, directory / runs.MODEL)
    num_images, num_samples = _report_size(report, fresh, splits, outcome)
    workers.chiefs([num_images, num_samples])
    bar = progress.Progress(1, "evaluating")
    figures = report.model_figures(
        fresh,
        splits,
        config,
        num_images=num_images,
        num_samples=num_samples,
        progress=bar,
        workers=workers,
    )
    bar.close()
    report.draw(directory, fresh, splits, FLAGS.seed)
    written = report.write_report(directory, fresh, splits, config, outcome, figures)
    print(summary.summary(directory, written))


def _report_size(report, model, splits, outcome):
    """Returns how many test images the report takes, and samples for each: fewer if it is slow."""
    wished = (FLAGS.report_images, FLAGS.report_samples)
    if FLAGS["report_images"].present or FLAGS["report_samples"].present:
        return wished
    chosen = report.affordable(model, splits, *wished, 60 * outcome.minutes)
    if chosen != wished:
        print(
            "note: the report takes {} test images and {} samples for each, so as to be done in a "
            "fifth of the training's time; see --report_images and --report_samples".format(*chosen)
        )
    return chosen


def _required_model():
    if not FLAGS.model:
        raise errors.UserError(
            "--model is missing: expected one of " + ", ".join(registry.model_names())
        )
    return FLAGS.model


def _say_if_large(model):
    count = model.count_params()
    if count > _LARGE:
        print(
            f"note: {FLAGS.model} has {count / 1e6:,.0f} million weights for images of "
            f"{' x '.join(map(str, model.image_shape))}; convolutional models, such as conv_vae, "
            "have far fewer"
        )


def _call_of(directory, own):
    name = registry.name_of(own)
    return f"vae_zoo.train(<the {name}>, {FLAGS.dataset!r}, {str(directory)!r}, ...) in Python"


def _strategy():
    from vae_zoo import training

    return training.make_strategy(FLAGS.strategy)


def _callbacks(settings, splits, directory):
    from vae_zoo import runs, training

    if sys.stderr.isatty():
        shown = [training.ProgressBar(settings, splits.batch_size)]
    else:
        lines = training.ProgressLines(settings, splits.batch_size)
        shown = [training.Forecast(settings), lines]
    if settings.strategy == "one":
        shown.append(training.Samples(directory / runs.TENSORBOARD / "samples", settings))
    return shown


def _plain_name(name):
    return pathlib.Path(name).stem.replace("/", "-") if "." in name else name.replace("/", "-")


def main():
    """The command's entry point."""
    cli.run(train, FLAGS)


class _Callable(types.ModuleType):
    """This module, which `vae_zoo.train` names, as a function: vae_zoo.train("conv_vae")."""

    __call__ = staticmethod(train_run)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    main()
