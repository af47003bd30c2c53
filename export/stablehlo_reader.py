"""Reads StableHLO programs: a plain script that needs JAX and NumPy alone.

    import stablehlo_reader
    decode = stablehlo_reader.load("conv_vae.json")["decode"]
    image = decode(z)["image"]

A program is a portable artifact of StableHLO: JAX of the same age or newer reads it. What it takes
and gives is in a JSON next to it, with shape and dtype of each.
"""

import dataclasses
import json
import pathlib

import jax
import numpy as np
from jax import export

jax.config.update("jax_enable_x64", True)  # programs count steps in 64 bits


def load(path):
    """Returns {signature: function} of an export's JSON; a function takes and gives arrays by name.

    Args:
        path: the JSON; the programs lie next to it.
    """
    path = pathlib.Path(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    return {name: _named(path.parent, each) for name, each in content["signatures"].items()}


def _named(folder, signature):
    inputs, outputs = signature["inputs"], signature["outputs"]
    artifact = (folder / signature["program"]).read_bytes()
    run = jax.jit(function_of(artifact, inputs, outputs))

    def call(*values, **named):
        values += tuple(named[each["name"]] for each in inputs[len(values) :])
        results = run(*map(as_given, inputs, values))
        return {each["name"]: np.asarray(r) for each, r in zip(outputs, results, strict=True)}

    return call


def as_given(tensor, value):
    """Returns a value as the array that a program takes; a ValueError for another shape."""
    array = np.asarray(value, np.dtype(tensor["dtype"]))
    if list(array.shape) != list(tensor["shape"]):
        raise ValueError(f"{tensor['name']}: expected {tensor['shape']}, got {list(array.shape)}")
    return array


def function_of(artifact, inputs, outputs):
    """Returns a program as a function that JAX can compile: arrays in, a tuple of arrays out.

    Args:
        artifact: the program, bytes.
        inputs, outputs: [{"shape": [...], "dtype": name}], in the program's order.
    """
    inputs, outputs = tuple(map(_abstract, inputs)), tuple(map(_abstract, outputs))
    fields = {
        "fun_name": "program",
        "in_tree": jax.tree.structure((inputs, {})),
        "in_avals": inputs,
        "out_tree": jax.tree.structure(outputs),
        "out_avals": outputs,
        "nr_devices": 1,
        "platforms": (platform(),),
        "mlir_module_serialized": artifact,
        "calling_convention_version": export.maximum_supported_calling_convention_version,
        "module_kept_var_idx": tuple(range(len(inputs))),
        "in_shardings_hlo": (None,) * len(inputs),
        "_in_named_shardings": (None,) * len(inputs),
        "out_shardings_hlo": (None,) * len(outputs),
        "_out_named_shardings": (None,) * len(outputs),
        "uses_global_constants": False,
        "_has_named_shardings": False,
        "_get_vjp": None,
    }
    # JAX's versions differ in the fields: what this does not know is empty.
    names = [field.name for field in dataclasses.fields(export.Exported)]
    return export.Exported(**{name: fields.get(name, ()) for name in names}).call


def platform():
    """Returns JAX's name for what compiles here: "cpu", "cuda", "rocm" or "tpu"."""
    name = jax.default_backend()
    if name != "gpu":
        return name
    return "rocm" if "rocm" in jax.devices()[0].client.platform_version.lower() else "cuda"


def _abstract(tensor):
    return jax.core.ShapedArray(tuple(tensor["shape"]), np.dtype(tensor["dtype"]))
