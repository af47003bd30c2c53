"""Hyper-parameters that a model is trained with on a data set, and the score to compare with.

One literal table. A flag of the command wins over the recipe; the recipe over DEFAULT.
"""

from typing import NamedTuple


class Recipe(NamedTuple):
    """How a model is trained on a data set.

    Attributes:
        epochs, batch_size, learning_rate, schedule, patience, ema, skip_norm: see
            training.Settings and the flags of the same names.
        arguments: constructor arguments, over the registry's.
        published: a published score to compare with, in words, with its source.
    """

    epochs: int = 100
    batch_size: int = 128
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    patience: int = 0
    ema: float = 0.0
    skip_norm: float | None = None
    arguments: dict = {}  # noqa: RUF012
    published: str = ""


DEFAULT = Recipe()
_SBM = "89.78 nats (pythae's VAE, 500 epochs, 200 importance samples)"
_IWAE = "87.63 nats (Burda et al., 2016, appendix D: K = 5, 5,000 importance samples)"

_DEEP = {"patience": 30, "ema": 0.999, "arguments": {"warmup_steps": 1000, "free_bits": 0.5}}
_BINARY = {"patience": 30, "ema": 0.999, "arguments": {"warmup_steps": 4000}}

# No warm-up of the rate: it is all that trains a prior over codes, and a denoiser.
_CODES = Recipe(epochs=20, patience=10, ema=0.99)  # averages as old as the codebook's
_DIFFUSION = Recipe(epochs=20, learning_rate=2e-3, ema=0.999)

RECIPES = {
    ("*", "digits"): Recipe(epochs=60, batch_size=32),
    # Few latent dimensions: 1,439 images leave holes in many, which prior draws fall into.
    ("conv_vae", "digits"): Recipe(epochs=80, batch_size=32, arguments={"latent_size": 5}),
    ("*", "sprites"): Recipe(epochs=30),
    ("*", "binarized_mnist"): Recipe(epochs=50, **_BINARY),
    ("*", "mnist"): Recipe(epochs=50, **_BINARY),
    ("ladder_vae", "mnist"): Recipe(epochs=40, **_DEEP),
    ("vae", "binarized_mnist"): Recipe(epochs=100, published=_SBM, **_BINARY),
    ("conv_vae", "binarized_mnist"): Recipe(epochs=54, published=_SBM, **_BINARY),
    ("iwae", "binarized_mnist"): Recipe(epochs=100, published=_IWAE, **_BINARY),
    ("resnet_vae", "binarized_mnist"): Recipe(epochs=70, published=_SBM, **_BINARY),
    ("hvae", "binarized_mnist"): Recipe(
        epochs=100,
        published="86.05 nats (Tomczak and Welling 2018, 300 gated units, 5,000 samples)",
        **_BINARY,
    ),
    ("ladder_vae", "binarized_mnist"): Recipe(
        epochs=40,
        published="79.24 nats (a convolutional ladder of 3 layers, 1,000 importance samples)",
        **_DEEP,
    ),
    ("vq_vae", "binarized_mnist"): _CODES,
    ("vq_vae", "mnist"): _CODES,
    ("vdm", "binarized_mnist"): _DIFFUSION,
    ("vdm", "mnist"): _DIFFUSION,
}


def recipe(model, dataset):
    """Returns the Recipe of a model on a data set, or of any model on it, or the default."""
    return RECIPES.get((model, dataset)) or RECIPES.get(("*", dataset)) or DEFAULT
