"""An export's files: .tflite, and the manifest."""

import numpy as np

from tests.hostile_inputs.common import json_bytes, often, write

_TFLITE = {}


def tflite_file(rng, place):
    """A .tflite file, as verify and the demonstration read it."""
    from ai_edge_litert import schema_py_generated as schema
    import flatbuffers

    from export import flatbuffer

    if "content" not in _TFLITE:
        model, builder = schema.ModelT(), flatbuffers.Builder(64)
        model.version, model.buffers = 3, [schema.BufferT() for _ in range(3)]
        model.buffers[1].data = np.frombuffer(b'{"name": "vae"}', np.uint8)
        model.buffers[2].data = np.zeros(64, np.uint8)
        entry = schema.MetadataT()
        entry.name, entry.buffer = "vae_zoo", 1
        graph, tensor = schema.SubGraphT(), schema.TensorT()
        tensor.shape, tensor.buffer, tensor.name = [4, 4], 2, "w"
        graph.tensors, graph.inputs, graph.outputs, graph.operators = [tensor], [0], [0], []
        model.metadata, model.subgraphs, model.operatorCodes = [entry], [graph], []
        builder.Finish(model.Pack(builder), b"TFL3")
        _TFLITE["content"] = bytes(builder.Output())
    path = write(rng, place / "m.tflite", _TFLITE["content"], 0.95)
    flatbuffer.read(path)
    flatbuffer.read_metadata(path, "vae_zoo")


def manifest(rng, place):
    """What an export says of itself, as every command that reads one does."""
    from export import checks, layout

    made = {
        "name": "vae",
        "model": "vae",
        "unsupported": {},
        "tolerance": {"relative": 1e-3, "absolute": 1e-3, "rows": 1.0},
        "saved_model": {"path": "saved_model/vae/1", "batch_sizes": [1, 64]},
        "tflite": {"float32": {"path": "tflite/vae-float32.tflite", "sha256": "0"}},
        "inputs": {"decode": {"z": [4]}},
    }
    (place / layout.MANIFEST).write_bytes(json_bytes(rng, made))
    np.savez(place / layout.RECORDED, **{"decode/input/z": np.zeros((2, 4), np.float32)})
    write(rng, place / layout.RECORDED, (place / layout.RECORDED).read_bytes(), 0.3)
    if often(rng):
        return checks.read(place)
    return layout.check_output(place, "vae", ["saved_model", "float32"])
