"""What must hold of an export: each check returns its figures, or raises Failed or NotRun."""

import functools
import importlib.util
import pathlib
from typing import NamedTuple

import numpy as np
from google.protobuf import text_format

from export import (
    agreement,
    flatbuffer,
    jobs,
    layout,
    saved_model,
    serving,
    signatures,
    stablehlo,
    tflite,
)
from vae_zoo import errors

_INT32 = np.iinfo(np.int32)


class Failed(Exception):
    """A check that does not hold; the message says why."""


class NotRun(Exception):
    """A check that cannot be made here; the message says why."""


class Export(NamedTuple):
    """An export directory, read.

    Attributes:
        directory: pathlib.Path.
        manifest: the content of export.json.
        recorded: {signature: (inputs, outputs)} of Keras, at the largest batch.
        tolerance: the model's agreement.Tolerance.
    """

    directory: pathlib.Path
    manifest: dict
    recorded: dict
    tolerance: agreement.Tolerance

    @property
    def version_dir(self):
        """The SavedModel; raises NotRun where the export has none."""
        if "saved_model" not in self.manifest:
            raise NotRun("no SavedModel in this export")
        return self.directory / self.manifest["saved_model"]["path"]

    @property
    def largest(self):
        """The largest batch."""
        return self.manifest["saved_model"]["max_batch_size"]

    def rows(self, name, rows):
        """Returns (inputs, outputs) recorded for a slice of rows; serving_default is an alias."""
        key = signatures.default(self.recorded) if name == serving.DEFAULT else name
        return tuple({k: v[rows] for k, v in part.items()} for part in self.recorded[key])


def read(export_dir):
    """Returns the Export in a directory.

    Raises:
        UserError: where there is none, or a file is missing or is not the one that was exported.
    """
    directory = pathlib.Path(export_dir)
    manifest = layout.read_manifest(directory)
    try:
        return _read(directory, manifest)
    except errors.UserError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, OSError) as error:
        raise errors.UserError(
            f"{directory / layout.MANIFEST} cannot be read ({error!r}): export again."
        ) from error


def _read(directory, manifest):
    allowed = agreement.Tolerance(**manifest["tolerance"])
    export = Export(directory, manifest, layout.read_recorded(directory), allowed)
    if "saved_model" in manifest and not (export.version_dir / "saved_model.pb").is_file():
        raise errors.UserError(f"{export.version_dir} holds no SavedModel: export again.")
    for figures in manifest.get("tflite", {}).values():
        path = directory / figures["path"]
        _check_sum(path, flatbuffer.read(path).sha256, figures)
    for figures in manifest.get("stablehlo", {}).get("signatures", {}).values():
        path = directory / figures["path"]
        if not path.is_file():
            raise errors.UserError(f"{path} is missing: export again.")
        _check_sum(path, stablehlo.checksum(path), figures)
    return export


def _check_sum(path, found, figures):
    if found != figures["sha256"]:
        raise errors.UserError(
            f"{path} is not the file that was exported: its SHA-256 is not that of "
            f"{layout.MANIFEST}. It is corrupt, or was changed: export again."
        )


def agreement_of(export):
    """Yields (path, check) of each file: whether it gives what Keras gave, within its limit."""
    if "saved_model" in export.manifest:
        yield export.manifest["saved_model"]["path"], functools.partial(loads, export, "c_api")
    for kind, figures in export.manifest.get("tflite", {}).items():
        yield figures["path"], functools.partial(tflite_file, export, kind)
    if "stablehlo" in export.manifest and _has_jax():
        path = export.manifest["stablehlo"]["path"]
        yield path, functools.partial(stablehlo_programs, export)


def loads(export, how):
    """Every signature gives the recorded outputs at batch 1, 3 and the largest."""
    described = saved_model.read_signatures(export.version_dir)
    missing = sorted({*export.recorded, serving.DEFAULT} - set(described))
    if missing:
        raise Failed(f"no signature {', '.join(missing)}")
    calls, expected = [], []
    for name in sorted(described):
        for count in (1, 3, export.largest):
            inputs, outputs = export.rows(name, slice(count))
            calls.append(_call(name, inputs, described))
            expected.append(outputs)
    worst = _compare(_run(how, export.version_dir, calls), calls, expected, export.tolerance)
    return (
        f"{len(described)} signatures at batch 1, 3 and {export.largest}, at most {worst:.1e} off"
    )


def warmup(export):
    """The warm-up records cover every signature at batch 1 and the largest, and replay."""
    described = saved_model.read_signatures(export.version_dir)
    try:
        records = serving.read_warmup(export.version_dir)
    except Exception as error:  # TensorFlow's and protobuf's own
        message = str(error).splitlines()[0]
        raise Failed(f"{serving.WARMUP} cannot be read: {message}") from error
    found = {(name, len(next(iter(inputs.values())))) for name, inputs in records}
    wanted = {(name, count) for name in described for count in (1, export.largest)}
    if found != wanted:
        name, count = sorted(found ^ wanted)[0]
        raise Failed(f"{name} at batch {count} is not among the records, or among the signatures")
    calls = [_call(name, inputs, described) for name, inputs in records]
    expected = [
        export.rows(call.signature, slice(len(next(iter(call.arrays.values())))))[1]
        for call in calls
    ]
    worst = _compare(_run("c_api", export.version_dir, calls), calls, expected, export.tolerance)
    return f"{len(records)} records replay, at most {worst:.1e} off"


def rest_rules(export):
    """What TF Serving's REST interface and its batching ask of every input and output."""
    described = saved_model.read_signatures(export.version_dir)
    for name, signature in described.items():
        for key, tensor in [*signature["inputs"].items(), *signature["outputs"].items()]:
            where = f"{name}: {key} {tensor['dtype']} {tensor['shape']}"
            if tensor["shape"][:1] != [-1] or -1 in tensor["shape"][1:]:
                raise Failed(f"{where}: expected a leading batch dimension, all others known")
            if tensor["dtype"] != ("int32" if key in ("seed", "label") else "float32"):
                raise Failed(f"{where}: expected float32, and int32 for seeds and labels")
    seeds = [inputs["seed"] for inputs, _ in export.recorded.values() if "seed" in inputs]
    if any(seed.min() < _INT32.min or seed.max() > _INT32.max for seed in seeds):
        raise Failed("recorded seeds do not fit int32")
    return "every input and output has a leading batch dimension, seeds are int32"


def configuration(export):
    """The three configurations parse, and are about this model."""
    directory = export.version_dir.parents[2]
    try:
        models, batching, monitoring = serving.read_configuration(directory)
    except (OSError, text_format.ParseError) as error:
        raise Failed(str(error)) from error
    names = [config.name for config in models.model_config_list.config]
    if names != [export.manifest["name"]]:
        raise Failed(f"models.config names {names}, not {export.manifest['name']}")
    sizes = list(batching.allowed_batch_sizes)
    if sizes[-1:] != [batching.max_batch_size.value] or sizes != sorted(sizes):
        raise Failed(f"allowed_batch_sizes {sizes} do not rise to max_batch_size")
    if not monitoring.prometheus_config.enable:
        raise Failed("monitoring.config does not switch monitoring on")
    return "models.config, batching.config and monitoring.config parse"


def tflite_file(export, kind):
    """A TFLite file has only built-in operations, and runs within its limit."""
    path = export.directory / export.manifest["tflite"][kind]["path"]
    content = flatbuffer.read(path)
    if content.custom:
        raise Failed(f"operations that are not built in: {', '.join(content.custom)}")
    calls, expected = _fixed_calls(export, content.signatures)
    outputs = _run("tflite", path, calls)
    if kind in tflite.LEAST_PSNR_DB:
        detail = _compare_quantized(outputs, calls, expected, export.tolerance, kind)
    else:
        detail = f"at most {_compare(outputs, calls, expected, export.tolerance):.1e} off"
    return f"{len(content.signatures)} signatures, built-in operations only, {detail}"


def stablehlo_programs(export):
    """Every StableHLO program gives the recorded outputs in JAX, in a process that has no more."""
    if not _has_jax():
        raise NotRun("jax is not installed: pip install 'vae_zoo[accelerator]'")
    section = export.manifest["stablehlo"]
    calls, expected = _fixed_calls(export, section["signatures"])
    outputs = _run("stablehlo", export.directory / section["path"], calls)
    worst = _compare(outputs, calls, expected, export.tolerance)
    return f"{len(section['signatures'])} programs in JAX, at most {worst:.1e} off"


def _has_jax():
    return importlib.util.find_spec("jax") is not None


def _fixed_calls(export, names):
    """Returns (calls, expected outputs): whole batches of the recorded rows for each signature."""
    calls, expected = [], []
    for signature in names:
        name, _, size = signature.partition("_")
        size, count = int(size or 3), len(next(iter(export.recorded[name][0].values())))
        for start in range(0, count - size + 1, size):
            inputs, outputs = export.rows(name, slice(start, start + size))
            calls.append(jobs.Call(signature, inputs))
            expected.append(outputs)
    return calls, expected


def _call(name, inputs, described):
    tensors = {
        part: {key: tensor["name"] for key, tensor in described[name][part].items()}
        for part in ("inputs", "outputs")
    }
    return jobs.Call(name, inputs, **tensors)


def _run(how, path, calls):
    try:
        return jobs.run(how, path, calls)
    except jobs.JobError as error:
        raise Failed(str(error)) from error


def _compare(results, calls, expected, allowed):
    """Returns the largest difference of a row that counts; raises Failed beyond the tolerance."""
    worst = 0.0
    for name, pairs in _by_signature(results, calls, expected).items():
        parts = [agreement.row_differences(*pair) for pair in pairs]
        differences = np.sort(np.concatenate(parts))
        if not agreement.agrees(differences, allowed):
            raise Failed(
                f"{name} is {differences[-1]:.1e} from the recorded outputs, beyond "
                f"{allowed.difference:.1e} in more than {1 - allowed.rows:.0%} of the rows"
            )
        worst = max(worst, differences[int(np.ceil(allowed.rows * len(differences))) - 1])
    return worst


def _compare_quantized(results, calls, expected, allowed, kind):
    """Returns the least PSNR as text: images keep to the format's limit, latents to theirs."""
    if allowed.quantized_latents is not None:
        allowed = allowed._replace(difference=allowed.quantized_latents)
    least = np.inf
    for name, pairs in _by_signature(results, calls, expected).items():
        if not all(np.isfinite(value).all() for outputs, _ in pairs for value in outputs.values()):
            raise Failed(f"{name} gives what is not finite")
        if "image" in pairs[0][1]:
            images = [np.concatenate([part["image"] for part in side]) for side in zip(*pairs)]
            psnr = agreement.psnr_db(*images)
            least = least if psnr is None else min(least, psnr)
        if least < tflite.LEAST_PSNR_DB[kind]:
            raise Failed(
                f"images of {name} have a PSNR of {least:.1f} dB, below the "
                f"{tflite.LEAST_PSNR_DB[kind]:.0f} dB of {kind}"
            )
        if "z" in pairs[0][1]:
            latents = [[{"z": part["z"]} for part in pair] for pair in pairs]
            differences = np.concatenate([agreement.row_differences(*pair) for pair in latents])
            if not agreement.agrees(differences, allowed):
                raise Failed(f"z of {name} is {differences.max():.1e} from Keras's")
    return f"PSNR at least {least:.1f} dB"


def _by_signature(results, calls, expected):
    """Returns {signature: [(outputs, expected outputs)]}; raises Failed for a missing output."""
    found = {}
    for outputs, call, wanted in zip(results, calls, expected, strict=True):
        for key, value in wanted.items():
            if key not in outputs or outputs[key].shape != value.shape:
                raise Failed(f"{call.signature}: expected {key} of shape {list(value.shape)}")
        found.setdefault(call.signature, []).append((outputs, wanted))
    return found
