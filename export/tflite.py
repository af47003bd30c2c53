"""TFLite files: fixed-batch signatures, built-in operations only, quantised after conversion.

The converter's own quantisation would damage the sampler's integer arithmetic: ai-edge-quantizer
works on the finished float32 file and touches nothing but weights and, in `full_int8`, activations.
"""

import contextlib
import importlib.util
import json
import logging
import pathlib
import tempfile
from typing import NamedTuple

from export import flatbuffer, saved_model, signatures
from vae_zoo import errors

BATCHES = (1, 16)
FLOAT32 = "float32"
METADATA = "vae_zoo"  # the metadata entry's name; its content is JSON
_CALIBRATION_DRAWS = 256


class Limit(NamedTuple):
    """How far a file may be from Keras: the largest difference of a pixel, or the least PSNR."""

    max_difference: float | None = None
    psnr_db: float | None = None


# Quantised formats and float32: what each may cost. The latents are exact to 1e-5 in all of them.
LIMITS = {
    FLOAT32: Limit(max_difference=1e-5),
    "float16": Limit(psnr_db=50.0),
    "int8": Limit(psnr_db=30.0),
    "full_int8": Limit(psnr_db=25.0),
}
QUANTIZED = tuple(name for name in LIMITS if name != FLOAT32)
DEFAULT_QUANTIZED = ("float16", "int8")
Z_LIMIT = 1e-5


def export_tflite(
    model,
    directory,
    *,
    name=None,
    quantize=DEFAULT_QUANTIZED,
    names=signatures.NAMES,
    dynamic_batch=False,
    label_names=None,
):
    """Writes the TFLite files of a model.

    Args:
        model: a vae_zoo.VAE.
        directory: where to write <name>-<format>.tflite.
        name: of the files; None is the model's.
        quantize: which of QUANTIZED beside float32: "float16", "int8" (dynamic-range weights),
            "full_int8" (decode alone, weights and activations, calibrated on the prior).
        names: which signatures, of signatures.NAMES; `elbo` has none here.
        dynamic_batch: write <name>-dynamic-float32.tflite too, of any batch size, float only.
        label_names: the classes' names, for the metadata.

    Returns:
        {format: pathlib.Path}.

    Raises:
        UserError: for an unknown format, a model without signatures, a missing extra.
    """
    check_formats(quantize)
    check_installed()
    directory, name = pathlib.Path(directory), name or model.name
    directory.mkdir(parents=True, exist_ok=True)
    names = [each for each in names if each not in signatures.SAVED_MODEL_ONLY]
    found = signatures.signatures(model, names)
    metadata = describe(model, found, label_names)
    contents = {FLOAT32: convert(found.values())}
    for kind in quantize:
        if kind != "full_int8":
            contents[kind] = quantized(model, kind, found.values(), contents[FLOAT32])
        elif "decode" in found:
            contents[kind] = quantized(model, kind, [found["decode"]])
    if dynamic_batch:
        contents["dynamic-float32"] = convert(found.values(), batches=(None,))
    paths = {}
    for kind, content in contents.items():
        paths[kind] = directory / f"{name}-{kind}.tflite"
        paths[kind].write_bytes(flatbuffer.with_metadata(content, METADATA, metadata))
    return paths


def check_formats(quantize):
    """Raises a UserError for a format that is not one of QUANTIZED."""
    for name in quantize:
        if name not in QUANTIZED:
            raise errors.unknown("quantised format", name, QUANTIZED)


def check_installed():
    """Raises a UserError where the extra `export` is not installed."""
    for package in ("ai_edge_litert", "ai_edge_quantizer"):
        if importlib.util.find_spec(package) is None:
            raise errors.UserError(
                f"TFLite files need {package.replace('_', '-')}. Install the extra: "
                "pip install 'vae_zoo[export]', or take --formats=saved_model."
            )


def describe(model, found, label_names=None):
    """Returns a file's metadata: what a program needs to know to use it, as JSON."""
    latent_size = found["decode"].inputs["z"].shape[0] if "decode" in found else None
    description = {
        "model": model.name,
        "latent_size": latent_size,
        "image_shape": list(model.image_shape),
        "value_range": [0.0, 1.0],
        "likelihood": model.likelihood_name,
        "num_classes": model.num_classes if model.needs_labels else None,
        "label_names": list(label_names) if label_names else None,
        "unsupported": signatures.unsupported(model),
    }
    return json.dumps(description).encode()


def convert(found, batches=BATCHES):
    """Returns a float32 TFLite file, as bytes, of Signatures at fixed batch sizes.

    Args:
        found: Signatures.
        batches: sizes; each makes a signature `name_size`. None: any size, `name`.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as scratch, _quiet():
        saved_model.write_archive(found, scratch, batches)
        keys = [
            signature.name if batch is None else f"{signature.name}_{batch}"
            for signature in found
            for batch in batches
        ]
        converter = tf.lite.TFLiteConverter.from_saved_model(scratch, signature_keys=keys)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        return converter.convert()


def quantized(model, kind, found, content=None, batches=BATCHES):
    """Returns a quantised file, as bytes.

    Args:
        model: a vae_zoo.VAE.
        kind: one of QUANTIZED.
        found: Signatures.
        content: their float32 file, where it is at hand.
        batches: fixed batch sizes.
    """
    content = convert(found, batches) if content is None else content
    if kind != "full_int8":
        return _quantized(content, _RECIPES[kind]())
    data = {
        f"{signature.name}_{batch}": list(
            _batches(signatures.examples(model, signature, _CALIBRATION_DRAWS), batch)
        )
        for signature in found
        for batch in batches
    }
    return _quantized(content, _full_int8(), data)


def _batches(arrays, size):
    count = len(next(iter(arrays.values())))
    for start in range(0, count, size):
        yield {name: array[start : start + size] for name, array in arrays.items()}


def _quantized(content, recipe, calibration=None):
    from ai_edge_quantizer import quantizer

    with _quiet():
        worker = quantizer.Quantizer(bytearray(content), recipe)
        statistics = worker.calibrate(calibration, num_threads=1) if calibration else None
        result = worker.quantize(
            statistics, enable_progress_bar=False, enable_progress_report=False
        )
    return bytes(result.quantized_model)


def _float16():
    from ai_edge_quantizer import qtyping, quantizer, recipe_manager

    manager = recipe_manager.RecipeManager()
    weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    manager.add_quantization_config(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=weights,
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING,
    )
    return manager.get_quantization_recipe()


def _int8():
    from ai_edge_quantizer import recipe

    return recipe.dynamic_wi8_afp32()


def _full_int8():
    """Returns the static recipe, inputs and outputs left float32: the same dtypes in all files."""
    from ai_edge_quantizer import qtyping, quantizer, recipe_manager

    manager = recipe_manager.RecipeManager()
    operations = qtyping.TFLOperationName
    manager.add_static_config(".*", operations.ALL_SUPPORTED, 8, 8)
    for edge in (operations.INPUT, operations.OUTPUT):
        manager.add_quantization_config(
            ".*", edge, algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE
        )
    return manager.get_quantization_recipe()


_RECIPES = {"float16": _float16, "int8": _int8}


@contextlib.contextmanager
def _quiet():
    """Keeps the libraries' warnings about shared buffers, and their progress bars, away."""
    with tempfile.TemporaryFile("w") as sink, contextlib.redirect_stderr(sink):
        previous = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            with contextlib.redirect_stdout(sink):
                yield
        finally:
            logging.disable(previous)
