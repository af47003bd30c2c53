"""Reads and completes .tflite files: operators, weights, metadata."""

import contextlib
import hashlib
import pathlib
from typing import NamedTuple

from vae_zoo import errors

_IDENTIFIER = b"TFL3"


class Content(NamedTuple):
    """What lies in a TFLite file.

    Attributes:
        bytes: of the file.
        weight_bytes: of constants that hold numbers of the model: each buffer once, and the scales
            and zero points that its quantisation added.
        graph_bytes: of all the rest: operators, names, shapes, signatures, metadata.
        operators: {built-in operation: how often}.
        custom: names of operations that are not built in.
        signatures: names.
        sha256: of the file.
    """

    bytes: int
    weight_bytes: int
    graph_bytes: int
    operators: dict
    custom: list
    signatures: list
    sha256: str


def read(path):
    """Returns the Content of a TFLite file.

    Raises:
        UserError: for a file that is none, or is corrupt.
    """
    content = _read_bytes(path)
    with _readable(path):
        model = _unpack(content)
        weights = _weight_bytes(model)
        operators, custom = _operators(model)
        return Content(
            bytes=len(content),
            weight_bytes=weights,
            graph_bytes=len(content) - weights,
            operators=operators,
            custom=custom,
            signatures=sorted(_text(each.signatureKey) for each in model.signatureDefs or []),
            sha256=hashlib.sha256(content).hexdigest(),
        )


def read_metadata(path, name):
    """Returns the bytes of a metadata entry, or None.

    Raises:
        UserError: for a file that is no TFLite file, or is corrupt.
    """
    content = _read_bytes(path)
    with _readable(path):
        model = _unpack(content)
        for entry in model.metadata or []:
            if _text(entry.name) == name:
                return bytes(bytearray(model.buffers[entry.buffer].data))
    return None


def with_metadata(content, name, value):
    """Returns a TFLite file, as bytes, with a metadata entry added.

    Args:
        content: a TFLite file, as bytes.
        name: of the entry.
        value: bytes.
    """
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    model = _inlined(schema.ModelT.InitFromPackedBuf(content, 0), content)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(value, np.uint8)
    entry.name, entry.buffer = name, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return _pack(model)


def with_outputs_of(content, original):
    """Returns a quantised TFLite file, as bytes, whose signatures name the graph's outputs again.

    Where an operation reads a graph's output too, the quantiser gives the graph a new output and
    leaves the signature with the old tensor.

    Args:
        content: the quantised file, as bytes.
        original: the file that it was made of, as bytes.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = _inlined(schema.ModelT.InitFromPackedBuf(content, 0), content)
    before = schema.ModelT.InitFromPackedBuf(original, 0)
    for signature, was in zip(model.signatureDefs, before.signatureDefs, strict=True):
        outputs = model.subgraphs[signature.subgraphIndex].outputs
        places = list(before.subgraphs[was.subgraphIndex].outputs)
        for output, old in zip(signature.outputs, was.outputs, strict=True):
            output.tensorIndex = int(outputs[places.index(old.tensorIndex)])
    return _pack(model)


def _pack(model):
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def _read_bytes(path):
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise errors.UserError(
            f"{path} cannot be read ({error.strerror}). Expected a TFLite file: export again."
        ) from error


@contextlib.contextmanager
def _readable(path):
    """Turns whatever reading at a wrong offset runs into, into one line."""
    try:
        yield
    except ModuleNotFoundError:
        raise
    except Exception as error:
        raise errors.UserError(
            f"{path} is no readable TFLite file ({type(error).__name__}: {error}). "
            "It is corrupt: export again."
        ) from error


def _unpack(content):
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != _IDENTIFIER:
        raise ValueError("it does not begin as one")
    return _inlined(schema.ModelT.InitFromPackedBuf(content, 0), content)


def _inlined(model, content):
    """Moves constants that a quantiser has put behind the flatbuffer into it."""
    import numpy as np

    for buffer in model.buffers:
        if buffer.offset > 1:  # 0 and 1 mean: none
            end = buffer.offset + buffer.size
            buffer.data = np.frombuffer(content[buffer.offset : end], np.uint8)
            buffer.offset = buffer.size = 0
    return model


def _weight_bytes(model):
    """Returns the bytes of the constants that hold numbers of the model."""
    from ai_edge_litert import schema_py_generated as schema

    numbers = {schema.TensorType.FLOAT32, schema.TensorType.FLOAT16, schema.TensorType.INT8}
    sizes = {}
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            data = model.buffers[tensor.buffer].data
            added = _quantization_bytes(tensor.quantization)
            if data is not None and len(data) and (tensor.type in numbers or added):
                sizes[tensor.buffer] = len(data) + added
    return int(sum(sizes.values()))


def _quantization_bytes(quantization):
    if quantization is None or quantization.scale is None:
        return 0
    zero_points = quantization.zeroPoint
    return 4 * len(quantization.scale) + 8 * (0 if zero_points is None else len(zero_points))


def _operators(model):
    from ai_edge_litert import schema_py_generated as schema

    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    found, custom = {}, []
    for subgraph in model.subgraphs:
        for operator in subgraph.operators or []:
            code = model.operatorCodes[operator.opcodeIndex]
            name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
            found[name] = found.get(name, 0) + 1
            if name == "CUSTOM":
                custom.append(_text(code.customCode))
    return dict(sorted(found.items())), sorted(set(custom))


def _text(value):
    return value.decode() if isinstance(value, bytes) else value
