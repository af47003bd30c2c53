"""What users give to a model, checked: what was expected, what came, the remedy."""

import numpy as np
import tensorflow as tf

from vae_zoo import errors, networks
from vae_zoo.probability import posteriors, priors

# Every name that a part of a model can have.
PARTS = {
    "network": (*networks.DEFAULT_HIDDEN, "unet"),
    "prior": tuple(priors.PRIORS),
    "posterior": tuple(posteriors.POSTERIORS),
}
# What a model combines with that does not say.
PLAIN = {
    "network": tuple(networks.DEFAULT_HIDDEN),
    "prior": ("standard",),
    "posterior": ("normal",),
}

# What an object has to have that is a prior, a posterior or a likelihood of a user's own.
OWN = {
    "likelihood": ("outputs", "distribution", "get_config", "from_config"),
    "prior": ("distribution", "draw", "get_config", "from_config"),
    "posterior": ("parameters", "distribution", "get_config", "from_config"),
}
_MOST_BLOCKS = 1000


def activation(name):
    """Returns the name of what is between the layers; a UserError for another one."""
    if name not in networks.ACTIVATIONS:
        raise errors.unknown("activation", name, networks.ACTIVATIONS)
    return name


def own_part(argument, value):
    """Raises a UserError for an object that is no prior, posterior or likelihood; see OWN."""
    if argument not in OWN:
        raise errors.unknown(argument, value, PARTS[argument])
    lacking = [name for name in OWN[argument] if not hasattr(value, name)]
    if lacking:
        raise errors.UserError(
            f"{argument}={value!r:.60}: expected a name, or an object with "
            f"{', '.join(OWN[argument])}; it has no {lacking[0]}."
        )


def parts(model_class, **names):
    """Raises a UserError for parts that do not go with a model class, or with one another.

    Args:
        model_class: a VAE class. What it combines with is its own `combines`, {argument: allowed
            names}: a subclass does not inherit it, because it may use no prior or posterior.
        **names: network, prior and posterior; a prior or a posterior may be an object, see OWN.
    """
    allowed = {**PLAIN, **vars(model_class).get("combines", {})}
    for argument, name in names.items():
        if not isinstance(name, str):
            own_part(argument, name)
            if argument not in vars(model_class).get("combines", {}):
                raise errors.UserError(
                    f"{argument}={name!r:.60} does not combine with {model_class.__name__}, which "
                    "has none of its own. Leave it out."
                )
            continue
        if name not in PARTS[argument]:
            raise errors.unknown(argument, name, PARTS[argument])
        if name not in allowed[argument]:
            raise errors.UserError(
                f"{argument}={name!r} does not combine with {model_class.__name__}. Expected "
                f"{argument} to be {_either(allowed[argument])}."
            )
    if not all(isinstance(names[argument], str) for argument in ("prior", "posterior")):
        return
    posterior, possible = names["posterior"], priors.PRIORS[names["prior"]].posteriors
    if posterior not in possible:
        raise errors.UserError(
            f"prior={names['prior']!r} does not combine with posterior={posterior!r}. Expected "
            f"posterior to be {_either(possible)} with it, or another prior, such as 'mixture'."
        )


def principal(value, model, is_plain):
    """Returns whether principal components go past a model; a UserError where they cannot.

    Args:
        value: the argument, True or False.
        model: a built VAE.
        is_plain: whether its features are VAE's, the posterior's parameters.
    """
    if not isinstance(value, bool):
        raise errors.UserError(f"principal={value!r:.60}: expected True or False.")
    if not value:
        return False
    own = [name for name in ("encoder", "decoder") if model.own_part(name) is not None]
    if own or not is_plain or model.posterior_head.units < 2 * model.latent_size:
        kind = f"{own[0]}= of your own" if own else type(model).__name__
        raise errors.UserError(f"principal=True does not combine with {kind}. Leave it out.")
    if model.posterior_name != "normal" or not hasattr(model.likelihood_part, "moved"):
        raise errors.UserError(
            f"principal=True does not combine with posterior={model.posterior_name!r} and "
            f"likelihood={model.likelihood_name!r}. Expected posterior='normal' and "
            "likelihood='discretized_logistic' or 'normal'."
        )
    return True


def no_latent_size(model_class, given):
    """Raises a UserError for a latent_size given to a model whose latents follow from its maps."""
    if "latent_size" in given:
        raise errors.UserError(
            f"latent_size={given['latent_size']!r}: the latents of {model_class.__name__} are "
            "a map. Expected latent_channels, the latent dimensions at each place."
        )


def labels(label, count, model_class):
    """Raises a UserError for labels that are not one class for each image, if they can be read.

    Args:
        label: what came: anything like an array, or a tensor of a graph, or None.
        count: how many classes there are.
        model_class: for the message.
    """
    wished = f"one whole number from 0 to {count - 1} for each image"
    if label is None:
        raise errors.UserError(
            f"{model_class.__name__} is conditional and got no label. Expected label=[...], "
            f"{wished}; for fit, y=labels or data of (images, labels)."
        )
    value = tf.get_static_value(label) if tf.is_tensor(label) else np.asarray(label)
    if value is None:  # known only when the graph runs
        return
    whole = value.ndim == 1 and np.issubdtype(value.dtype, np.integer)
    if not whole or np.any((value < 0) | (value >= count)):
        raise errors.UserError(f"label={value.tolist()!r:.60}: expected {wished}.")


def seed(value):
    """Returns a run seed; a UserError where it is no whole number that fits in int32."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or not -(2**31) <= value < 2**31:
        raise errors.UserError(f"seed={value!r}: expected a whole number that fits in int32.")
    return int(value)


def seed_rows(seed):
    """Returns rows of seed, int32 [N, 2]; a UserError where they are none."""
    if tf.is_tensor(seed):
        rows, whole = seed, seed.dtype.is_integer
    else:
        rows = np.asarray(seed)
        whole = rows.dtype.kind in "iu" and np.array_equal(rows, rows.astype(np.int32))
    if not whole or len(rows.shape) != 2 or rows.shape[1] != 2 or rows.shape[0] == 0:
        raise errors.UserError(
            f"seed={seed!r:.60}: expected a whole number, or whole numbers of shape [N, 2] that "
            "fit in int32, a row for each image; see vae_zoo.noise.rows."
        )
    return tf.cast(rows, tf.int32)


def capacity(value, free_bits):
    """Returns the nats that the rate is held at, or None; a UserError where free bits come too."""
    if value is None:
        return None
    if free_bits:
        raise errors.UserError(
            f"free_bits={free_bits!r}: expected 0 with capacity={value!r}, which says by itself "
            "what the rate may be."
        )
    return errors.at_least("capacity", value, 0)


def num_classes(count, model_class):
    """Returns how many classes there are, or None; a UserError where the model class needs some."""
    if count is not None:
        return errors.at_least("num_classes", count, 1, whole=True)
    if model_class.needs_labels:
        raise errors.UserError(
            f"{model_class.__name__} is conditional: expected num_classes of at least 1, got "
            "None. Take a data set with labels, such as digits or mnist."
        )


def image_shape(shape):
    """Returns (height, width, channels) as whole numbers, or raises a UserError."""
    if not isinstance(shape, (tuple, list, tf.TensorShape)):
        raise errors.UserError(
            f"image_shape={shape!r}: expected (height, width, channels), such as (28, 28, 1)."
        )
    valid = len(shape) == 3 and all(int(n) == n and n > 0 for n in shape) and shape[-1] in (1, 3)
    if not valid:
        raise errors.UserError(
            f"image_shape={tuple(shape)}: expected (height, width, channels) with 1 or 3 channels."
        )
    return tuple(int(n) for n in shape)


def _either(names):
    return " or ".join(map(repr, names))


def blocks(value):
    """Returns how many residual blocks a resolution has; a UserError for what is no such number."""
    return errors.at_least("blocks", value, 0, whole=True, most=_MOST_BLOCKS)
