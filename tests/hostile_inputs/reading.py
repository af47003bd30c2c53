"""Own images, given to what trains on them, or to what encodes them."""

import numpy as np

from tests.hostile_inputs.common import often, pick


def given_to_a_reader(rng, path):
    """Gives a file of arrays to what trains on it, or to what encodes it."""
    (_load if often(rng) else _list)(rng, path)


def _load(rng, path):
    """Loads a data set, and reads all of it."""
    from vae_zoo import datasets

    settings = {
        "memory_budget_mb": pick(rng, (0, 64)),
        "image_size": pick(rng, (None, None, 4, "5x4")),
        "channels": pick(rng, (None, None, 1, 3)),
        "crop": pick(rng, (None, None, 3)),
        "skip_broken": bool(often(rng)),
    }
    splits = datasets.load(str(path), cache_dir=path.parent / "cache", **settings)
    for split in ("train", "validation", "test"):
        splits.raw(split)
        images = splits.images(split, 5)
        assert images.dtype == np.float32 and 0 <= images.min() and images.max() <= 1
        labels = splits.labels(split)
        assert labels is None or 0 <= labels.min() and labels.max() < splits.num_classes
    assert len(splits.checksum) == 64 and splits.batch_size >= 1


def _list(rng, path):
    """Lists images as encode and score do, and reads some."""
    from vae_zoo.datasets import fitting, listed

    channels = int(pick(rng, (1, 3)))
    fit = fitting.Fit(str(path), (8, 8), None, channels) if often(rng, 0.7) else None
    policy = pick(rng, ("none", "threshold", "dynamic"))
    treatment = listed.Treatment((8, 8, channels), fit, policy)
    images = listed.open_images(str(path), treatment, skip_broken=bool(often(rng)))
    batch = images.read(range(min(len(images), 50)))
    assert len(batch.image) == len(batch.index) == len(batch.key)
    assert batch.image.size == 0 or 0 <= batch.image.min() and batch.image.max() <= 1
