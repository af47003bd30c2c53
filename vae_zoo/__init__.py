"""vae_zoo: the model zoo of variational autoencoders for TensorFlow and Keras.

model = vae_zoo.create_model("conv_vae", image_shape=(28, 28, 1))
model.compile(optimizer="adam")
model.fit(vae_zoo.load_dataset("digits").train, epochs=20)
images = model.generate(seed=0)
"""

import importlib
import os
import pathlib
import sys

__version__ = "0.1.0"


def _is_command():
    """Returns whether one of our commands is being started, which has nobody to catch an error."""
    program = pathlib.Path(sys.argv[0] if sys.argv else "")
    ours = {"export", "benchmarks"} & set(program.parts[-3:-1])
    return bool(ours) or program.name == "-m" or program.name.startswith("vae-zoo-")


if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
    _WRONG = (
        f"vae_zoo needs Keras on TensorFlow, and KERAS_BACKEND={os.environ['KERAS_BACKEND']}. "
        "Unset KERAS_BACKEND, or set it to tensorflow."
    )
    if _is_command():
        print(f"error: {_WRONG}", file=sys.stderr)
        sys.exit(2)
    raise ImportError(_WRONG)

# TensorFlow leaves oneDNN off where a processor has no AVX-512, and trains convolutions more
# slowly for it. It reads this when it is first imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# Public names and the modules they come from; imported when first used (PEP 562), so that
# `--help` and `--list_models` do not wait for TensorFlow.
_NAMES = {
    "VAE": "vae_zoo.vae:VAE",
    "ElboTerms": "vae_zoo.probability.elbo:ElboTerms",
    "Latent": "vae_zoo.probability.elbo:Latent",
    "UserError": "vae_zoo.errors:UserError",
    "create_model": "vae_zoo.registry:create_model",
    "model_names": "vae_zoo.registry:model_names",
    "load_dataset": "vae_zoo.datasets:load",
    "load_run": "vae_zoo.runs:load_run",
    "from_preset": "vae_zoo.presets:from_preset",
    "preset_names": "vae_zoo.presets:names",
    "list_models": "vae_zoo.registry:list_models",
    "noise": "vae_zoo.probability.noise",
    "plots": "vae_zoo.runs.plots",
    "recipe": "vae_zoo.recipes:recipe",
    "register": "vae_zoo.registry:register",
    "show": "vae_zoo.runs.plots:show",
    "train": "vae_zoo.train",  # a module that can be called
}
__all__ = ["__version__", *_NAMES]


def __getattr__(name):
    if name not in _NAMES:
        raise AttributeError(f"module 'vae_zoo' has no attribute {name!r}")
    module, _, attribute = _NAMES[name].partition(":")
    loaded = importlib.import_module(module)
    return getattr(loaded, attribute) if attribute else loaded


def __dir__():
    return __all__
