"""A model's arguments are its configuration: kept as they were given, saved and loaded."""

import inspect

import keras

_OBJECTS = ("encoder", "decoder", "prior", "posterior", "likelihood")  # that may be objects


class Configured:
    """A keras.Model that is configured by its constructor's arguments alone."""

    def __new__(cls, *args, **kwargs):
        instance = super().__new__(cls, *args, **kwargs)
        object.__setattr__(instance, "_arguments", _named_arguments(cls, args, kwargs))
        return instance

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable("vae_zoo")(cls)

    def get_config(self):
        given = {
            name: keras.saving.serialize_keras_object(value)
            if name in _OBJECTS and value is not None and not isinstance(value, str)
            else value
            for name, value in self._arguments.items()
        }
        return {**given, "dtype": self.dtype_policy.name, "name": self.name}

    @classmethod
    def from_config(cls, config):
        own = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in _OBJECTS
            if isinstance(config.get(name), dict)
        }
        return cls(**{**config, **own})


def _named_arguments(cls, args, kwargs):
    """Returns {name: value} of a constructor's arguments; those of *args by the names of a base."""
    constructors = [vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base)]
    named = {}
    for constructor in constructors:
        parameters = inspect.signature(constructor).parameters.values()
        bound = inspect.signature(constructor).bind_partial(None, *args, **kwargs)
        kinds = {parameter.kind: parameter.name for parameter in parameters}
        given = dict(list(bound.arguments.items())[1:])
        args = given.pop(kinds.get(inspect.Parameter.VAR_POSITIONAL), ())
        kwargs = given.pop(kinds.get(inspect.Parameter.VAR_KEYWORD), {})
        named |= given
        if not args:
            break
    return {**named, **kwargs}
