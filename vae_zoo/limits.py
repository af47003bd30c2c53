"""Models that no machine can hold, refused before they are built."""

import math
import os

from vae_zoo import errors, registry

_SMALL = 4096  # arguments below this are never worth a look
_MEASURED = (4, 8)  # sizes of the two small models: all arguments allow them
_COPIES = 4  # of a parameter while it trains: weight, gradient and Adam's two moments
_BYTES = 4 * _COPIES


def check(name, arguments, wished, batch_size):
    """Raises a UserError for an argument that makes a model larger than this machine's memory.

    How many parameters a large argument brings is measured on two small models and drawn out in a
    straight line: the least that they can be, for no argument makes a model smaller as it grows.

    Args:
        name: of the model.
        arguments: all of the constructor's.
        wished: names of those that the user gave.
        batch_size: images a step: each meets all components of a mixture.
    """
    for argument in sorted(wished):
        value = arguments[argument]
        size = _largest(value)
        if size < _SMALL:
            continue
        one, two = (_parameters(name, arguments, argument, number) for number in _MEASURED)
        count = one + (two - one) / (_MEASURED[1] - _MEASURED[0]) * (size - _MEASURED[0])
        needed = count * _BYTES
        if argument == "components":
            # Each image's distance from each in each dimension, its density and that's gradient.
            needed += 4 * batch_size * size * (arguments.get("latent_size", 1) + 2)
        if needed > _memory():
            raise errors.UserError(
                f"--set {argument}={str(value):.40}: the model would have about {count:.1e} "
                f"parameters, and need {needed / 1e9:.1e} GB while it trains; this machine has "
                f"{_memory() / 1e9:.0f} GB. Expected a smaller {argument}."
            )


def _largest(value):
    """Returns the largest whole number of an argument; 0 for one that is no size."""
    if isinstance(value, (tuple, list)):
        return max(map(_largest, value), default=0)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _parameters(name, arguments, argument, number):
    """Returns how many weights a model has with every large number of an argument replaced."""

    def small(value):
        if isinstance(value, (tuple, list)):
            return tuple(map(small, value))
        return number if _largest(value) >= _SMALL else value

    others = {key: small(value) if key == argument else value for key, value in arguments.items()}
    model = registry.create_model(name, **others)
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def _memory():
    """Returns the bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
