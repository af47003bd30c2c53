"""Export: a SavedModel for TF Serving, TFLite files for phones, one seed the same picture in each.

    model = vae_zoo.load_run("runs/conv_vae-digits")
    export.export_model(model, "exports/conv_vae")
    results = list(export.verify_export("exports/conv_vae"))

Command lines: python -m export, python -m export.verify, python -m export.client.
"""

import importlib

# Public names and the modules they come from; imported when first used (PEP 562), so that
# `--help` does not wait for TensorFlow.
_NAMES = {
    "export_model": "export.bundle:export_model",
    "export_saved_model": "export.saved_model:export_saved_model",
    "export_stablehlo": "export.stablehlo:export_stablehlo",
    "export_tflite": "export.tflite:export_tflite",
    "measure_quality": "export.quality:measure_quality",
    "measure_nats": "export.nats:measure_nats",
    "signatures": "export.signatures",
    "verify_export": "export.verify:verify_export",
    "GrpcClient": "export.client:GrpcClient",
    "RestClient": "export.client:RestClient",
}
__all__ = list(_NAMES)


def __getattr__(name):
    if name not in _NAMES:
        raise AttributeError(f"module 'export' has no attribute {name!r}")
    module, _, attribute = _NAMES[name].partition(":")
    loaded = importlib.import_module(module)
    return getattr(loaded, attribute) if attribute else loaded


def __dir__():
    return __all__
