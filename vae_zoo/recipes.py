"""Hyper-parameters that a model is trained with on a data set, and the score to compare with.

One literal table. A flag of the command wins over the recipe; the recipe over DEFAULT.
"""

from typing import NamedTuple


class Recipe(NamedTuple):
    """How a model is trained on a data set.

    Attributes:
        epochs, steps, batch_size, learning_rate, schedule, patience, ema, skip_norm: see
            training.Settings and the flags of the same names. Where steps are given, epochs follow
            from them: a hundred epochs of a few pictures would be a few hundred steps.
        arguments: constructor arguments, over the registry's.
        published: a published score to compare with, in words, with its source.
    """

    epochs: int = 100
    steps: int | None = None
    batch_size: int = 128
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    patience: int = 0
    ema: float = 0.0
    skip_norm: float | None = None
    arguments: dict = {}  # noqa: RUF012
    published: str = ""


# Data that has no recipe: own pictures, and what else TFDS has.
DEFAULT = Recipe(steps=5000, batch_size=64, ema=0.999, patience=20)
_DEEPER = DEFAULT._replace(steps=8000)
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
    ("vdvae", "binarized_mnist"): Recipe(epochs=40, skip_norm=1000, **_DEEP),
    ("vdvae", "mnist"): Recipe(epochs=40, skip_norm=1000, **_DEEP),
    ("nvae", "binarized_mnist"): Recipe(epochs=40, skip_norm=1000, **_DEEP),
    ("nvae", "mnist"): Recipe(
        epochs=40,
        skip_norm=1000,
        published="78.01 nats (Vahdat and Kautz 2020: 15 groups, 400 epochs, 1,000 samples)",
        **_DEEP,
    ),
    ("biva", "binarized_mnist"): Recipe(
        epochs=40,
        skip_norm=1000,
        published="78.41 nats (Maaloe et al. 2019: 6 levels, 1,000 importance samples)",
        **_DEEP,
    ),
    ("biva", "mnist"): Recipe(epochs=40, skip_norm=1000, **_DEEP),
    ("vq_vae", "binarized_mnist"): _CODES,
    ("vq_vae", "mnist"): _CODES,
    ("sq_vae", "binarized_mnist"): Recipe(epochs=50, **_BINARY),
    ("sq_vae", "mnist"): Recipe(epochs=50, **_BINARY),
    ("fsq_vae", "binarized_mnist"): _CODES,
    ("fsq_vae", "mnist"): _CODES,
    ("vdm", "binarized_mnist"): _DIFFUSION,
    ("vdm", "mnist"): _DIFFUSION,
    ("resnet_vae", "*"): _DEEPER,
    ("ladder_vae", "*"): _DEEPER._replace(arguments=_DEEP["arguments"]),
    ("vdvae", "*"): _DEEPER._replace(arguments=_DEEP["arguments"]),
    ("nvae", "*"): _DEEPER._replace(arguments=_DEEP["arguments"]),
    ("biva", "*"): _DEEPER._replace(arguments=_DEEP["arguments"]),
    ("vq_vae", "*"): _DEEPER._replace(ema=_CODES.ema),
    ("fsq_vae", "*"): _DEEPER._replace(ema=_CODES.ema),
    ("vdm", "*"): _DEEPER._replace(learning_rate=_DIFFUSION.learning_rate),
}


def recipe(model, dataset):
    """Returns the Recipe of a model on a data set, of any model on it, of the model, or DEFAULT."""
    for key in ((model, dataset), ("*", dataset), (model, "*")):
        if key in RECIPES:
            return RECIPES[key]
    return DEFAULT
