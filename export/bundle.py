"""One export directory: the SavedModel, the TFLite files, what was recorded of them, a README.

    export.json       what is here, and its figures
    recorded.npz      inputs and Keras's outputs of every signature, for export.verify
    README.md         how to serve and call it
    models.config, batching.config, monitoring.config, compose.yaml
    saved_model/<name>/<version>/
    tflite/<name>-<format>.tflite
    stablehlo/<name>.json, a program for each signature, and what reads them
"""

import pathlib
import time

import numpy as np

from export import (
    agreement,
    extras,
    flatbuffer,
    guide,
    layout,
    nats,
    quality,
    saved_model,
    serving,
    signatures,
    stablehlo,
    tflite,
)
from vae_zoo import errors, runs

FORMATS = ("saved_model", "tflite", "stablehlo")
DEFAULT_FORMATS = ("saved_model", "tflite")


def export_model(
    model,
    output_dir,
    *,
    name=None,
    formats=DEFAULT_FORMATS,
    quantize=tflite.DEFAULT_QUANTIZED,
    tflite_signatures=signatures.NAMES,
    dynamic_batch=False,
    max_batch_size=saved_model.MAX_BATCH_SIZE,
    label_names=None,
    splits=None,
):
    """Writes an export directory, or a new version into one.

    Everything is written next to its place and moved there at the end: a failed export leaves what
    was there as it was.

    Args:
        model: a vae_zoo.VAE.
        output_dir: a directory that is new, empty, or an export of the same name, all of whose
            files this one renews: a directory is of one model.
        name: letters, digits and underscores; None is the model's.
        formats: which of FORMATS.
        quantize: which of tflite.QUANTIZED.
        tflite_signatures: the signatures of the TFLite files; see tflite.export_tflite.
        dynamic_batch: a float TFLite file of any batch size too.
        max_batch_size: the largest batch that a server forms.
        label_names: the classes' names, for export.json, the README and the TFLite metadata.
        splits: vae_zoo.datasets.Splits to measure the quantised decoders' NLL on; None: not.

    Returns:
        The content of export.json.

    Raises:
        UserError: for an unknown format, an output that is not an export or holds more than this
            one would renew, a model without signatures, a file that is further from Keras than
            export.verify allows.
    """
    signatures.check_model(model)
    output_dir = pathlib.Path(output_dir)
    name = saved_model.check_name(model.name if name is None else name)
    check_request(formats, quantize, max_batch_size)
    layout.check_output(output_dir, name, kinds(formats, quantize, dynamic_batch))
    with layout.staged(output_dir) as written:
        manifest = _header(model, name, label_names)
        if "saved_model" in formats:
            manifest["saved_model"] = _write_saved_model(
                model, written, output_dir, name, max_batch_size
            )
        if "tflite" in formats:
            options = {"names": tflite_signatures, "dynamic_batch": dynamic_batch}
            options |= {"quantize": quantize, "label_names": label_names}
            manifest["tflite"] = _write_tflite(model, written, name, options, splits)
        if "stablehlo" in formats:
            manifest["stablehlo"] = stablehlo.export_stablehlo(model, written, name=name)
        _record(model, written / layout.RECORDED, max_batch_size)
        _check_agreement(written, manifest)
        guide.write(written / "README.md", manifest)
        runs.write_json(written / layout.MANIFEST, manifest)
    return manifest


def check_request(formats, quantize=(), max_batch_size=saved_model.MAX_BATCH_SIZE):
    """Raises a UserError for formats that are unknown or whose packages are not installed."""
    for what, given in (("formats", formats), ("quantize", quantize)):
        if isinstance(given, str):
            raise errors.UserError(f"{what}={given!r}: expected a list of names, [{given!r}].")
    if not formats:
        raise errors.UserError(f"no format: expected some of {', '.join(FORMATS)}.")
    for each in formats:
        if each not in FORMATS:
            raise errors.unknown("format", each, FORMATS)
    tflite.check_formats(quantize)
    if max_batch_size < max(tflite.BATCHES):
        raise errors.UserError(
            f"max_batch_size={max_batch_size}: expected at least {max(tflite.BATCHES)}."
        )
    extras.check(formats)


def kinds(formats, quantize=(), dynamic_batch=False):
    """Returns what an export consists of: its formats; for TFLite, the kinds of its files."""
    found = [each for each in formats if each != "tflite"]
    if "tflite" in formats:
        found += [tflite.FLOAT32, *quantize, *[tflite.DYNAMIC] * dynamic_batch]
    return found


def _header(model, name, label_names):
    return {
        "name": name,
        "model": type(model).__name__,
        "prior": model.prior_name,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": runs.versions(),
        "image_shape": list(model.image_shape),
        "needs_labels": bool(model.needs_labels),
        "label_names": list(label_names) if label_names else None,
        "inputs": signatures.input_values(model),
        "unsupported": signatures.unsupported(model),
        "tolerance": agreement.tolerance(model)._asdict(),
    }


def _write_saved_model(model, written, output_dir, name, max_batch_size):
    base = pathlib.Path("saved_model") / name
    version = saved_model.next_version(output_dir / base)
    place = saved_model.export_saved_model(
        model, written / base, version=version, max_batch_size=max_batch_size
    )
    serving.write_configuration(written, name, max_batch_size)
    return {
        "path": str(base / str(version)),
        "version": version,
        "max_batch_size": max_batch_size,
        "parameter_bytes": sum(int(weight.numpy().nbytes) for weight in model.weights),
        "variable_bytes": saved_model.variable_bytes(place),
        "graph_bytes": (place / "saved_model.pb").stat().st_size,
        "signatures": saved_model.read_signatures(place),
    }


def _write_tflite(model, written, name, options, splits):
    paths = tflite.export_tflite(model, written / "tflite", name=name, **options)
    reference = quality.Reference(model)
    section = {}
    for kind, path in paths.items():
        measured = (
            quality.measure_quality(path, reference)
            if kind in tflite.FORMATS
            else flatbuffer.read(path)._asdict()
        )
        section[kind] = {"path": str(path.relative_to(written)), **measured}
    if splits is not None:
        for kind, figures in nats.measure_nats(model, paths, splits).items():
            section[kind]["test"] = figures
    return section


def _record(model, path, max_batch_size):
    """Writes inputs and Keras's outputs of every signature at the largest batch."""
    arrays, found = {}, signatures.signatures(model)
    for name, inputs in signatures.examples(model, found, max_batch_size).items():
        outputs = signatures.run(found[name], inputs)
        arrays |= {f"{name}/input/{key}": value for key, value in inputs.items()}
        arrays |= {f"{name}/output/{key}": value for key, value in outputs.items()}
    np.savez_compressed(path, **arrays)


def _check_agreement(written, manifest):
    """Raises a UserError for a file that is further from Keras than export.verify allows."""
    from export import checks  # it reads what this module writes

    allowed = agreement.Tolerance(**manifest["tolerance"])
    export = checks.Export(written, manifest, layout.read_recorded(written), allowed)
    for path, check in checks.agreement_of(export):
        try:
            check()
        except checks.Failed as reason:
            raise errors.UserError(
                f"{path} does not give what Keras gives: {reason}. Nothing was exported. Leave "
                "this format out (--formats, --quantize), or train the model anew."
            ) from reason
