"""Runs an export in a process where nothing of ours can be imported: python -I fresh.py HOW JOB

HOW is the loader: `v1` (tf.compat.v1.saved_model.loader.load), `c_api` (the loader that TF Serving
uses, TensorFlow's C API by ctypes, without `import tensorflow`), `tflite` (ai_edge_litert) or
`stablehlo` (JAX on the CPU, by the reader that lies next to the programs).
JOB is a directory: job.json says what to run, inputs.npz has the arrays, outputs.npz is written.
A plain script: it imports nothing of this package.
"""

import ctypes
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import sys

OURS = ("vae_zoo", "export", "benchmarks", "tensorflow_probability", "keras", "tf_keras")


class Refusal:
    """An import hook under which some packages cannot be imported.

    To look for one raises nothing: TensorFlow does so with Keras when it is imported.
    """

    def __init__(self, packages):
        self.packages = packages

    def find_spec(self, name, path=None, target=None):
        del path, target
        refused = name.split(".")[0] in self.packages
        return importlib.machinery.ModuleSpec(name, self) if refused else None

    def create_module(self, spec):
        raise ModuleNotFoundError(f"No module named {spec.name!r}: kept out", name=spec.name)

    def exec_module(self, module):
        """Never reached; importlib asks that a loader has it."""


def run_v1(path, calls):
    """Yields each call's outputs, through the loader of TensorFlow 1."""
    import tensorflow as tf

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], path)
        for call, inputs in calls:
            signature = meta.signature_def[call["signature"]]
            fetches = {key: tensor.name for key, tensor in signature.outputs.items()}
            feeds = {signature.inputs[key].name: value for key, value in inputs.items()}
            yield session.run(fetches, feeds)


def run_tflite(path, calls):
    """Yields each call's outputs, through ai_edge_litert, one thread."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=1)
    for call, inputs in calls:
        yield interpreter.get_signature_runner(call["signature"])(**inputs)


def run_stablehlo(path, calls):
    """Yields each call's outputs, through JAX."""
    os.environ["JAX_PLATFORMS"] = "cpu"  # a GPU rounds the factors of a product
    place = pathlib.Path(path).with_name("stablehlo_reader.py")
    spec = importlib.util.spec_from_file_location(place.stem, place)
    reader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reader)
    signatures = reader.load(path)
    for call, inputs in calls:
        yield signatures[call["signature"]](**inputs)


def run_c_api(path, calls):
    """Yields each call's outputs, through TensorFlow's C API."""
    session = Session(path)
    for call, inputs in calls:
        feeds = {call["inputs"][key]: value for key, value in inputs.items()}
        names = list(call["outputs"])
        values = session.run([call["outputs"][name] for name in names], feeds)
        yield dict(zip(names, values, strict=True))


class _Output(ctypes.Structure):
    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


class Session:
    """A SavedModel's session, of TensorFlow's C API.

    Args:
        path: the SavedModel.
        config: a tf.compat.v1.ConfigProto, serialized.
    """

    def __init__(self, path, config=b""):
        self.library = _library()
        self.status = self.library.TF_NewStatus()
        self.graph = self.library.TF_NewGraph()
        options = self.library.TF_NewSessionOptions()
        self.library.TF_SetConfig(options, config, len(config), self.status)
        self._check()
        self.session = self.library.TF_LoadSessionFromSavedModel(
            options,
            None,
            path.encode(),
            (ctypes.c_char_p * 1)(b"serve"),
            1,
            self.graph,
            None,
            self.status,
        )
        self._check()

    def run(self, names, feeds):
        """Returns the arrays of the named tensors ("operation:index")."""
        inputs = (_Output * len(feeds))(*(self._output(name) for name in feeds))
        values = (ctypes.c_void_p * len(feeds))(*(self._tensor(v) for v in feeds.values()))
        outputs = (_Output * len(names))(*(self._output(name) for name in names))
        results = (ctypes.c_void_p * len(names))()
        self.library.TF_SessionRun(
            *(self.session, None, inputs, values, len(feeds), outputs, results, len(names)),
            *(None, 0, None, self.status),
        )
        self._check()
        arrays = [self._array(result) for result in results]
        for tensor in [*values, *results]:
            self.library.TF_DeleteTensor(tensor)
        return arrays

    def _output(self, name):
        operation, _, index = name.partition(":")
        found = self.library.TF_GraphOperationByName(self.graph, operation.encode())
        if not found:
            raise RuntimeError(f"no operation {operation!r} in the graph")
        return _Output(found, int(index))

    def _tensor(self, value):
        import numpy as np

        value = np.ascontiguousarray(value)
        dtype = {"float32": 1, "int32": 3}[value.dtype.name]  # TF_FLOAT, TF_INT32
        sizes = (ctypes.c_int64 * value.ndim)(*value.shape)
        tensor = self.library.TF_AllocateTensor(dtype, sizes, value.ndim, value.nbytes)
        ctypes.memmove(self.library.TF_TensorData(tensor), value.ctypes.data, value.nbytes)
        return tensor

    def _array(self, tensor):
        import numpy as np

        dtype = {1: np.float32, 3: np.int32}[self.library.TF_TensorType(tensor)]
        shape = [self.library.TF_Dim(tensor, i) for i in range(self.library.TF_NumDims(tensor))]
        size = self.library.TF_TensorByteSize(tensor)
        content = ctypes.string_at(self.library.TF_TensorData(tensor), size)
        return np.frombuffer(content, dtype).reshape(shape)

    def _check(self):
        if self.library.TF_GetCode(self.status):
            raise RuntimeError(self.library.TF_Message(self.status).decode())


def _library():
    """Returns TensorFlow's C API out of its wheel, without importing the package."""
    folder = importlib.util.find_spec("tensorflow").submodule_search_locations[0]
    ctypes.CDLL(f"{folder}/libtensorflow_framework.so.2", mode=ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(f"{folder}/libtensorflow_cc.so.2", mode=ctypes.RTLD_GLOBAL)
    pointers = "NewStatus NewGraph NewSessionOptions LoadSessionFromSavedModel AllocateTensor"
    for name in f"{pointers} TensorData GraphOperationByName".split():
        getattr(library, f"TF_{name}").restype = ctypes.c_void_p
    library.TF_Message.restype = ctypes.c_char_p
    library.TF_Dim.restype = ctypes.c_int64
    library.TF_TensorByteSize.restype = ctypes.c_size_t
    # A plain int would be cut to 32 bits, and so would an address.
    address, number = ctypes.c_void_p, ctypes.c_int
    library.TF_AllocateTensor.argtypes = [number, address, number, ctypes.c_size_t]
    library.TF_Dim.argtypes = [address, number]
    library.TF_GraphOperationByName.argtypes = [address, ctypes.c_char_p]
    library.TF_LoadSessionFromSavedModel.argtypes = [
        *(address, address, ctypes.c_char_p, address, number, address, address, address)
    ]
    library.TF_SetConfig.argtypes = [address, ctypes.c_char_p, ctypes.c_size_t, address]
    library.TF_SessionRun.argtypes = [
        *(address, address, address, address, number, address, address, number),
        *(address, number, address, address),
    ]
    for name in "GetCode Message TensorData TensorType NumDims TensorByteSize DeleteTensor".split():
        getattr(library, f"TF_{name}").argtypes = [address]
    return library


_RUNNERS = {
    "v1": run_v1,
    "c_api": run_c_api,
    "tflite": run_tflite,
    "stablehlo": run_stablehlo,
}
_ALONE = (*OURS, "tensorflow")
_REFUSED = {"v1": OURS, "c_api": OURS, "tflite": _ALONE, "stablehlo": _ALONE}


def main():
    """Runs a job and writes its outputs; fails where a refused package got in."""
    how, job = sys.argv[1], pathlib.Path(sys.argv[2])
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.meta_path.insert(0, Refusal(_REFUSED[how]))
    import numpy as np

    plan = json.loads((job / "job.json").read_text(encoding="utf-8"))
    with np.load(job / "inputs.npz") as file:
        arrays = dict(file)
    calls = [
        (call, {key: arrays[f"{number}/{key}"] for key in call["inputs"]})
        for number, call in enumerate(plan["calls"])
    ]
    results = _RUNNERS[how](plan["path"], calls)
    outputs = {
        f"{number}/{key}": value
        for number, result in enumerate(results)
        for key, value in result.items()
    }
    refused = {*_REFUSED[how], "tensorflow"} if how == "c_api" else _REFUSED[how]
    present = sorted(set(refused) & set(sys.modules))
    if present:
        raise RuntimeError(f"{', '.join(present)} got in")
    np.savez(job / "outputs.npz", **outputs)


if __name__ == "__main__":
    main()
