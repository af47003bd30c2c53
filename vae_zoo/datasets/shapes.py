"""Coloured shapes on a coloured ground as a TFDS data set: for colour, with no download."""

import dataclasses

import numpy as np
import tensorflow_datasets as tfds

from vae_zoo.datasets import outlines
from vae_zoo.datasets.digits import stratified

SHAPES = ("disc", "square", "triangle")
_OUTLINES = (outlines.disc, outlines.square, outlines.triangle)
_COUNT = 24_000  # with 6,000, networks learn the images by heart
_LEAST_CONTRAST = 0.35  # between the shape's colour and the ground's, as a distance in RGB


@dataclasses.dataclass
class ShapesConfig(tfds.core.BuilderConfig):
    """Size of the images.

    Attributes:
        size: pixels of a side.
    """

    size: int = 32


class Shapes(tfds.core.GeneratorBasedBuilder):
    """24,000 drawn RGB images, labelled: a disc, square or triangle on a ground of another colour.

    Colours, place, size and turn are random; the ground goes from one colour to another one.
    """

    VERSION = tfds.core.Version("1.1.0")  # of the drawings: data prepared from others is stale
    BUILDER_CONFIGS = [
        ShapesConfig(name="default", description="32 x 32", size=32),
        ShapesConfig(name="large", description="64 x 64", size=64),
    ]

    def _info(self):
        shape = (self.builder_config.size, self.builder_config.size, 3)
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=shape, encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=SHAPES),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        labels = np.arange(_COUNT) % len(SHAPES)
        images = draw(labels, self.builder_config.size)
        return {
            split: self._generate_examples(images[rows], labels[rows])
            for split, rows in stratified(labels).items()
        }

    def _generate_examples(self, images, labels):
        for key, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield key, {"image": image, "label": int(label)}


def draw(labels, size, seed=0):
    """Returns an image for each label, uint8 [N, size, size, 3].

    Args:
        labels: int [N], places in SHAPES.
        size: pixels of a side.
        seed: of colours, places, sizes and turns.
    """
    rng = np.random.default_rng(seed)
    images = np.empty((len(labels), size, size, 3), np.uint8)
    row, column = np.mgrid[:size, :size].astype(np.float32) / (size - 1) * 2 - 1  # [-1, 1]
    for image, label in zip(images, labels, strict=True):
        first, second = rng.uniform(0, 1, 3), rng.uniform(-0.3, 0.3, 3)
        colour = _contrasting(rng, first)
        ground = np.clip(first + _ramp(rng, row, column) * second, 0, 1)
        radius = rng.uniform(0.25, 0.5)
        x, y = (1 - 1.42 * radius) * rng.uniform(-1, 1, 2)  # a square's corners stay inside
        angle = rng.uniform(0, 2 * np.pi)
        right, down = (column - x) / radius, (row - y) / radius
        u = np.cos(angle) * right + np.sin(angle) * down
        v = np.cos(angle) * down - np.sin(angle) * right
        cover = outlines.cover(_OUTLINES[label](u, v) * radius * size / 2)[..., np.newaxis]
        image[:] = np.round(255 * (cover * colour + (1 - cover) * ground))
    return images


def _ramp(rng, row, column):
    """Returns numbers in [-1, 1] that rise in one direction across the image, [H, W, 1]."""
    angle = rng.uniform(0, 2 * np.pi)
    return ((np.cos(angle) * column + np.sin(angle) * row) / np.sqrt(2))[..., np.newaxis]


def _contrasting(rng, ground):
    """Returns a colour that stands out from the ground's."""
    while True:
        colour = rng.uniform(0, 1, 3)
        if np.linalg.norm(colour - ground) >= _LEAST_CONTRAST:
            return colour
