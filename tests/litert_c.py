"""A program that samples through LiteRT's C API, as Android's Kotlin does beneath its classes.

    python litert_c.py MODEL SIGNATURE SEED ROWS.npy RESULT.npz

SEED is the name of a tensor. It imports neither TensorFlow nor anything of ours: the library
is the one that the wheel of ai-edge-litert carries.
"""

import ctypes
import importlib.util
import pathlib
import sys

import numpy as np

_CPU = 1  # kLiteRtHwAcceleratorCpu
_READ, _WRITE = 0, 1  # LiteRtTensorBufferLockMode
_TYPE_BYTES = 1024  # more than a LiteRtRankedTensorType has, which is handed on unread

_PACKAGE = pathlib.Path(importlib.util.find_spec("ai_edge_litert").origin).parent
_LIBRARY = ctypes.CDLL(str(_PACKAGE / "libLiteRt.so"))


def call(name, *arguments):
    """Calls a function of the C API; raises where it does not return kLiteRtStatusOk."""
    status = getattr(_LIBRARY, name)(*arguments)
    if status != 0:
        raise RuntimeError(f"{name} returned {status}")


def make(name, *arguments, kind=ctypes.c_void_p):
    """Returns what a function of the C API writes to its last argument."""
    result = kind()
    call(name, *arguments, ctypes.byref(result))
    return result


def find_signature(model, wanted):
    """Returns (index, signature) of a signature's name."""
    names = []
    for index in range(make("LiteRtGetNumModelSignatures", model, kind=ctypes.c_size_t).value):
        signature = make("LiteRtGetModelSignature", model, ctypes.c_size_t(index))
        names.append(make("LiteRtGetSignatureKey", signature, kind=ctypes.c_char_p).value.decode())
        if names[-1] == wanted:
            return ctypes.c_size_t(index), signature
    raise RuntimeError(f"no signature {wanted} among {names}")


def make_buffers(environment, compiled, index, signature, kind):
    """Returns {name: buffer} of a signature's inputs or outputs, in their order."""
    count = make(f"LiteRtGetNumSignature{kind}s", signature, kind=ctypes.c_size_t).value
    buffers = {}
    for place in map(ctypes.c_size_t, range(count)):
        name = make(f"LiteRtGetSignature{kind}Name", signature, place, kind=ctypes.c_char_p).value
        tensor = make(f"LiteRtGetSignature{kind}Tensor", signature, name)
        tensor_type = ctypes.create_string_buffer(_TYPE_BYTES)
        call("LiteRtGetRankedTensorType", tensor, tensor_type)
        needs = make(f"LiteRtGetCompiledModel{kind}BufferRequirements", compiled, index, place)
        buffers[name.decode()] = make(
            "LiteRtCreateManagedTensorBufferFromRequirements", environment, tensor_type, needs
        )
    return buffers


def write(buffer, array):
    """Copies an array into a buffer of exactly its size."""
    size = make("LiteRtGetTensorBufferPackedSize", buffer, kind=ctypes.c_size_t).value
    if size != array.nbytes:
        raise RuntimeError(f"the buffer has {size} bytes, the array {array.nbytes}")
    memory = ctypes.c_void_p()
    call("LiteRtLockTensorBuffer", buffer, ctypes.byref(memory), _WRITE)
    ctypes.memmove(memory, array.ctypes.data, size)
    call("LiteRtUnlockTensorBuffer", buffer)


def read(buffer):
    """Returns a buffer's content as float32."""
    size = make("LiteRtGetTensorBufferPackedSize", buffer, kind=ctypes.c_size_t).value
    memory = ctypes.c_void_p()
    call("LiteRtLockTensorBuffer", buffer, ctypes.byref(memory), _READ)
    values = np.frombuffer(ctypes.string_at(memory, size), np.float32)
    call("LiteRtUnlockTensorBuffer", buffer)
    return values


def sample(path, signature_name, seed_name, rows):
    """Returns {output: float32 values} of a signature at rows of seed, int32 [N, 2]."""
    environment = make("LiteRtCreateEnvironment", 0, None)
    model = make("LiteRtCreateModelFromFile", environment, path.encode())
    options = make("LiteRtCreateOptions")
    call("LiteRtSetOptionsHardwareAccelerators", options, _CPU)
    compiled = make("LiteRtCreateCompiledModel", environment, model, options)
    index, signature = find_signature(model, signature_name)
    inputs = make_buffers(environment, compiled, index, signature, "Input")
    outputs = make_buffers(environment, compiled, index, signature, "Output")
    write(inputs[seed_name], rows)
    run(compiled, index, inputs, outputs)
    results = {name: read(buffer) for name, buffer in outputs.items()}
    for buffer in [*inputs.values(), *outputs.values()]:
        _LIBRARY.LiteRtDestroyTensorBuffer(buffer)
    _LIBRARY.LiteRtDestroyCompiledModel(compiled)
    _LIBRARY.LiteRtDestroyOptions(options)
    _LIBRARY.LiteRtDestroyModel(model)
    _LIBRARY.LiteRtDestroyEnvironment(environment)
    return results


def run(compiled, index, inputs, outputs):
    """Runs a signature on its buffers."""
    arrays = []
    for buffers in (inputs, outputs):
        array = (ctypes.c_void_p * len(buffers))(*[buffer.value for buffer in buffers.values()])
        arrays += [ctypes.c_size_t(len(buffers)), array]
    call("LiteRtRunCompiledModel", compiled, index, *arrays)


if __name__ == "__main__":
    model_path, signature_key, seed_tensor, rows_path, result_path = sys.argv[1:]
    np.savez(result_path, **sample(model_path, signature_key, seed_tensor, np.load(rows_path)))
