"""Trains a model: python -m vae_zoo.train --model=conv_vae

Flags, then a few calls: data, model, training, report. TensorFlow is imported only when something
is trained.
"""

import os
import pathlib
import shlex
import sys
import types

from absl import flags

from vae_zoo import cli, datasets, errors, limits, recipes, registry

FLAGS = flags.FlagValues()
_MOST = 10**9  # of any number; far more than makes sense, and less than what overflows
_LARGE = 50_000_000  # weights
_LENGTHS = ("epochs", "steps", "minutes")
_WARMUP = 5  # at most this part of a training of so many steps warms up the rate
_STRINGS = {
    "model": "name of a registered model; --list_models shows them",
    "output_dir": "where the run goes (default: runs/<model>-<dataset>)",
    "data_dir": "prepared TFDS data (default: TFDS_DATA_DIR, or ~/tensorflow_datasets)",
    "manual_dir": "files that were downloaded by hand, for TFDS to prepare",
    "image_size": "resize images to this many pixels a side, or to HxW, such as 218x178",
    "init_from": "start from the weights of a run or preset, where they fit",
    "binarization": "static, dynamic, threshold or none (default: the data set's own)",
}
# None: what the recipe of the model on the data set says.
_NUMBERS = {
    "epochs": (int, None, "how long: passes over the training split"),
    "steps": (int, None, "how long: optimizer steps, instead of --epochs"),
    "minutes": (
        float,
        None,
        "how long: as many steps as fit, measured once; the schedule fits them too",
    ),
    "batch_size": (int, None, "images a step, all workers together"),
    "learning_rate": (float, None, "Adam's, at its highest"),
    "patience": (int, None, "stop after so many epochs without a better validation loss; 0: never"),
    "ema": (float, None, "momentum of the averaged weights that are evaluated; 0: none"),
    "skip_norm": (float, None, "skip steps whose gradient norm is beyond this"),
    "max_minutes": (
        float,
        None,
        "stop after so many minutes of training, within an epoch too: the model is that of the "
        "best whole epoch, or has the last weights if there is none; the same command with more "
        "minutes goes on",
    ),
    "seed": (int, 0, "of weights, data order and noise"),
    "crop": (int, None, "cut this many pixels a side out of the centre first"),
    "channels": (int, None, "1: take all images as grey; 3: as colour (default: as they are)"),
    "memory_budget_mb": (int, 2048, "images beyond this are read from a file on disk"),
    "report_images": (int, 1000, "test images of the report, at most"),
    "report_samples": (int, 200, "importance samples for each of them"),
}
_CHOICES = {
    "schedule": (None, ["constant", "cosine"], "of the learning rate"),
    "precision": (
        "float32",
        ["float32", "mixed_bfloat16", "mixed_float16"],
        "dtype policy of the layers",
    ),
    "jit": ("auto", ["auto", "on", "off"], "XLA; auto: on GPUs only"),
    "strategy": (
        "one",
        ["one", "mirrored", "multi_worker"],
        "one device; all GPUs of this process; or many processes (TF_CONFIG)",
    ),
}
_SWITCHES = {
    "resume": "expect a run in --output_dir (the same command goes on by itself)",
    "overwrite": "delete the run that lies in --output_dir",
    "bce": "train a Bernoulli cross-entropy on grey values: no likelihood, reported as BCE",
    "skip_broken": "leave out image files that cannot be read, and count them",
    "list_models": "list the models and stop",
    "list_datasets": "list the data sets and stop",
}


def _define_flags():
    for name, text in _STRINGS.items():
        flags.DEFINE_string(name, None, text, flag_values=FLAGS)
    for name, (kind, default, text) in _NUMBERS.items():
        define = flags.DEFINE_integer if kind is int else flags.DEFINE_float
        define(name, default, text, flag_values=FLAGS)
    for name, (default, values, text) in _CHOICES.items():
        flags.DEFINE_enum(name, default, values, text, flag_values=FLAGS)
    for name, text in _SWITCHES.items():
        flags.DEFINE_bool(name, False, text, flag_values=FLAGS)
    flags.DEFINE_string(
        "dataset",
        "digits",
        "a data set (--list_datasets), a folder of images, a zip or tar of one, a .npz or .npy",
        flag_values=FLAGS,
    )
    flags.DEFINE_list(
        "augment",
        None,
        "change training images at random: flip, shift, crop, colour (a list with commas)",
        flag_values=FLAGS,
    )
    flags.DEFINE_multi_string(
        "set",
        [],
        "name=value: a constructor argument of the model, such as latent_size=2 (repeatable)",
        flag_values=FLAGS,
    )


_define_flags()


def train(given=None):
    """Trains a model on a data set and writes its run: checkpoints, model, figures, pictures.

    Example: python -m vae_zoo.train --model=conv_vae
    """
    given = sys.argv[1:] if given is None else given
    if FLAGS.list_models or FLAGS.list_datasets:
        print(list_models() if FLAGS.list_models else list_datasets())
        return
    spec = registry.spec(_required_model())
    recipe = recipes.recipe(FLAGS.model, FLAGS.dataset)
    wished = {**recipe.arguments, **registry.parse_settings(FLAGS["set"].value)}
    _check_numbers()
    if _is_done_already(given):
        return
    strategy = _strategy() if FLAGS.strategy == "multi_worker" else None
    dataset = _dataset_settings()
    splits = datasets.load(seed=FLAGS.seed, default_batch_size=recipe.batch_size, **dataset)
    dataset["batch_size"] = splits.batch_size
    for note in splits.notes:
        print(f"note: {note}")

    from vae_zoo import runs, training
    from vae_zoo.runs import initial

    directory = pathlib.Path(FLAGS.output_dir or f"runs/{FLAGS.model}-{_plain_name(splits.name)}")
    strategy = strategy or _strategy()
    chief = training.is_chief(strategy)
    arguments = _arguments(spec, splits, wished)
    limits.check(FLAGS.model, arguments, wished)
    settings = _training_settings(recipe, splits, arguments, directory)
    arguments = _with_fitting_warmup(arguments, settings, splits)
    with strategy.scope():
        model = registry.create_model(FLAGS.model, **arguments)
        training.compile_model(model, settings, splits.steps_per_epoch)
    _say_if_large(model)
    config = runs.describe(
        FLAGS.model, model.get_config(), dataset, settings._asdict(), _command(given), splits
    )
    if not chief:
        if FLAGS.init_from:
            initial.copy_weights(model, FLAGS.init_from)
        training.train(model, splits, directory, settings, strategy=strategy)
        return
    with runs.held(directory):
        _train_in(directory, model, splits, config, settings, strategy)


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


def _train_in(directory, model, splits, config, settings, strategy):
    """Trains a model in a directory that no other process writes to; prints what becomes of it."""
    from vae_zoo import runs, training
    from vae_zoo.runs import finished, initial

    resumed = runs.open_run(directory, config, overwrite=FLAGS.overwrite, resume=FLAGS.resume)
    report = finished.report_of(directory, FLAGS.max_minutes) if resumed else None
    if report is not None:
        print(finished.text(directory, report))
        return
    if FLAGS.init_from and not (resumed and training.is_started(directory)):
        print(f"note: {initial.copy_weights(model, FLAGS.init_from)}")
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
    _finish(directory, model, splits, config, outcome)


def train_run(model, dataset="digits", output_dir=None, *, arguments=None, **settings):
    """Does in Python what `python -m vae_zoo.train` does, and returns the run's folder.

    The recipe of the model on the data set says what is not given. The run holds checkpoints, the
    model, figures and pictures; vae_zoo.load_run opens it, and the same call goes on with it.

    Args:
        model: the name of a registered model.
        dataset: a name or a path; see vae_zoo.load_dataset.
        output_dir: the run's folder; None is runs/<model>-<dataset>.
        arguments: constructor arguments of the model, such as {"latent_size": 2}.
        **settings: the command's other flags, such as epochs=5, minutes=2, overwrite=True.

    Returns:
        The folder, a pathlib.Path.

    Raises:
        UserError: as the command.

    Example:
        run = vae_zoo.train("conv_vae", "digits", minutes=2)
        images = vae_zoo.load_run(run).generate(seed=0)
    """
    if not isinstance(model, str):
        raise errors.UserError(
            f"train of {type(model).__name__}: expected a model's name, for a run that can be "
            "opened again. model.fit(images) trains an object; vae_zoo.register names a class."
        )
    dataset = os.fspath(dataset)
    output_dir = output_dir or f"runs/{model}-{_plain_name(dataset)}"
    given = {"model": model, "dataset": dataset, "output_dir": output_dir, **settings}
    argv = [_flag(name, value) for name, value in given.items() if value is not None]
    argv += [f"--set={name}={value!r}" for name, value in (arguments or {}).items()]
    for name in FLAGS:
        FLAGS[name].unparse()
    try:
        cli.parse(FLAGS, ["train", *argv])
        train(argv)
    finally:
        FLAGS.unparse_flags()
    return pathlib.Path(output_dir)


def _flag(name, value):
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    return f"--{name}={','.join(map(str, value)) if isinstance(value, (list, tuple)) else value}"


def list_models():
    """Returns the registry as a table: name, idea, source, parameters, tags."""
    rows = [("name", "idea", "source", "parameters", "tags")]
    for name in registry.model_names():
        spec = registry.spec(name)
        tags = ", ".join(spec.tags)
        rows.append((name, spec.idea, spec.source, f"{spec.parameters:,}", tags))
    return cli.table(rows)


def list_datasets():
    """Returns the data sets as a table, and what else --dataset takes."""
    rows = [("name", "what it is", "binarization")]
    rows += [(name, spec.idea, spec.binarization) for name, spec in datasets.DATASETS.items()]
    return cli.table(rows) + (
        "\nalso any other image data set of tensorflow-datasets, a folder of images "
        "(class/image, split/class/image), a zip or tar of one, a .npz or .npy file"
    )


def _finish(directory, model, splits, config, outcome):
    """Writes what a finished run leaves: model.keras, report.json, pictures; prints the summary."""
    from vae_zoo import progress, runs
    from vae_zoo.runs import report

    fresh = runs.save_model(model, directory / runs.MODEL)
    num_images, num_samples = _report_size(report, fresh, splits, outcome)
    bar = progress.Progress(1, "evaluating")
    figures = report.model_figures(
        fresh,
        splits,
        config,
        num_images=num_images,
        num_samples=num_samples,
        progress=bar,
    )
    bar.close()
    report.draw(directory, fresh, splits, FLAGS.seed)
    written = report.write_report(directory, fresh, splits, config, outcome, figures)
    print(report.summary(directory, written))


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


def _check_numbers():
    lengths = [f"--{name}={FLAGS[name].value}" for name in _LENGTHS if FLAGS[name].present]
    if len(lengths) > 1:
        raise errors.UserError(f"{' and '.join(lengths)}: expected one of them at a time.")
    least = dict.fromkeys(("epochs", "steps", "batch_size", "report_images", "report_samples"), 1)
    for name, value in {**least, "patience": 0, "memory_budget_mb": 0}.items():
        given = FLAGS[name].value
        if given is not None and given < value:
            raise errors.UserError(f"--{name}={given}: expected at least {value}.")
        if given is not None and given > _MOST:
            raise errors.UserError(f"--{name}={given}: expected at most {_MOST:,}.")
    for name in ("learning_rate", "minutes", "max_minutes", "skip_norm"):
        given = FLAGS[name].value
        if given is not None and not 0 < given <= _MOST:
            raise errors.UserError(
                f"--{name}={given}: expected a number above 0, at most {_MOST:,}."
            )
    if FLAGS.ema is not None and not 0 <= FLAGS.ema < 1:
        raise errors.UserError(f"--ema={FLAGS.ema}: expected 0 (off) or a momentum below 1.")
    if not -(2**31) <= FLAGS.seed < 2**31:
        raise errors.UserError(f"--seed={FLAGS.seed}: expected a whole number that fits in int32.")


def _dataset_settings():
    names = ("batch_size", "crop", "binarization", "data_dir", "manual_dir", "memory_budget_mb")
    settings = {name: FLAGS[name].value for name in (*names, "image_size", "channels")}
    if (FLAGS.image_size or "").isdigit():
        settings["image_size"] = int(FLAGS.image_size)
    given = {"augment": FLAGS.augment or None, "skip_broken": FLAGS.skip_broken or None}
    return {"name": FLAGS.dataset, **given, **settings}


def _training_settings(recipe, splits, arguments, directory):
    """Returns the Settings; says the splits how long an epoch is, where steps are asked for."""
    from vae_zoo import training

    chosen = {}
    for name in training.Settings._fields:
        given = FLAGS[name].value
        chosen[name] = getattr(recipe, name) if given is None and hasattr(recipe, name) else given
    settings = training.Settings(**chosen)
    if FLAGS.epochs:
        return settings._replace(steps=None)
    if FLAGS.minutes:
        settings = settings._replace(steps=_fitting_steps(settings, splits, arguments, directory))
    if settings.steps is None:
        return settings
    epochs, splits.steps_per_epoch = training.plan(settings.steps, splits.steps_per_pass)
    return settings._replace(epochs=epochs)


def _fitting_steps(settings, splits, arguments, directory):
    """Returns the steps of --minutes: those that the run was begun with, or measured now."""
    from vae_zoo import runs, training

    if (directory / runs.CONFIG).exists() and not FLAGS.overwrite:
        begun = runs.read_config(directory)["training"]
        if begun.get("minutes") == FLAGS.minutes and begun.get("steps"):
            return begun["steps"]
    if FLAGS.strategy != "one":
        raise errors.UserError(
            f"--minutes={FLAGS.minutes:g} with --strategy={FLAGS.strategy}: the speed is measured "
            "on one device. Expected --steps or --epochs."
        )
    return training.steps_in(
        FLAGS.minutes,
        lambda: registry.create_model(FLAGS.model, **arguments),
        splits,
        settings,
    )


def _with_fitting_warmup(arguments, settings, splits):
    """Returns the arguments, a recipe's warm-up of the rate at most a fifth of a short training."""
    named = {text.partition("=")[0] for text in FLAGS["set"].value}
    if "warmup_steps" not in arguments or "warmup_steps" in named or settings.steps is None:
        return arguments
    steps = settings.epochs * splits.steps_per_epoch
    return {**arguments, "warmup_steps": min(arguments["warmup_steps"], steps // _WARMUP)}


def _arguments(spec, splits, wished):
    """Returns the constructor arguments that the data and the flags decide."""
    cls = registry.model_class(FLAGS.model)
    given = {
        "image_shape": splits.image_shape,
        "likelihood": "bernoulli" if FLAGS.bce else splits.likelihood,
        "seed": FLAGS.seed,
        "dtype": FLAGS.precision,
    }
    latent_size = registry.latent_size(FLAGS.model, splits.image_shape)
    if latent_size and FLAGS.dataset.split("/")[0] not in datasets.DATASETS:
        given["latent_size"] = latent_size
    known = registry.constructor_arguments(cls)
    if "dataset_size" in known:
        given["dataset_size"] = splits.num_train
    if cls.needs_labels:
        given["num_classes"] = _num_classes(splits, wished)
    for name in ("image_shape", "dtype", "seed", "name"):
        if name in wished:
            flag = {"image_shape": "image_size", "dtype": "precision"}.get(name, name)
            raise errors.UserError(f"--set {name}=...: expected the flag --{flag} for that.")
    arguments = {**given, **wished}
    _check_likelihood(splits, arguments["likelihood"])
    return arguments


def _say_if_large(model):
    count = model.count_params()
    if count > _LARGE:
        print(
            f"note: {FLAGS.model} has {count / 1e6:,.0f} million weights for images of "
            f"{' x '.join(map(str, model.image_shape))}; convolutional models, such as conv_vae, "
            "have far fewer"
        )


def _num_classes(splits, wished):
    if splits.num_classes is None:
        raise errors.UserError(
            f"{FLAGS.model} needs labels, and {splits.name} has none. Expected a labelled data "
            "set, such as digits or mnist, or a model without labels."
        )
    given = wished.get("num_classes", splits.num_classes)
    if isinstance(given, int) and given < splits.num_classes:
        raise errors.UserError(
            f"--set num_classes={given}: {splits.name} has {splits.num_classes} classes. Expected "
            "at least that, or the argument left out."
        )
    return splits.num_classes


def _check_likelihood(splits, likelihood):
    grey = splits.binarization == "none"
    if likelihood == "bernoulli" and grey and not FLAGS.bce:
        raise errors.UserError(
            f"a Bernoulli is no likelihood of the grey values of {splits.name}. Expected "
            "likelihood=discretized_logistic (or normal or continuous_bernoulli, which are "
            "densities), or --binarization=dynamic; --bce trains the "
            "cross-entropy all the same and reports it as BCE."
        )
    if likelihood != "bernoulli" and FLAGS.bce:
        raise errors.UserError(
            f"--bce and likelihood={likelihood} exclude each other. Expected one of them."
        )
    if likelihood != "bernoulli" and not grey:
        raise errors.UserError(
            f"likelihood={likelihood} is of grey values, and {splits.name} is binary "
            f"(binarization {splits.binarization}). Expected bernoulli, or --binarization=none."
        )
    if FLAGS.bce and not grey:
        raise errors.UserError(
            f"--bce is for grey values, and {splits.name} is binary (binarization "
            f"{splits.binarization}): leave the flag out, or add --binarization=none."
        )


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


def _command(given):
    return "python -m vae_zoo.train " + shlex.join(given)


def main():
    """The command's entry point."""
    cli.run(train, FLAGS)


class _Callable(types.ModuleType):
    """This module, which `vae_zoo.train` names, as a function: vae_zoo.train("conv_vae")."""

    __call__ = staticmethod(train_run)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    main()
