"""What a data set is as it is stored, before it is resized and kept."""

from typing import Any, NamedTuple

import numpy as np

from vae_zoo import errors
from vae_zoo.datasets import catalogue

SPLITS = ("train", "validation", "test")
CHUNK = 256  # images at a time
ALIASES = {  # how people name their splits
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}
TENTH = 10  # where a split is missing, it is a tenth of the images
_FEWEST = 10


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
        skipped: broken files that were left out.
        channels: what all images are brought to unless the user says otherwise; None: as is.
        shapes: {(H, W, C): count} of the images, where they may differ; or None.
    """

    name: str
    parts: dict
    spec: catalogue.DatasetSpec
    label_names: Any = None
    factor_names: Any = None
    factor_sizes: Any = None
    notes: tuple = ()
    identity: str = ""
    skipped: int = 0
    channels: int | None = None
    shapes: Any = None


def from_rows(
    name, count, chunks, labels, label_names, fixed, notes=(), identity="", factors=None
):
    """Returns the Source of images that are rows of something.

    Args:
        name: as the user wrote it.
        count: images.
        chunks: a function of row numbers that gives an iterator of uint8 arrays [n, H, W, C].
        labels: int32 [count], or None.
        label_names: of the classes, or None.
        fixed: split -> row numbers; what is missing is cut off `train`.
        notes, identity: see Source.
        factors: int64 [count, F], or None.
    """
    if count < _FEWEST:
        raise errors.UserError(f"{name} has {count} images. Expected at least {_FEWEST}.")
    fixed, cut = _with_all_splits(fixed)

    def part(rows):
        known = [None if values is None else values[rows] for values in (labels, factors)]
        return Part(lambda: chunks(rows), len(rows), *known)

    return Source(
        name=name,
        parts={split: part(fixed[split]) for split in SPLITS},
        spec=catalogue.OTHER,
        label_names=label_names,
        notes=(*notes, *cut),
        identity=f"{name}-{identity}",
    )


def consecutive(counts):
    """Returns split -> row numbers, of splits that lie one after the other.

    Args:
        counts: split -> how many rows.
    """
    ends = np.cumsum(list(counts.values()))
    return {s: np.arange(end - counts[s], end) for s, end in zip(counts, ends, strict=True)}


def _with_all_splits(fixed):
    """Returns every split's rows, and notes: a split that is missing is a tenth of `train`."""
    fixed, rows, notes = dict(fixed), fixed["train"], []
    if fixed.keys() == {"train"}:
        order = np.random.default_rng(0).permutation(len(rows))
        tenth = max(1, len(rows) // TENTH)
        fixed["test"], fixed["validation"] = order[:tenth], order[tenth : 2 * tenth]
        fixed["train"] = order[2 * tenth :]
        notes = [f"no splits: {tenth:,} images each serve for validation and test"]
    for split in ("test", "validation"):
        if split not in fixed:
            train = np.random.default_rng(0).permutation(fixed["train"])
            tenth = max(1, len(train) // TENTH)
            fixed[split], fixed["train"] = train[:tenth], train[tenth:]
            notes.append(f"no {split} split: {tenth:,} training images serve as one")
    return {split: np.sort(rows) for split, rows in fixed.items()}, notes
