"""The images of a data set as they are kept: cut, resized, uint8, in memory or in a file."""

import hashlib
import os
import pathlib
import tempfile

import numpy as np

from vae_zoo import errors
from vae_zoo.datasets import folders, policies
from vae_zoo.datasets.fitting import Fit, parse_size


class Store:
    """The images of each split as one uint8 array, in memory or in a file."""

    def __init__(self, source, size, crop, channels, memory_budget_mb, cache_dir):
        self._source = source
        spec, channels = source.spec, channels or source.channels
        self._fit = Fit(
            source.name,
            size or parse_size(spec.image_size),
            crop,
            channels or (1 if spec.grey else None),
            spec.invert,
        )
        self._settings = f"{self._fit.size} {crop} {channels}"
        self._check_one_size()
        self._cache_dir = pathlib.Path(cache_dir or _user_cache())
        self._arrays, self.notes = {}, []
        self._shape = self._first().shape
        pixels = sum(part.count for part in source.parts.values()) * int(np.prod(self._shape))
        self._in_memory = pixels <= memory_budget_mb * 2**20
        if not self._in_memory:
            self.notes.append(
                f"{pixels / 2**20:,.0f} MB of images are more than the budget of "
                f"{memory_budget_mb} MB: kept in {self._cache_dir}"
            )

    def raw(self, split):
        """Returns the images of a split, uint8 [N, H, W, C]."""
        if split not in self._arrays:
            self._arrays[split] = (self._read if self._in_memory else self._mapped)(split)
        return self._arrays[split]

    def _read(self, split):
        array = np.empty((self._source.parts[split].count, *self._shape), np.uint8)
        return self._fill(split, array)

    def _mapped(self, split):
        """Returns the memory-mapped file of a split, written at the first time."""
        words = f"{self._source.identity} {self._settings} {split}"
        path = self._cache_dir / f"{hashlib.sha256(os.fsencode(words)).hexdigest()[:24]}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, partial = tempfile.mkstemp(suffix=".npy", dir=path.parent)
            os.close(handle)
            try:
                shape = (self._source.parts[split].count, *self._shape)
                array = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
                _reserve(partial)
                self._fill(split, array).flush()
                os.replace(partial, path)
            finally:
                if os.path.exists(partial):
                    os.unlink(partial)
        return np.load(path, mmap_mode="r")

    def _fill(self, split, array):
        start = 0
        for chunk in self._source.parts[split].chunks():
            for image in chunk:
                array[start] = self._fitted(image)
                start += 1
        static = self._source.spec.binarization == "static"
        if static or (array[:1000].max(initial=0) <= 1 and self._is_binary(split)):
            np.multiply(array, 255, out=array, where=array == 1)
        return array

    def _is_binary(self, split):
        """Returns whether ones are ink: the training images decide for the other splits."""
        return split == "train" or policies.all_binary(self.raw("train"))

    def _check_one_size(self):
        sizes = {shape[:2] for shape in self._source.shapes or ()}
        if len(sizes) > 1 and not self._fit.size and not self._fit.crop:
            low, high = min(sizes), max(sizes)
            side = folders.suggested_size(self._source.shapes)
            raise errors.UserError(
                f"{self._source.name} has images of {len(sizes):,} sizes, such as {low[0]} x "
                f"{low[1]} and {high[0]} x {high[1]}. Expected one size: give --image_size, such "
                f"as --image_size={side}."
            )

    def _first(self):
        chunk = next(iter(self._source.parts["train"].chunks()))
        height, width = chunk.shape[1:3]
        fit = self._fit
        if fit.size and not fit.crop and fit.part(height, width) != (height, width):
            what = "square" if fit.size[0] == fit.size[1] else "part of that shape"
            self.notes.append(
                f"images of {height} x {width} are cut to their central {what} "
                "before they are resized; --crop sets another cut"
            )
        self._shape = None
        return self._fitted(chunk[0])

    def _fitted(self, image):
        """Returns an image that fits; a UserError where it has another shape than the others."""
        image = self._fit(image)
        if self._shape is not None and image.shape != self._shape:
            raise errors.UserError(
                f"{self._source.name} has images of {image.shape} and of {self._shape}. "
                "Expected one size: give --image_size (and --channels=1 or 3)."
            )
        return image


def _reserve(path):
    """Takes the space of a sparse file: on a full disk, writing to its map kills the process."""
    with open(path, "r+b") as file:
        os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))


def _user_cache():
    return os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "vae_zoo")
