"""The data sets that vae_zoo knows by name: one literal table."""

from typing import NamedTuple


class DatasetSpec(NamedTuple):
    """A data set's defaults.

    Attributes:
        idea: one line.
        binarization: "static", "dynamic", "threshold" or "none".
        image_size: what images are resized to unless --image_size says otherwise; None: as is.
        grey: colour images become grey.
        invert: ink becomes bright.
        ships: part of this package: prepared without a download.
        note: what a reader of its figures must know.
        licence: of the data, in words.
    """

    idea: str
    binarization: str
    image_size: int | None = None
    grey: bool = False
    invert: bool = False
    ships: bool = False
    note: str = ""
    licence: str = ""


DATASETS = {
    "digits": DatasetSpec(
        "scikit-learn's 1,797 real handwritten digits, 8 x 8, drawn at 28 x 28; ships",
        "dynamic",
        image_size=28,
        ships=True,
        note="digits are 8 x 8 images, smoothly up-sampled: no published figure compares with them",
        licence="CC BY 4.0 (UCI machine learning repository)",
    ),
    "sprites": DatasetSpec(
        "46,080 drawn shapes, 64 x 64, from known factors (also sprites/small, sprites/large); "
        "ships",
        "dynamic",
        ships=True,
        licence="Apache-2.0, drawn by vae_zoo",
    ),
    "shapes": DatasetSpec(
        "24,000 drawn shapes in colour, 32 x 32 (64 x 64: shapes/large), 3 classes; ships",
        "none",
        ships=True,
        licence="Apache-2.0, drawn by vae_zoo",
    ),
    "mnist": DatasetSpec("handwritten digits, 28 x 28", "dynamic", licence="CC BY-SA 3.0"),
    "binarized_mnist": DatasetSpec(
        "Larochelle's statically binarised MNIST", "static", licence="CC BY-SA 3.0, as MNIST's"
    ),
    "fashion_mnist": DatasetSpec("clothes, 28 x 28 grey", "dynamic", licence="MIT"),
    "omniglot": DatasetSpec(
        "handwritten characters of 50 alphabets",
        "dynamic",
        image_size=28,
        grey=True,
        invert=True,
        licence="MIT",
    ),
    "cifar10": DatasetSpec("photographs of 10 classes, 32 x 32 colour", "none"),
    "svhn_cropped": DatasetSpec("house numbers, 32 x 32 colour", "none"),
    "celeb_a": DatasetSpec("faces, 218 x 178 colour", "none", image_size=64),
    "dsprites": DatasetSpec(
        "737,280 shapes, 64 x 64, from known factors", "static", licence="Apache-2.0"
    ),
}
OTHER = DatasetSpec("", "")  # binarization by what the images are
BINARIZATIONS = ("static", "dynamic", "threshold", "none")
