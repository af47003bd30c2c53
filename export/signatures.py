"""The one place that says what each signature computes, and which model has which.

    decode(z [N, D])                -> image (the likelihood's mean, in [0, 1]), logits (Bernoulli)
    sample(seed int32 [N, 2])       -> image, z
    encode(image)                   -> mean, stddev (of the top layer, in a hierarchy)
    reconstruct(image)              -> image
    elbo(image, seed int32 [N, 2])  -> elbo, in nats, [N]

A conditional model takes `label`, int32 [N], in each of them. `z` is what the image was made of:
for vq_vae the codes, whole numbers as float32 [N, h * w]; for vdm the noise z_1. One row in, one
row out: no result depends on the batch that it travels in.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from vae_zoo import errors
from vae_zoo.probability import elbo, noise

NAMES = ("decode", "sample", "encode", "reconstruct", "elbo")
SAVED_MODEL_ONLY = ("elbo",)

_FLOW = {
    "encode": "the mean and stddev of a flow have no closed form; reconstruct has what stands for "
    "them, the base's mean carried through the flow"
}
# What a model cannot support, and why: by class, of the model, its prior or its posterior; for it
# and the classes derived from it.
UNSUPPORTED = {
    "Hierarchy": {
        "decode": "one z does not hold a hierarchy: the layers below the top one have noise of "
        "their own; sample draws all of them, and gives the top layer's z"
    },
    **dict.fromkeys(("InverseAutoregressiveFlow", "AmortizedFlow"), _FLOW),
    "WrappedNormalPosterior": _FLOW,
    "WithoutDensity": {"elbo": "the fitted prior draws latents and gives no density of them"},
    "VQVAE": {
        "decode": "its latents are codes of a codebook, which no vector of numbers stands for: "
        "sample draws them from the learned prior and gives them as z",
        "encode": "its posterior is one code for each place, with neither mean nor deviation",
    },
    "VDM": {
        "decode": "an image comes of many denoising steps, not of one z: sample takes them, and "
        "gives the noise that it starts from as z",
        "encode": "its posterior is the image with noise, fixed and not learned",
        "reconstruct": "the noise at time 0 is too weak to change an image",
    },
}

_EXAMPLE_SEED = 2026


class Tensor(NamedTuple):
    """One row of an input: its shape without the batch, its dtype's name, its allowed values."""

    shape: tuple
    dtype: str
    values: str


class Signature(NamedTuple):
    """One signature of one model.

    Attributes:
        name: one of NAMES.
        inputs: {name: Tensor}.
        function: takes the inputs as tensors [N, ...], returns {output name: tensor [N, ...]}.
    """

    name: str
    inputs: dict
    function: Callable


def unsupported(model):
    """Returns {signature: why not} of what a model cannot support."""
    reasons = {}
    for part in (model.prior_part, model.posterior_part, model):
        for cls in reversed(type(part).__mro__):
            reasons.update(UNSUPPORTED.get(cls.__name__, {}))
    return reasons


def signatures(model, names=NAMES):
    """Returns {name: Signature} of what a model supports, in the order of NAMES.

    Args:
        model: a vae_zoo.VAE.
        names: which of NAMES.

    Raises:
        UserError: for an unknown name, or a model that no signature can be made of.
    """
    for name in names:
        if name not in NAMES:
            raise errors.unknown("signature", name, NAMES)
    check_model(model)
    missing = unsupported(model)
    found = [name for name in NAMES if name in names and name not in missing]
    return {name: _signature(model, name) for name in found}


def input_values(model):
    """Returns {input: its allowed values, in words} of what a model's signatures take."""
    found = signatures(model).values()
    return {key: tensor.values for each in found for key, tensor in each.inputs.items()}


def default(found):
    """Returns the name that `serving_default` stands for: decode, or else sample."""
    return "decode" if "decode" in found else next(iter(found))


def input_specs(signature, batch=None):
    """Returns the tf.TensorSpecs of a signature's inputs, for a batch size or for any."""
    return [
        tf.TensorSpec([batch, *tensor.shape], tensor.dtype, name=name)
        for name, tensor in signature.inputs.items()
    ]


def examples(model, found, count):
    """Returns inputs to try signatures with, always the same: {signature: {name: array [N, ...]}}.

    They are draws of the model: z of its prior, images in the values that its likelihood takes.

    Args:
        model: a vae_zoo.VAE.
        found: {name: Signature}.
        count: N.
    """
    wanted = {name for signature in found.values() for name in signature.inputs}
    made = {"seed": noise.rows(_EXAMPLE_SEED, count)}
    if "label" in wanted:
        made["label"] = np.arange(count, dtype=np.int32) % model.num_classes
    if "z" in wanted:
        made["z"] = np.asarray(model.sample_prior(made["seed"], made.get("label")))
    if "image" in wanted:
        made["image"] = _example_images(model, made["seed"], made.get("label"))
    return {name: {key: made[key] for key in signature.inputs} for name, signature in found.items()}


def checked(signature, num_classes=None):
    """Returns a Signature that fails, with a message, for inputs that do not belong together.

    For a SavedModel: TFLite has no operation that could fail. Without it, one row of seed would
    go with every image, and a label that is no class would give an image of zeros.

    Args:
        signature: a Signature.
        num_classes: how many labels there are, where it takes some.
    """

    def function(*values):
        named = dict(zip(signature.inputs, values, strict=True))
        asserted = [*_same_rows(signature.name, named), *_known_labels(named, num_classes)]
        with tf.control_dependencies(asserted):
            return signature.function(*(tf.identity(value) for value in values))

    return signature._replace(function=function)


def _same_rows(name, values):
    (first, leading), *others = values.items()
    for key, value in others:
        yield tf.debugging.assert_equal(
            tf.shape(leading)[0],
            tf.shape(value)[0],
            f"{name}: expected as many rows of {key} as of {first}",
        )


def _known_labels(values, num_classes):
    if "label" in values:
        known = (values["label"] >= 0) & (values["label"] < num_classes)
        message = f"label: expected whole numbers from 0 to {num_classes - 1}"
        yield tf.debugging.Assert(tf.reduce_all(known), [message, values["label"]])


def run(signature, inputs):
    """Returns what the signature gives in Keras itself, eagerly: {name: array [N, ...]}."""
    outputs = signature.function(*(tf.constant(inputs[name]) for name in signature.inputs))
    return {name: np.asarray(value) for name, value in outputs.items()}


def _example_images(model, seed, label):
    image = np.asarray(model.sample(seed, label)[0])
    if model.likelihood_name == "bernoulli":
        draws = np.random.default_rng(_EXAMPLE_SEED).random(image.shape)
        return (draws < image).astype(np.float32)
    return (np.round(image * 255.0) / 255.0).astype(np.float32)


def check_model(model):
    """Raises a UserError for a model that no signature can be made of."""
    if not all(hasattr(model, name) for name in ("sample", "terms", "image_shape")):
        raise errors.UserError(
            f"{type(model).__name__} has no decoder signature: expected a model of vae_zoo (a "
            "subclass of vae_zoo.VAE), which says how to decode and sample. Export such a run."
        )


def _signature(model, name):
    inputs = {
        "decode": ("z",),
        "sample": ("seed",),
        "encode": ("image",),
        "reconstruct": ("image",),
        "elbo": ("image", "seed"),
    }[name]
    inputs += ("label",) if model.needs_labels else ()
    tensors = {name: _tensor(model, name) for name in inputs}
    return Signature(name, tensors, _positional(_COMPUTE[name], model, inputs))


def _tensor(model, name):
    if name == "z":
        return Tensor((model.latent_size,), "float32", "standard normal where the prior is")
    if name == "seed":
        return Tensor((2,), "int32", "any int32; row i of seed s is [s, i]")
    if name == "label":
        return Tensor((), "int32", f"0 to {model.num_classes - 1}")
    binary = model.likelihood_name == "bernoulli"
    return Tensor(model.image_shape, "float32", "0 or 1" if binary else "k / 255 in [0, 1]")


def _positional(compute, model, names):
    """Returns compute(model, **inputs) as a function of the inputs in order.

    Serving takes its input names from the tf.TensorSpecs.
    """

    def function(*values):
        checked = {
            name: tf.ensure_shape(value, [None, *_tensor(model, name).shape])
            for name, value in zip(names, values, strict=True)
        }
        return compute(model, **checked)

    return function


def _decode(model, z, label=None):
    likelihood = model.likelihood(z, label)
    outputs = {"image": likelihood.mean()}
    if model.likelihood_name == "bernoulli":
        outputs["logits"] = likelihood.distribution.logits
    return outputs


def _sample(model, seed, label=None):
    with model.fixed_prior(constant=True):  # the weights are final
        image, z = model.sample(seed, label)
    return {"image": image, "z": z}


def _encode(model, image, label=None):
    posterior = model.posterior(image, label)
    return {"mean": posterior.mean(), "stddev": posterior.stddev()}


def _reconstruct(model, image, label=None):
    return {"image": model.reconstruct(image, label)}


def _elbo(model, image, seed, label=None):
    with model.fixed_prior(constant=True):
        terms = model.terms({"image": image, "label": label}, seed=seed)
    return {"elbo": elbo.elbo(terms)}


_COMPUTE = {
    "decode": _decode,
    "sample": _sample,
    "encode": _encode,
    "reconstruct": _reconstruct,
    "elbo": _elbo,
}
