"""What the flags of the training command ask for: data, settings, the model."""

import functools

import numpy as np

from vae_zoo import datasets, errors, limits, registry
from vae_zoo.train_flags import FLAGS

_GO_TOGETHER = 0.5  # correlation of two colours of a pixel, over training images less their mean
_WARMUP = 5  # at most this part of a training of so many steps warms up the rate


def dataset_settings():
    """Returns the arguments of datasets.load, as config.json keeps them."""
    names = ("batch_size", "crop", "binarization", "data_dir", "manual_dir", "memory_budget_mb")
    settings = {name: FLAGS[name].value for name in (*names, "image_size", "channels")}
    if (FLAGS.image_size or "").isdigit():
        settings["image_size"] = int(FLAGS.image_size)
    given = {"augment": FLAGS.augment or None, "skip_broken": FLAGS.skip_broken or None}
    return {"name": FLAGS.dataset, **given, **settings}


def model_of_flags(spec, splits, wished):
    """Returns a function that makes the model; arguments given to it go over those of the flags.

    Args:
        spec: the registry's ModelSpec.
        splits: datasets.Splits.
        wished: constructor arguments of the recipe and of --set.

    Raises:
        UserError: for arguments that do not fit the data, or this machine.
    """
    arguments = _model_arguments(spec, splits, wished)
    kept = arguments.keys() & wished
    limits.check(FLAGS.model, arguments, kept, splits.batch_size // FLAGS.accumulate)
    return functools.partial(registry.create_model, FLAGS.model, **arguments)


def own_model(model, splits, wished):
    """Returns a function that makes a copy of a model object, after a look at whether it fits.

    Args:
        model: a VAE.
        splits: datasets.Splits.
        wished: as for model_of_flags; the object has its arguments already.

    Raises:
        UserError: for a model of other images, classes or pixels than the data has.
    """
    del wished
    if model.image_shape != tuple(splits.image_shape):
        raise errors.UserError(
            f"the model takes images {model.image_shape}, and {splits.name} has images "
            f"{tuple(splits.image_shape)}. Expected image_shape={tuple(splits.image_shape)}, or "
            "the setting image_size."
        )
    if model.needs_labels:
        _num_classes(splits, {"num_classes": model.num_classes})
    if isinstance(model.get_config().get("likelihood", "bernoulli"), str):
        _check_likelihood(splits, model.likelihood_name)
    return functools.partial(type(model).from_config, model.get_config())


def as_begun(directory, spec, recipe, wished):
    """Returns recipe and arguments; defaults are those that a run in a directory was begun with.

    Args:
        directory: the --output_dir, with a run of an earlier version or not.
        spec: the registry's ModelSpec.
        recipe: a Recipe.
        wished: as for model_of_flags.
    """
    from vae_zoo import runs

    begun = runs.begun_without(directory, "arguments")
    arguments = {name: value for name, value in begun.items() if name in spec.arguments}
    wished = {k: v for k, v in wished.items() if k not in begun or k in _set()}
    return recipe._replace(**runs.begun_without(directory, "training")), {**arguments, **wished}


def refuse_for_own(name, arguments, settings):
    """Raises a UserError for what a model object says by itself, given to vae_zoo.train again."""
    if arguments:
        raise errors.UserError(
            f"train of a {name} with arguments={arguments}: the object has its own. Expected a "
            "name with arguments, or an object without."
        )
    for setting in {"model", "seed", "precision", "set"} & settings.keys():
        raise errors.UserError(f"train of a {name} with {setting}=...: the object has its own.")
    if settings.get("strategy", "one") != "one":
        raise errors.UserError(
            f"train of a {name} with strategy={settings['strategy']}: expected a model's name, so "
            "that each device makes its variables."
        )


def training_settings(recipe, splits, directory, create):
    """Returns the Settings; says the splits how long an epoch is, where steps are asked for.

    Args:
        recipe: what is not given by a flag.
        splits: datasets.Splits.
        directory: of the run.
        create: a function that makes the model, to measure its speed.
    """
    from vae_zoo import training

    chosen = {}
    for name in training.Settings._fields:
        given = FLAGS[name].value
        chosen[name] = getattr(recipe, name) if given is None and hasattr(recipe, name) else given
    settings = training.Settings(**chosen)
    if FLAGS.epochs:
        return settings._replace(steps=None)
    if FLAGS.minutes:
        settings = settings._replace(steps=_fitting_steps(settings, splits, directory, create))
    if settings.steps is None:
        return settings
    epochs, splits.steps_per_epoch = training.plan(settings.steps, splits.steps_per_pass)
    return settings._replace(epochs=epochs)


def _fitting_steps(settings, splits, directory, create):
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
    return training.steps_in(FLAGS.minutes, create, splits, settings)


def fitting_warmup(create, settings, splits):
    """Returns arguments: a recipe's warm-up of the rate, at most a fifth of a short training.

    Args:
        create: of model_of_flags.
        settings: the Settings.
        splits: datasets.Splits.
    """
    arguments = create.keywords
    if "warmup_steps" not in arguments or "warmup_steps" in _set() or settings.steps is None:
        return {}
    steps = settings.epochs * splits.steps_per_epoch
    return {"warmup_steps": min(arguments["warmup_steps"], steps // _WARMUP)}


def _set():
    """Returns the names of the constructor arguments that --set gives."""
    return {text.partition("=")[0] for text in FLAGS["set"].value}


def _model_arguments(spec, splits, wished):
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
    if "principal" not in _set() and not _has_locations(arguments):
        arguments.pop("principal", None)  # a recipe's, for pictures of 8 bits
    if _takes_linear_channels(cls, splits, arguments):
        arguments = {"channels": "linear", **arguments}
    return arguments


def _has_locations(arguments):
    """Returns whether pixels and the posterior have locations, which components could be added to.

    Unlike binary pixels', or a posterior's that is a flow.
    """
    from vae_zoo.probability.likelihoods import LIKELIHOODS

    located = hasattr(LIKELIHOODS[arguments["likelihood"]], "moved")
    return located and arguments.get("posterior", "normal") == "normal"


def _takes_linear_channels(cls, splits, arguments):
    """Returns whether green is to be modelled given red, and blue given both, if nobody says.

    So the colours of photographs are, which rise and fall together. Where they do not, the slopes
    only have to be learned to be nothing.
    """
    if arguments["likelihood"] != "discretized_logistic" or splits.image_shape[-1] != 3:
        return False
    if "linear" not in cls.combines.get("channels", ("linear",)):
        return False
    from vae_zoo.training import start

    images = start.evenly_spaced(splits)
    colours = (images - images.mean(0)).reshape(-1, 3)
    with np.errstate(invalid="ignore"):  # of a colour that never changes: nan
        correlations = np.corrcoef(colours, rowvar=False)[[0, 0, 1], [1, 2, 2]]
    return bool(np.min(correlations) > _GO_TOGETHER)


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
