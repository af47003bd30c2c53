"""A model's .keras file with its weights in float16: half the bytes, read by Keras as any other."""

import io
import zipfile

import numpy as np

from vae_zoo.runs.directory import save_model
from vae_zoo.runs.files import atomic

_WEIGHTS = "model.weights.h5"


def write(model, path):
    """Writes a model's .keras file, weights rounded to float16 and packed.

    Loading turns them back into the float32 variables of the model.

    Args:
        model: a VAE.
        path: the file.
    """
    whole = path.with_name(".whole.keras")
    try:
        save_model(model, whole)
        with zipfile.ZipFile(whole) as source, atomic(path) as partial:
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
                for name in source.namelist():
                    content = source.read(name)
                    target.writestr(name, _halved(content) if name == _WEIGHTS else content)
    finally:
        whole.unlink(missing_ok=True)


def _halved(content):
    """Returns the bytes of a HDF5 file with its float32 arrays in float16."""
    import h5py

    made = io.BytesIO()
    with h5py.File(io.BytesIO(content)) as source, h5py.File(made, "w") as target:
        _copy(source, target)
    return made.getvalue()


def _copy(source, target):
    target.attrs.update(source.attrs)
    for name, item in source.items():
        if hasattr(item, "keys"):
            _copy(item, target.create_group(name))
        else:
            value = item[()]
            half = value.dtype == np.float32 and np.all(np.abs(value) < np.finfo(np.float16).max)
            target.create_dataset(name, data=value.astype(np.float16) if half else value)
            target[name].attrs.update(item.attrs)
