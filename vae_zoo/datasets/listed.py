"""Images that are brought to a trained model: listed at once, read a few at a time."""

import hashlib
import os
import pathlib
from typing import Any, NamedTuple

import numpy as np

from vae_zoo import errors
from vae_zoo.datasets import archives, arrays, folders, policies, stored

_NUMBER = len(stored.SPLITS)  # of drawn ink: that of no split
_EXPECTED = (
    "Expected a folder of images (or of class folders), a zip or tar of one, a .npz or .npy file, "
    "or one image file"
)


class Batch(NamedTuple):
    """Some images, in order; broken ones are left out.

    Attributes:
        index: their numbers in the list, int64 [n].
        image: float32 [n, H, W, C] in [0, 1], as the model was trained on.
        key: a number of each image's 8-bit pixels, int32 [n]. Noise that is a function of it does
            not depend on what other images there are, or on their order.
    """

    index: Any
    image: Any
    key: Any


class Treatment(NamedTuple):
    """What images go through before the model sees them.

    Attributes:
        shape: (H, W, C) that the model takes.
        fit: a fitting.Fit; None expects images of that shape.
        binarization: the policy; see policies.
        seed: of ink that is drawn.
    """

    shape: tuple
    fit: Any
    binarization: str
    seed: int = 0


class ListedImages:
    """The user's own images.

    Attributes:
        name: as the user wrote it.
        names: of each image, texts: its path below the folder, or its number in the array.
        labels: the name of each image's class, or None.
        notes: what the user should know.
        identity: words that change when the images do.
    """

    def __init__(self, name, names, labels, pixels_of, identity, treatment, skip_broken, notes=()):
        self.name, self.names, self.labels, self.notes = name, names, labels, list(notes)
        self.identity = f"{identity} {treatment}"
        self._pixels_of, self._treatment, self._skip_broken = pixels_of, treatment, skip_broken

    def __len__(self):
        return len(self.names)

    def read(self, rows):
        """Returns the Batch of some rows of the list.

        Raises:
            UserError: for a broken image, unless they are left out, and one of another shape.
        """
        found = [(row, pixels) for row in rows if (pixels := self._fitted(row)) is not None]
        if not found:
            empty = np.zeros(0, np.int64)
            return Batch(empty, np.zeros((0, *self._treatment.shape), np.float32), empty)
        index = np.array([row for row, _ in found], np.int64)
        pixels = np.stack([image for _, image in found])
        key = pixel_keys(pixels)
        return Batch(index, self._under_policy(pixels, key), key)

    def _fitted(self, row):
        """Returns the 8-bit pixels of one image, or None where it is broken and left out."""
        try:
            pixels = self._pixels_of(row)
        except errors.UserError:
            if not self._skip_broken:
                raise
            return None
        fit, shape = self._treatment.fit, self._treatment.shape
        if fit is not None:
            pixels = fit(pixels)
        if pixels.shape != shape:
            raise errors.UserError(
                f"{self.name}: {self.names[row]} is an image of {_words(pixels.shape)}, and the "
                f"model takes {_words(shape)}. Give --resize to fit the images as in training."
            )
        if self._treatment.binarization == "static" and pixels.max() == 1:
            return pixels * np.uint8(255)  # zeros and ones: ones are ink, as in training
        return pixels

    def _under_policy(self, pixels, key):
        policy = self._treatment.binarization
        if policy != "dynamic":
            return policies.deterministic(pixels, policy)
        counters = key.astype(np.int64) & 0xFFFFFFFF
        return policies.drawn_by_row(pixels, counters, self._treatment.seed, _NUMBER)


class SplitImages:
    """A split of a data set, binarised as in an evaluation; the same attributes and `read`."""

    def __init__(self, splits, split):
        self.name, self.notes = f"{splits.name} ({split})", splits.notes
        self.names = [str(row) for row in range(len(splits.raw(split)))]
        labels = splits.labels(split)
        self.labels = None if labels is None else [splits.label_names[i] for i in labels]
        self.identity = f"{splits.checksum} {split} {splits.seed}"
        self._splits, self._split = splits, split

    def __len__(self):
        return len(self.names)

    def read(self, rows):
        """Returns the Batch of some rows of the split."""
        rows = np.asarray(rows, np.int64)
        image = self._splits.rows(self._split, rows)
        return Batch(rows, image, pixel_keys(self._splits.raw(self._split)[rows]))


def open_images(name, treatment, skip_broken=False):
    """Returns the ListedImages of a path.

    Args:
        name: of a folder of images, of a zip or tar of one, of a .npz or .npy file, or of one
            image file.
        treatment: the Treatment.
        skip_broken: leave out image files that cannot be read.

    Raises:
        UserError: where there is no such path, or no image in it.
    """
    path = pathlib.Path(os.path.expanduser(name))
    lower = path.name.lower()
    if not path.exists():
        raise errors.UserError(f"--images={name}: no such folder or file. {_EXPECTED}.")
    if path.is_file() and lower.endswith((".npz", ".npy")):
        return _open_arrays(name, path, treatment)
    if path.is_file() and lower.endswith(folders.SUFFIXES):
        file = archives.File(lambda: open(path, "rb"), path.stat().st_mtime_ns)
        files, root = {(path.name,): file}, path.parent
    elif path.is_dir() or (path.is_file() and lower.endswith(archives.SUFFIXES)):
        files, root = folders.image_files(path), path
    else:
        raise errors.UserError(f"--images={name}: a file of an unknown kind. {_EXPECTED}.")
    parts = sorted(files)
    digest = hashlib.sha256(os.fsencode(path.resolve()))
    for part in parts:
        digest.update(os.fsencode(f"{'/'.join(part)} {files[part].stamp}\n"))
    return ListedImages(
        name,
        ["/".join(part) for part in parts],
        folders.class_folders(parts),
        lambda row: folders.decoded(root, files, parts[row]),
        digest.hexdigest(),
        treatment,
        skip_broken,
    )


def _open_arrays(name, path, treatment):
    pixels, labels, notes = arrays.read_rows(path)
    ink = 255 if pixels[:1000].max() <= 1 else 1  # zeros and ones
    return ListedImages(
        name,
        [str(row) for row in range(len(pixels))],
        labels,
        lambda row: np.asarray(pixels[row]) * np.uint8(ink),
        f"{path.resolve()} {path.stat().st_mtime_ns}",
        treatment,
        skip_broken=False,
        notes=notes,
    )


def pixel_keys(pixels):
    """Returns a number of the pixels of each image, uint8 [n, H, W, C]: int32 [n]."""
    digests = [hashlib.sha256(np.ascontiguousarray(image)).digest()[:4] for image in pixels]
    return np.frombuffer(b"".join(digests), "<i4").astype(np.int32)


def _words(shape):
    kind = {1: "grey", 3: "in colour"}.get(shape[2], f"of {shape[2]} channels")
    return f"{shape[0]} x {shape[1]} {kind}"
