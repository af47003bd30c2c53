"""Shapes drawn from known factors as a TFDS data set: for disentanglement, with no download."""

import dataclasses
import math

import numpy as np
import tensorflow_datasets as tfds

from vae_zoo.datasets import outlines

SIZE = 64
FACTORS = ("shape", "scale", "orientation", "x", "y")
SHAPES = ("square", "ellipse", "heart")
_CHUNK = 512


@dataclasses.dataclass
class SpritesConfig(tfds.core.BuilderConfig):
    """Grid of factors.

    Attributes:
        sizes: how many values each factor takes, in the order of FACTORS.
    """

    sizes: tuple = (3, 6, 10, 16, 16)


class Sprites(tfds.core.GeneratorBasedBuilder):
    """64 x 64 anti-aliased shapes, a full factorial grid of shape, scale, orientation, x and y.

    After dSprites (Matthey et al., 2017), drawn anew by our own code.
    """

    VERSION = tfds.core.Version("1.0.1")  # of the drawings: data prepared from others is stale
    BUILDER_CONFIGS = [
        SpritesConfig(name="default", description="46,080 images", sizes=(3, 6, 10, 16, 16)),
        SpritesConfig(name="small", description="3,840 images", sizes=(3, 4, 5, 8, 8)),
        SpritesConfig(name="large", description="230,400 images", sizes=(3, 6, 20, 25, 25)),
    ]

    def _info(self):
        shape = (SIZE, SIZE, 1)
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=shape, encoding_format="png"),
                    "factors": tfds.features.Tensor(shape=(len(FACTORS),), dtype=np.int64),
                }
            ),
            metadata=tfds.core.MetadataDict(
                factor_names=FACTORS, factor_sizes=self.builder_config.sizes
            ),
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        count = math.prod(self.builder_config.sizes)
        order = np.random.default_rng(0).permutation(count)
        first, second = round(0.8 * count), round(0.9 * count)
        rows = {"train": order[:first], "validation": order[first:second], "test": order[second:]}
        return {split: self._generate_examples(part) for split, part in rows.items()}

    def _generate_examples(self, rows):
        sizes = self.builder_config.sizes
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            factors = np.stack(np.unravel_index(chunk, sizes), axis=1)
            for key, row, image in zip(chunk, factors, draw(factors, sizes), strict=True):
                yield int(key), {"image": image, "factors": row}


def draw(factors, sizes):
    """Returns the images of factor indices, uint8 [N, 64, 64, 1].

    Args:
        factors: int [N, 5], in the order of FACTORS.
        sizes: how many values each factor takes.

    A pixel's brightness is the share of it that the shape covers, taken from the signed distance
    of its centre to the outline.
    """
    images = np.zeros((len(factors), SIZE, SIZE, 1), np.uint8)
    for shape, distance in enumerate((outlines.square, outlines.ellipse, outlines.heart)):
        rows = factors[:, 0] == shape
        images[rows, ..., 0] = _draw_shape(distance, factors[rows], sizes)
    return images


def _draw_shape(distance, factors, sizes):
    columns = factors.astype(np.float32).T[:, :, np.newaxis, np.newaxis]
    _, scale, turn, x, y = columns
    radius = 5.0 + 5.0 * scale / max(1, sizes[1] - 1)  # pixels
    angle = np.float32(2 * np.pi / sizes[2]) * turn
    margin = 15.0  # the largest shape stays inside, however turned
    centre_x = margin + (SIZE - 1 - 2 * margin) * x / max(1, sizes[3] - 1)
    centre_y = margin + (SIZE - 1 - 2 * margin) * y / max(1, sizes[4] - 1)
    row, column = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    right, down = column - centre_x, row - centre_y
    u = (np.cos(angle) * right + np.sin(angle) * down) / radius
    v = (np.cos(angle) * down - np.sin(angle) * right) / radius
    return np.round(255 * outlines.cover(distance(u, v) * radius)).astype(np.uint8)
