"""The README.md of an export: how to serve it, a curl line for each signature, the TFLite files,
the StableHLO programs.
"""

import json

from export import serving, tflite

_SERVE = """## Serve

```bash
docker compose up
```

or, with TensorFlow Serving installed:

```bash
tensorflow_model_server {flags}
```

Neither was run when this was written: `python -m export.verify --export_dir=. --server=HOST:{rest}`
checks a server that is up.
"""
_IN_PYTHON = """From Python, without a server, vae_zoo or Keras:

```python
import tensorflow as tf

served = tf.saved_model.load("{path}")
image = served.signatures["sample"]({inputs})["image"]
```
"""
_TFLITE = """From Python, with LiteRT alone (`pip install ai-edge-litert`):

```python
import numpy as np
from ai_edge_litert.interpreter import Interpreter

sample = Interpreter("{path}").get_signature_runner("sample_1")
image = sample({inputs})["image"]
```
"""
_STABLEHLO = """## StableHLO

One program for each signature and batch size, with the weights inside: `decode_16` is `decode` for
exactly 16 rows. They are portable artifacts of StableHLO, which JAX, IREE and other compilers read.
In JAX alone (`pip install jax`):

```python
import sys

import numpy as np

sys.path.insert(0, "stablehlo")
import stablehlo_reader

program = stablehlo_reader.load("{path}")["sample_1"]
image = program({inputs})["image"]
```

`stablehlo/stablehlo_reader.py` is short, and needs nothing but JAX and NumPy. The same seed gives
the same picture as above on a CPU; a GPU rounds the factors of its matrix products.
"""
_CALL = """### {signature}: {inputs} -> {outputs}

```bash
{command}
```
"""


def write(path, manifest):
    """Writes the README.md of an export.

    Args:
        path: the file.
        manifest: the content of export.json.
    """
    parts = [f"# {manifest['name']}\n", _summary(manifest)]
    if "saved_model" in manifest:
        flags = " \\\n  ".join(serving.server_flags('"$PWD"', manifest["name"]))
        parts += [_SERVE.format(flags=flags, rest=serving.REST_PORT), *_calls(manifest)]
    if "tflite" in manifest:
        parts.append(_files(manifest["tflite"]))
        parts += _tflite_example(manifest)
    if "stablehlo" in manifest:
        inputs = _arguments(manifest, "np.int32({})")
        parts.append(_STABLEHLO.format(path=manifest["stablehlo"]["path"], inputs=inputs))
    if manifest["unsupported"]:
        parts.append(_unsupported(manifest["unsupported"]))
    path.write_text("\n".join(parts), encoding="utf-8")


def _summary(manifest):
    shape = " x ".join(map(str, manifest["image_shape"]))
    return (
        f"Images of {shape}, values in [0, 1]. `sample` takes a row of seed for each image: the "
        "same row\ngives the same image from the server, the TFLite files and Keras.\n\n"
        "Check it: `python -m export.verify --export_dir=.`\n\n"
        "Inputs, of one row or more, as many of each. A server refuses a label that lies outside;\n"
        "a TFLite file cannot, and gives an image that means nothing, as any other value does:\n\n"
        + "".join(f"* `{key}`: {values}\n" for key, values in manifest["inputs"].items())
        + _label_names(manifest["label_names"])
    )


def _label_names(names):
    if not names:
        return ""
    listed = ", ".join(f"{label} is {name}" for label, name in enumerate(names))
    return f"\nThe classes of the training data: {listed}.\n"


def _calls(manifest):
    yield "## Call\n"
    section = manifest["saved_model"]
    yield f"One request holds up to {section['max_batch_size']} instances.\n"
    seed = _arguments(manifest, "tf.constant({})")
    yield _IN_PYTHON.format(path=section["path"], inputs=seed)
    url = f"http://127.0.0.1:{serving.REST_PORT}/v1/models/{manifest['name']}:predict"
    for name, signature in section["signatures"].items():
        inputs = {key: tensor["shape"][1:] for key, tensor in signature["inputs"].items()}
        yield _CALL.format(
            signature=name,
            inputs=_shapes(signature["inputs"]),
            outputs=_shapes(signature["outputs"]),
            command=_curl(url, name, inputs),
        )


def _arguments(manifest, array):
    """Returns the arguments of `sample`, in Python, each an `array` of a literal."""
    label = {"label": "[0]"} if manifest["needs_labels"] else {}
    values = {"seed": "[[7, 0]]", **label}
    return ", ".join(f"{key}={array.format(value)}" for key, value in values.items())


def _tflite_example(manifest):
    float32 = manifest["tflite"][tflite.FLOAT32]
    if "sample_1" in float32["signatures"]:
        inputs = _arguments(manifest, "np.int32({})")
        yield _TFLITE.format(path=float32["path"], inputs=inputs)


def _shapes(tensors):
    return ", ".join(
        f"`{key}` {tensor['dtype']} [{', '.join(['N', *map(str, tensor['shape'][1:])])}]"
        for key, tensor in tensors.items()
    )


def _curl(url, name, inputs):
    """Returns the line that sends one instance; Python writes an image's zeros."""
    instance = {key: _value(key, shape) for key, shape in inputs.items()}
    body = {"signature_name": name, "instances": [instance]}
    if not any(len(shape) > 1 for shape in inputs.values()):
        return f"curl -s {url} -d '{json.dumps(body)}'"
    row = ", ".join(f'"{key}": {_expression(key, shape)}' for key, shape in inputs.items())
    program = f'{{"signature_name": "{name}", "instances": [{{{row}}}]}}'
    return f"python3 -c 'import json; print(json.dumps({program}))' | \\\n  curl -s {url} -d @-"


def _value(key, shape):
    if key == "seed":
        return [7, 0]
    return 0 if not shape else [0.0] * shape[0]


def _expression(key, shape):
    if len(shape) < 2:
        return json.dumps(_value(key, shape))
    expression = "0.0"
    for size in reversed(shape):
        expression = f"[{expression}] * {size}"
    return expression


def _files(section):
    lines = [
        "## TFLite\n",
        "Built-in operations only; `decode_1` is `decode` for a batch of 1. The metadata entry "
        "`vae_zoo` is JSON: latent size, value range, label names. Give each signature exactly its "
        "shapes and dtypes: LiteRT says what does not fit. An interpreter whose call has failed is "
        "not to be used again; make a new one.\n",
        "| file | signatures | bytes | of weights | largest difference | PSNR dB | decode_1 ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for figures in section.values():
        names = ", ".join(f"`{name}`" for name in figures["signatures"])
        size = f"| {figures['path']} | {names} | {figures['bytes']:,} | "
        size += f"{figures['weight_bytes']:,} |"
        lines.append(f"{size} {_measured(figures)} |")
    return "\n".join([*lines, ""])


def _measured(figures):
    if "latency_ms" not in figures:
        return "any batch size | |"
    psnr, latency = figures["psnr_db"], figures["latency_ms"].get("decode_1")
    return (
        f"{figures['max_difference']:.1e} | {'equal' if psnr is None else f'{psnr:.1f}'} "
        f"| {'-' if latency is None else f'{latency:.3f}'}"
    )


def _unsupported(reasons):
    lines = [f"* `{name}`: {reason}" for name, reason in reasons.items()]
    return "\n".join(["## Not supported by this model\n", *lines, ""])
