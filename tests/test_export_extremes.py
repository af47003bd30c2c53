"""Formats agree with Keras whatever the weights: where scales, logits and locations are at their
bounds, no runtime may overflow.
"""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from export import agreement, saved_model, signatures, tflite
from vae_zoo.probability import stable

ROWS = 16
MODELS = ("conv_vae", "vdm")  # an 8-bit mean with a softplus; a schedule with one


def as_trained(model):
    """Weights of the size that training makes: the untrained ones, twice as large."""
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(2 * variable)


def pushed(model, size=1e3):
    """Last biases of +-1000: logits, locations and log scales at and beyond their bounds."""
    rng = np.random.default_rng(0)
    own = {v.name: v for v in getattr(model.likelihood_part, "weights", [])}
    if own:
        own["pixel_mean"].assign(rng.choice([-1.0, 1.0], model.image_shape))  # black or white
        own["log_scale"].assign(size * rng.choice([-1.0, 1.0], own["log_scale"].shape))
    for variable in last_biases(model):
        variable.assign(size * rng.choice([-1.0, 1.0], variable.shape))


def with_components(model):
    """As trained, and principal components whose coordinates are far from 0."""
    as_trained(model)
    rng = np.random.default_rng(0)
    model.start_at(rng.random((60, *model.image_shape), np.float32))
    model.principal_path.gains.assign(rng.uniform(1, 5, model.latent_size))


def last_biases(model):
    channels = model.image_shape[-1]
    outputs = model.likelihood_part.outputs if model.likelihood_part else channels
    wanted = {outputs, outputs * 28 * 28, 4 * outputs, 2 * model.latent_size}
    return [v for v in model.trainable_variables if v.name == "bias" and v.shape[0] in wanted]


CASES = [
    ("bernoulli", as_trained),
    ("bernoulli", pushed),
    ("discretized_logistic", as_trained),
    ("discretized_logistic", pushed),
]
MIXTURE = {"likelihood": "discretized_logistic", "scale": "pixel", "mixture_components": 2}
VARIANTS = [  # of conv_vae alone
    (MIXTURE, as_trained),  # weights of logits of 1000 and 1000 are rounding errors
    ({"likelihood": "normal", "scale": "channel"}, pushed),
    ({"likelihood": "continuous_bernoulli"}, pushed),
    ({"likelihood": "discretized_logistic", "principal": True}, with_components),
]


@pytest.mark.parametrize("likelihood, change", CASES)
@pytest.mark.parametrize("name", MODELS)
def test_formats_agree_at_the_bounds(name, likelihood, change, tiny, tmp_path):
    check_formats(tiny(name, likelihood=likelihood), change, tmp_path)


@pytest.mark.parametrize("variant, change", VARIANTS)
def test_formats_agree_for_every_likelihood(variant, change, tiny, tmp_path):
    check_formats(tiny("conv_vae", **variant), change, tmp_path)


def check_formats(model, change, tmp_path):
    change(model)
    found = signatures.signatures(model)
    inputs = signatures.examples(model, found, ROWS)
    expected = {key: signatures.run(found[key], inputs[key]) for key in found}
    for outputs in expected.values():
        assert all(np.isfinite(value).all() for value in outputs.values())
    allowed = agreement.tolerance(model)
    for kind, results in results_of(model, inputs, tmp_path).items():
        for key, outputs in results.items():
            assert all(np.isfinite(value).all() for value in outputs.values()), (kind, key)
            if kind in ("saved_model", tflite.FLOAT32):
                differences = agreement.row_differences(outputs, expected[key])
                assert agreement.agrees(differences, allowed), (kind, key, differences)


def results_of(model, inputs, directory):
    """Returns {format: {signature: outputs}} of the SavedModel and of every TFLite file."""
    place = saved_model.export_saved_model(model, directory / model.name)
    served = tf.saved_model.load(str(place)).signatures
    results = {"saved_model": {}}
    for key, arrays in inputs.items():
        outputs = served[key](**{name: tf.constant(value) for name, value in arrays.items()})
        results["saved_model"][key] = {name: value.numpy() for name, value in outputs.items()}
    drawn = [name for name in signatures.NAMES if name not in signatures.SAVED_MODEL_ONLY]
    found = signatures.signatures(model, drawn).values()
    content = tflite.convert(found, batches=(ROWS,))
    float16 = tflite.quantized(model, "float16", found, content)
    for kind, file in {tflite.FLOAT32: content, "float16": float16}.items():
        interpreter = Interpreter(model_content=file, num_threads=1)
        names = {key: f"{key}_{ROWS}" for key in inputs}
        held = interpreter.get_signature_list()
        there = {key: name for key, name in names.items() if name in held}
        results[kind] = {
            key: interpreter.get_signature_runner(name)(**inputs[key])
            for key, name in there.items()
        }
    return results


def test_softplus_overflows_nowhere():
    @tf.function(input_signature=[tf.TensorSpec([9], tf.float32)], autograph=False)
    def softplus(x):
        return stable.softplus(x)

    x = np.float32([-1e30, -1e3, -89, -5, 0, 5, 89, 1e3, 1e30])
    concrete = softplus.get_concrete_function()
    content = tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    for values in (found, softplus(x)):
        exact = np.logaddexp(0, x.astype(np.float64))
        np.testing.assert_allclose(values, exact, rtol=1e-6, atol=2e-7)
