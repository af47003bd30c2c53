"""TFLite files: fixed-batch signatures, built-in operations only, quantised after conversion.

The converter's own quantisation would damage the sampler's integer arithmetic: ai-edge-quantizer
works on the finished float32 file and touches nothing but weights and, in `full_int8`, activations.
"""

import contextlib
import json
import logging
import pathlib
import tempfile

from export import extras, flatbuffer, saved_model, signatures
from vae_zoo import errors

BATCHES = (1, 16)
FLOAT32 = "float32"
METADATA = "vae_zoo"  # the metadata entry's name; its content is JSON
_CALIBRATION_DRAWS = 256
_LAYERS = (  # the operations that `full_int8` computes in 8 bits
    *("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D_TRANSPOSE", "RESHAPE", "RELU"),
)


# Quantised formats, and the least PSNR of their images against Keras's. float32 keeps to the
# model's agreement.Tolerance, and so do the latents in all of them, but for those of a network.
LEAST_PSNR_DB = {"float16": 50.0, "int8": 30.0, "full_int8": 25.0}
QUANTIZED = tuple(LEAST_PSNR_DB)
DEFAULT_QUANTIZED = ("float16", "int8")
FORMATS = (FLOAT32, *QUANTIZED)  # those of fixed batches
DYNAMIC = "dynamic-float32"


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
        quantize: which of QUANTIZED, added to float32: "float16", "int8" (dynamic-range weights),
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
    extras.check(("tflite",))
    directory, name = pathlib.Path(directory), name or model.name
    directory.mkdir(parents=True, exist_ok=True)
    names = [each for each in names if each not in signatures.SAVED_MODEL_ONLY]
    found = signatures.signatures(model, names)
    if not {"decode", "sample"} & set(found):
        raise errors.UserError(
            f"TFLite signatures {', '.join(found) or 'none'}: expected decode or sample among them."
        )
    metadata = describe(model, found, label_names)
    contents = {FLOAT32: convert(found.values())}
    for kind in quantize:
        if kind != "full_int8":
            contents[kind] = quantized(model, kind, found.values(), contents[FLOAT32])
        elif "decode" in found:
            contents[kind] = quantized(model, kind, [found["decode"]])
    if dynamic_batch:
        contents[DYNAMIC] = convert(found.values(), batches=(None,))
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

    with tempfile.TemporaryDirectory() as scratch, saved_model.no_space_told(scratch), _quiet():
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
    named = {signature.name: signature for signature in found}
    draws = signatures.examples(model, named, _CALIBRATION_DRAWS)
    data = {
        f"{name}_{batch}": list(_batches(inputs, batch))
        for name, inputs in draws.items()
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
    return flatbuffer.with_outputs_of(bytes(result.quantized_model), content)


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
    """Returns the static recipe of the network's layers.

    Inputs and outputs stay float32, the same dtypes in all files, and so does the likelihood: its
    exponentials need more than 8 bits.
    """
    from ai_edge_quantizer import qtyping, quantizer, recipe_manager

    manager = recipe_manager.RecipeManager()
    for layer in _LAYERS:
        manager.add_static_config(".*", qtyping.TFLOperationName(layer), 8, 8)
    for edge in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
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
