"""TensorFlow functions as programs of StableHLO, which other runtimes compile.

TensorFlow's XLA bridge lowers a function, its loops included; what it gives is then serialised as a
portable artifact: StableHLO's own format, which later versions of StableHLO can read.
"""

import re
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

# Attributes of XLA's own, which no other reader knows and no result depends on.
_XLA_ATTRIBUTES = re.compile(r"mhlo\.frontend_attributes = \{[^{}]*\}(, )?")
_COPY = re.compile(r"mhlo\.copy (%\S+) : (tensor<[^<>]*>)")  # of XLA's own too; nothing is copied
_MODULE = re.compile(r"^(module @\S+) attributes \{.*\} \{$", re.MULTILINE)
_ALIAS = re.compile(r"parameter_number = (\d+) : i64\}, output_index = array<i64: ?(\d+)>")
_MAIN = re.compile(r"func\.func (?:public )?@main\((.*?)\) -> (.*) \{$", re.MULTILINE)
_TENSOR = re.compile(r"tensor<([^<>]*)>")
_DTYPES = {"f32": "float32", "f64": "float64", "f16": "float16", "bf16": "bfloat16", "i1": "bool"}


class Program(NamedTuple):
    """A function, lowered for fixed shapes.

    Attributes:
        artifact: the program, bytes: a portable artifact of StableHLO.
        inputs, outputs: [{"name", "shape", "dtype"}], in the program's order.
        state: the values of the inputs that come last: variables, and constants from outside.
        following: [(output, input)]: which output is which input's next value.
    """

    artifact: bytes
    inputs: list
    outputs: list
    state: list
    following: list


def lower(function, specs):
    """Returns the Program of a function; the variables that it uses are inputs, after its own.

    Args:
        function: takes tensors, returns {name: tensor}.
        specs: tf.TensorSpecs of its inputs, named and of fixed shape.
    """

    def positional(*values):  # no inputs by default, which would be inputs without a shape
        return function(*values)

    compiled = tf.function(positional, jit_compile=True)
    text = compiled.experimental_get_compiler_ir(*specs)(stage="stablehlo")
    concrete = compiled.get_concrete_function(*specs)
    named = sorted(concrete.structured_outputs)  # in the order of tf.nest
    state = [_value(captured) for captured in concrete.captured_inputs]
    following = [(int(out), int(into)) for into, out in _ALIAS.findall(text)]
    inputs, outputs = _tensors(text)
    names = [spec.name for spec in specs] + [f"state_{i:03d}" for i in range(len(state))]
    wanted = [(list(spec.shape), spec.dtype.name) for spec in specs]
    wanted += [(list(value.shape), value.dtype.name) for value in state]
    if wanted != inputs or len(outputs) != len(named) + len(following):
        raise RuntimeError("the lowered program has other inputs or outputs than the function")
    named += [f"next_{into:03d}" for _, into in sorted(following)]
    return Program(
        _portable(text),
        [_described(*each) for each in zip(names, inputs, strict=True)],
        [_described(*each) for each in zip(named, outputs, strict=True)],
        state,
        following,
    )


def frozen(function, specs):
    """Returns the Program of a function with the values of its variables inside."""
    concrete = tf.function(function).get_concrete_function(*specs)
    constant = convert_variables_to_constants_v2(concrete, lower_control_flow=False)
    names = sorted(concrete.structured_outputs)

    def run(*values):
        results = tf.nest.flatten(constant(*values))
        return dict(zip(names, results, strict=True))

    return lower(run, specs)


def _value(captured):
    if captured.dtype == tf.resource:
        dtype = tf.dtypes.as_dtype(captured._handle_data.shape_and_type[0].dtype)
        captured = tf.raw_ops.ReadVariableOp(resource=captured, dtype=dtype)
    return captured.numpy()


def _portable(text):
    # The one place of the wheel that has it; it takes a second to import.
    from tensorflow.compiler.mlir.stablehlo import stablehlo

    text = _MODULE.sub(r"\1 {", _XLA_ATTRIBUTES.sub("", text))
    text = _COPY.sub(r"stablehlo.reshape \1 : (\2) -> \2", text)
    return stablehlo.serialize_portable_artifact_str(text, stablehlo.get_minimum_version())


def _tensors(text):
    """Returns ([(shape, dtype)] of main's inputs, the same of its outputs)."""
    return tuple([_typed(t) for t in _TENSOR.findall(part)] for part in _MAIN.search(text).groups())


def _typed(text):
    *sizes, kind = text.split("x")
    dtype = _DTYPES.get(kind) or re.sub(r"^u?i(\d+)", _integer, kind)
    return [int(size) for size in sizes], dtype


def _integer(match):
    return ("uint" if match[0].startswith("u") else "int") + match[1]


def _described(name, tensor):
    shape, dtype = tensor
    return {"name": name, "shape": shape, "dtype": dtype}


def constant(value):
    """Returns the one number that an array consists of, or None."""
    first = value.flat[0] if value.size else None
    return first.item() if first is not None and np.all(value == first) else None
