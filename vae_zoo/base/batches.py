"""What users bring to `fit` as data: which kinds there are, and batches as a model takes them."""

import functools

import keras
import numpy as np

from vae_zoo import errors
from vae_zoo.base.inputs import image_of, is_wide_integer


class Batches(keras.utils.PyDataset):
    """The batches of another PyDataset, as a model takes them."""

    def __init__(self, data, batch_of, is_eight_bit):
        super().__init__(data.workers, data.use_multiprocessing, data.max_queue_size)
        self.data, self.batch_of, self.is_eight_bit = data, batch_of, is_eight_bit

    @property
    def num_batches(self):
        return self.data.num_batches

    def __getitem__(self, index):
        element = self.data[index]
        undecided = is_wide_integer(image_of(element))
        return triple(self.batch_of(element, undecided and self._first_is_eight_bit))

    @functools.cached_property
    def _first_is_eight_bit(self):
        return self.is_eight_bit(self.data[0])

    def on_epoch_begin(self):
        self.data.on_epoch_begin()

    def on_epoch_end(self):
        self.data.on_epoch_end()


def triple(batch):
    return batch if isinstance(batch, tuple) else (batch,)


def is_array_like(x):
    """Returns whether x is images, or a dict of them, all in memory."""
    if isinstance(x, dict):
        return True
    return isinstance(x, (list, np.ndarray)) or (hasattr(x, "__array__") and hasattr(x, "shape"))


def checked_weight(weight, count):
    """Returns a weight of each of `count` images, float32; a UserError for what is none."""
    weight = np.asarray(weight, np.float32)
    if weight.shape not in ((count,), (count, 1)) or not np.isfinite(weight).all():
        raise errors.UserError(
            f"sample_weight of shape {weight.shape}: expected a finite number for each of {count} "
            "images."
        )
    if not weight.any():
        raise errors.UserError("sample_weight is 0 for all images: expected some to count.")
    return weight
