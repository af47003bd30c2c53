"""StableHLO programs of the decoder, the sampler and the encoder, for JAX, IREE and their like.

A program has the weights inside and a fixed batch size: TensorFlow lowers a function for known
shapes alone. It is a portable artifact of StableHLO's oldest version that can say it, so that a
runtime of the same age or newer reads it. `stablehlo_reader.py`, which is written next to the
programs, runs them in JAX.
"""

import hashlib
import pathlib
import shutil

from export import lowering, signatures, tflite
from vae_zoo import runs

FOLDER, READER = "stablehlo", "stablehlo_reader.py"
NAMES = ("decode", "sample", "encode")


def export_stablehlo(model, output_dir, *, name=None, batches=tflite.BATCHES):
    """Writes the folder `stablehlo` of an export; returns what export.json says of it.

    Args:
        model: a vae_zoo.VAE.
        output_dir: the export's directory.
        name: of the files; None is the model's.
        batches: batch sizes; a signature `decode_16` is `decode` for a batch of 16.
    """
    name = name or model.name
    folder = pathlib.Path(output_dir) / FOLDER
    folder.mkdir(parents=True)
    found = signatures.signatures(model, NAMES)
    described = {
        f"{key}_{size}": _write(folder, f"{name}-{key}_{size}", signature, size)
        for key, signature in found.items()
        for size in batches
    }
    runs.write_json(folder / f"{name}.json", {"signatures": described})
    shutil.copy(pathlib.Path(__file__).with_name(READER), folder)
    return {
        "path": f"{FOLDER}/{name}.json",
        "reader": f"{FOLDER}/{READER}",
        "signatures": {key: _noted(folder, each) for key, each in described.items()},
    }


def checksum(path):
    """Returns the SHA-256 of a file."""
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def _write(folder, name, signature, size):
    program = lowering.frozen(signature.function, signatures.input_specs(signature, size))
    file = f"{name}.stablehlo"
    (folder / file).write_bytes(program.artifact)
    return {"program": file, "inputs": program.inputs, "outputs": program.outputs}


def _noted(folder, described):
    path = folder / described["program"]
    noted = {"path": f"{FOLDER}/{path.name}", "bytes": path.stat().st_size}
    return {**noted, "sha256": checksum(path)}
