"""What a data set is as it is stored, before it is resized and kept."""

from typing import Any, NamedTuple

from vae_zoo.datasets import catalogue

SPLITS = ("train", "validation", "test")
CHUNK = 256  # images at a time
TENTH = 10  # where a split is missing, it is a tenth of the images


class Part(NamedTuple):
    """One split as it is stored, before it is resized and kept.

    Attributes:
        chunks: a function that gives an iterator of uint8 arrays [n, H, W, C].
        count: how many images there are.
        labels: int32 [count], or None.
        factors: int64 [count, F], or None.
    """

    chunks: Any
    count: int
    labels: Any = None
    factors: Any = None


class Source(NamedTuple):
    """A data set as it is stored.

    Attributes:
        name: as the user wrote it.
        parts: split -> Part.
        spec: its defaults.
        label_names: of the classes, or None.
        factor_names, factor_sizes: of the known factors, or None.
        notes: what was done that the user should know.
        identity: words that name exactly these images, for the cache on disk.
    """

    name: str
    parts: dict
    spec: catalogue.DatasetSpec
    label_names: Any = None
    factor_names: Any = None
    factor_sizes: Any = None
    notes: tuple = ()
    identity: str = ""
