"""scikit-learn's handwritten digits as a TFDS data set; no download."""

import numpy as np
import tensorflow_datasets as tfds

_TENTH = 0.1
_LEVELS = 16  # scikit-learn's digits count the ink in blocks of 4 x 4: 0 to 16


class Digits(tfds.core.GeneratorBasedBuilder):
    """1,797 real handwritten digits, 8 x 8, labelled, in a stratified 80/10/10 split.

    Source: Alpaydin and Kaynak (1998), "Optical recognition of handwritten digits", UCI.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.round(digits.images * (255 / _LEVELS)).astype(np.uint8)[..., np.newaxis]
        return {
            split: self._generate_examples(images[rows], digits.target[rows])
            for split, rows in stratified(digits.target).items()
        }

    def _generate_examples(self, images, labels):
        for key, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield key, {"image": image, "label": int(label)}


def stratified(labels):
    """Returns {"train", "validation", "test"} -> rows: of each class 80/10/10, at random, fixed."""
    rng = np.random.default_rng(0)
    parts = {"train": [], "validation": [], "test": []}
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        tenth = round(_TENTH * len(rows))
        parts["test"] += list(rows[:tenth])
        parts["validation"] += list(rows[tenth : 2 * tenth])
        parts["train"] += list(rows[2 * tenth :])
    return {split: np.sort(rows) for split, rows in parts.items()}
