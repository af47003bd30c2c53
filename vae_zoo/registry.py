"""What is known of models by their names, without TensorFlow; model_table has them."""

import ast
import fnmatch
import importlib
import inspect
import math

from vae_zoo import errors
from vae_zoo.model_table import MODELS, ModelSpec

# Tags of models whose latent_size does not follow the image.
_FIXED_LATENTS = {"disentanglement", "discrete", "diffusion", "map"}
_SMALL_IMAGE = 1024  # numbers: 32 x 32 x 1
_OWN = {}  # what `register` adds


def register(name, target, *, arguments=None, tiny=None, idea="", source="", tags=()):
    """Makes a model of one's own known by a name, to create_model and to the commands.

    The commands need to import it: python -m vae_zoo.train --import=my_package --model=my_vae

    Args:
        name: what it is to be called; registering it again replaces it.
        target: a subclass of VAE, or "module:Class".
        arguments: constructor arguments that make it this model.
        tiny: further arguments that make it small, for tests.
        idea: one line on it.
        source: its paper.
        tags: words to search by.

    Raises:
        UserError: for the name of a model of the zoo, or one that is no name.
    """
    if name in MODELS:
        raise errors.UserError(f"register {name!r}: a model of the zoo. Expected another name.")
    if not isinstance(name, str) or not name.isidentifier():
        raise errors.UserError(f"register {name!r}: expected letters, digits and _, as 'my_vae'.")
    if isinstance(target, str) and ":" not in target:
        raise errors.UserError(f"register {name!r}: expected a class, or 'module:Class'.")
    _OWN[name] = ModelSpec(target, arguments or {}, tiny or {}, idea, source, 0, tuple(tags))


def model_names():
    """Returns the registered names."""
    return [*MODELS, *_OWN]


def list_models(filter="*", tag=None):  # noqa: A002 - timm's name
    """Returns the names of models, as timm.list_models does.

    Args:
        filter: a pattern with wildcards, such as "*conv*".
        tag: only those with this tag, such as "conditional"; see ModelSpec.

    Raises:
        UserError: for a tag that no model has.
    """
    tags = {each for name in model_names() for each in spec(name).tags}
    if tag is not None and tag not in tags:
        raise errors.unknown("tag", tag, tags)
    found = fnmatch.filter(model_names(), filter)
    return [name for name in found if tag is None or tag in spec(name).tags]


def spec(name):
    """Returns a model's ModelSpec.

    Raises:
        UserError: for an unknown name, with the closest one.
    """
    found = MODELS.get(name) or _OWN.get(name)
    if found is None:
        raise errors.unknown("model", name, model_names())
    return found


def model_class(name):
    """Returns a model's class; imports TensorFlow."""
    target = spec(name).target
    if isinstance(target, type):
        return target
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def name_of(model):
    """Returns the name that a model object's class is registered by.

    Raises:
        UserError: for something that is not a model, or a model whose class is not registered.
    """
    cls = type(model)
    target = f"{cls.__module__}:{cls.__qualname__}"
    names = [name for name in model_names() if spec(name).target in (cls, target)]
    if not names:
        raise errors.UserError(
            f"train of {cls.__name__}: expected a model's name, or an object of a registered "
            f"class. Give vae_zoo.register('my_vae', {cls.__name__}) for a class of your own, so "
            "that its run can be opened again; model.fit(images) trains any model."
        )
    return model.name if model.name in names else names[0]


def latent_size(name, image_shape):
    """Returns how many latent dimensions a model should have for images of no known data set.

    The registered number is for up to 1,024 numbers an image (32 x 32 x 1). Beyond that it grows
    with the square root of them, in steps of 8: 32 becomes 112 for 64 x 64 x 3, and 440 for
    256 x 256 x 3.

    Args:
        name: a registered model.
        image_shape: (H, W, C).

    Returns:
        The number; None for models that have few dimensions on purpose, to be looked at one by
        one, or no vector of latents.
    """
    if _FIXED_LATENTS & set(spec(name).tags):
        return None
    default = inspect.signature(model_class(name).__init__).parameters["latent_size"].default
    default = spec(name).arguments.get("latent_size", default)
    growth = math.sqrt(math.prod(image_shape) / _SMALL_IMAGE)
    return default if growth <= 1 else max(default, 8 * round(default * growth / 8))


def create_model(name, *, tiny=False, **arguments):
    """Returns a new model.

    Args:
        name: a registered name; see model_names().
        tiny: make it small, for tests.
        **arguments: of the model's constructor, over the registered ones; image_shape at least.

    Raises:
        UserError: for an unknown model or argument, or a value that makes no sense.
    """
    cls = model_class(name)
    known = constructor_arguments(cls)
    for argument in arguments:
        if argument not in known:
            raise errors.unknown(f"argument of {name}", argument, known)
    small = spec(name).tiny if tiny else {}
    return cls(**{"name": name, **spec(name).arguments, **small, **arguments})


def constructor_arguments(cls):
    """Returns the names of all arguments that a model class takes, its bases' included."""
    names = {"name", "dtype"}
    for base in cls.__mro__:
        if base.__module__.startswith("keras."):
            break
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        rest = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        names |= {p.name for p in parameters if p.kind not in rest and p.name != "self"}
    return names


def parse_settings(settings):
    """Returns {"beta": 4.0} of ["beta=4.0"]: values are Python literals, or else strings.

    Raises:
        UserError: for a setting without "=".
    """
    parsed = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            raise errors.UserError(
                f"--set={setting}: expected name=value, such as --set latent_size=16."
            )
        try:
            parsed[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            parsed[name] = value
    return parsed
