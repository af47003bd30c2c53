"""Hyper-parameters that a model is trained with on a data set, and the score to compare with.

Literal tables. A flag of the command wins over the recipe; the recipe over DEFAULT. PROTOCOLS are
those of papers, which take hours; RECIPES are ours.
"""

from typing import NamedTuple

from vae_zoo import errors


class Recipe(NamedTuple):
    """How a model is trained on a data set.

    Attributes:
        epochs, steps, batch_size, learning_rate, schedule, patience, ema, skip_norm,
            optimizer: see training.Settings and the flags of the same names. Where steps are
            given, epochs follow from them: a hundred epochs of a few pictures would be a few
            hundred steps.
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
    optimizer: str = "muon"
    arguments: dict = {}  # noqa: RUF012
    published: str = ""


# Data that has no recipe: own pictures, and what else TFDS has.
DEFAULT = Recipe(steps=5000, batch_size=64, ema=0.999, patience=20)
_DEEPER = DEFAULT._replace(steps=8000)
# Latents of pictures spend a hundred nats and more: draws of N(0, 1) fall between them, and decode
# to several things at once. And from nothing, a network takes long to find what their principal
# components tell at once.
_PICTURES = {"prior": "realnvp", "principal": True}
_SBM = "89.78 nats (pythae's VAE, 500 epochs, 200 importance samples)"
_IWAE = "87.63 nats (Burda et al., 2016, appendix D: K = 5, 5,000 importance samples)"

_DEEP = {"patience": 30, "ema": 0.999, "arguments": {"warmup_steps": 1000, "free_bits": 0.5}}
# The first gradients of 28 x 28 pixels have norms of 1,900 (nvae) and 2,140 (biva), those of vdvae
# 510; later ones some hundreds.
_EXPLODED = 20_000
_BINARY = {"patience": 30, "ema": 0.999, "arguments": {"warmup_steps": 4000}}

# No warm-up of the rate: it is all that trains a prior over codes, and a denoiser.
_CODES = Recipe(epochs=20, patience=10, ema=0.99)  # averages as old as the codebook's
# Of 4 to 128 codes in a trial of equal lengths, 4 had the lowest bound: the encoder spends what it
# may, and nearest codes do not feel the rate. sq_vae's do, and it takes as many as are of use.
_FEW_CODES = _CODES._replace(arguments={"codebook_size": 4})
# Of 600 equal steps of vdm, Adam's went a nat further than Muon's, in less time.
_DIFFUSION = Recipe(epochs=20, learning_rate=2e-3, ema=0.999, optimizer="adam")

RECIPES = {
    ("*", "digits"): Recipe(epochs=60, batch_size=32),
    # Few latent dimensions: 1,439 images leave holes in many, which prior draws fall into.
    ("conv_vae", "digits"): Recipe(epochs=80, batch_size=32, arguments={"latent_size": 5}),
    ("*", "sprites"): Recipe(epochs=30),
    ("*", "binarized_mnist"): Recipe(epochs=50, **_BINARY),
    ("*", "mnist"): Recipe(epochs=50, **_BINARY),
    ("ladder_vae", "mnist"): Recipe(epochs=40, **_DEEP),
    # In equal time Adam's quicker steps went a nat further than Muon's: wide layers, little else.
    ("vae", "binarized_mnist"): Recipe(epochs=100, optimizer="adam", published=_SBM, **_BINARY),
    ("vae", "mnist"): Recipe(epochs=100, optimizer="adam", **_BINARY),
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
    ("nvae", "binarized_mnist"): Recipe(epochs=40, skip_norm=_EXPLODED, **_DEEP),
    ("nvae", "mnist"): Recipe(
        epochs=40,
        skip_norm=_EXPLODED,
        published="78.01 nats (Vahdat and Kautz 2020: 15 groups, 400 epochs, 1,000 samples)",
        **_DEEP,
    ),
    ("biva", "binarized_mnist"): Recipe(
        epochs=40,
        skip_norm=_EXPLODED,
        published="78.41 nats (Maaloe et al. 2019: 6 levels, 1,000 importance samples)",
        **_DEEP,
    ),
    ("biva", "mnist"): Recipe(epochs=40, skip_norm=_EXPLODED, **_DEEP),
    ("vq_vae", "binarized_mnist"): _FEW_CODES,
    ("vq_vae", "mnist"): _FEW_CODES,
    ("vq_vae_2", "binarized_mnist"): _FEW_CODES,
    ("vq_vae_2", "mnist"): _FEW_CODES,
    ("sq_vae", "binarized_mnist"): Recipe(epochs=50, **_BINARY),
    ("sq_vae", "mnist"): Recipe(epochs=50, **_BINARY),
    ("fsq_vae", "binarized_mnist"): _CODES,
    ("fsq_vae", "mnist"): _CODES,
    ("vdm", "binarized_mnist"): _DIFFUSION,
    ("vdm", "mnist"): _DIFFUSION,
    ("conv_vae", "*"): DEFAULT._replace(arguments=_PICTURES),
    ("resnet_vae", "*"): _DEEPER._replace(arguments=_PICTURES),
    ("ladder_vae", "*"): _DEEPER._replace(arguments=_DEEP["arguments"]),
    ("vdvae", "*"): _DEEPER._replace(arguments=_DEEP["arguments"]),
    ("nvae", "*"): _DEEPER._replace(arguments=_DEEP["arguments"]),
    ("biva", "*"): _DEEPER._replace(arguments=_DEEP["arguments"]),
    ("vq_vae", "*"): _DEEPER._replace(ema=_CODES.ema),
    ("vq_vae_2", "*"): _DEEPER._replace(ema=_CODES.ema),
    ("fsq_vae", "*"): _DEEPER._replace(ema=_CODES.ema),
    ("vdm", "*"): _DEEPER._replace(
        learning_rate=_DIFFUSION.learning_rate, optimizer=_DIFFUSION.optimizer
    ),
}


class Protocol(NamedTuple):
    """How a paper trained a model, and what it reports.

    Attributes:
        model: name of the registered model.
        dataset: name of the data set.
        recipe: the paper's numbers, as far as the training command has them.
        published: test negative log-likelihood in nats.
        num_samples: importance samples of that figure.
        source: paper and table.
        differs: what of the paper is done otherwise here.
    """

    model: str
    dataset: str
    recipe: Recipe
    published: float
    num_samples: int
    source: str
    differs: str


_ADAM = Recipe(optimizer="adam")
_BURDA = _ADAM._replace(
    epochs=3280, batch_size=20, arguments={"hidden": (200, 200), "latent_size": 50}
)
_BURDA_DIFFERS = "a leaky rectifier for tanh, a cosine for eight falling rates, Adam's own epsilon"
_TOMCZAK = _ADAM._replace(
    epochs=2000, batch_size=100, learning_rate=5e-4, schedule="constant", patience=50
)
_WARM_UP = {"warmup_steps": 50_000}  # 100 epochs of 500 steps
_LAYERS = {"hidden": (300, 300), "latent_size": 40, **_WARM_UP}
_TWO_LEVELS = {"latent_size": 40, "lower_size": 40, "between": (300, 300), **_WARM_UP}
_TOMCZAK_SOURCE = "Tomczak and Welling 2018, table 1"
_NOT_GATED = "leaky rectifiers for gated units"


def _with(protocol, **arguments):
    return protocol._replace(arguments={**protocol.arguments, **arguments})


PROTOCOLS = {
    "vae/sbm": Protocol(
        *("vae", "binarized_mnist", _TOMCZAK._replace(arguments=_LAYERS)),
        *(88.56, 5000, _TOMCZAK_SOURCE, _NOT_GATED),
    ),
    "vamp_vae/sbm": Protocol(
        "vamp_vae",
        "binarized_mnist",
        _TOMCZAK._replace(arguments={"network": "mlp", "components": 500, **_LAYERS}),
        *(85.57, 5000, _TOMCZAK_SOURCE, _NOT_GATED),
    ),
    "hvae/sbm": Protocol(
        "hvae",
        "binarized_mnist",
        _TOMCZAK._replace(arguments={"hidden": (300, 300), **_TWO_LEVELS}),
        *(86.05, 5000, _TOMCZAK_SOURCE, _NOT_GATED),
    ),
    "conv_hvae/sbm": Protocol(
        "hvae",
        "binarized_mnist",
        _TOMCZAK._replace(arguments={"network": "conv", **_TWO_LEVELS}),
        *(82.41, 5000, _TOMCZAK_SOURCE),
        "three strided convolutions of this zoo for the paper's five gated ones",
    ),
    "iwae/sbm": Protocol(
        *("iwae", "binarized_mnist", _with(_BURDA, num_samples=5)),
        *(87.63, 5000, "Burda et al. 2016, appendix D", _BURDA_DIFFERS),
    ),
    "vae/dynamic": Protocol(
        *("vae", "mnist", _BURDA),
        *(86.76, 5000, "Burda et al. 2016, table 1", _BURDA_DIFFERS),
    ),
    "iwae/dynamic": Protocol(
        *("iwae", "mnist", _with(_BURDA, num_samples=50)),
        *(84.78, 5000, "Burda et al. 2016, table 1", _BURDA_DIFFERS),
    ),
}


def protocol(name):
    """Returns a Protocol; a UserError for a name that is none, with the closest."""
    if name not in PROTOCOLS:
        raise errors.unknown("recipe", name, PROTOCOLS)
    return PROTOCOLS[name]


def recipe(model, dataset):
    """Returns the Recipe of a model on a data set, of any model on it, of the model, or DEFAULT."""
    for key in ((model, dataset), ("*", dataset), (model, "*")):
        if key in RECIPES:
            return RECIPES[key]
    return DEFAULT
