"""A data set ready to train on: uint8 images, and batches as functions of seed, epoch and step."""

import hashlib

import numpy as np

from vae_zoo import errors, memory
from vae_zoo.datasets import augment as augmentations
from vae_zoo.datasets import catalogue, policies, sources, stored
from vae_zoo.datasets.fitting import parse_size
from vae_zoo.datasets.store import Store

_COPIED = 2**28  # bytes of images that TensorFlow may hold a second time
_HASHED = 10_000  # images behind the checksum, evenly spaced
_TRAIN = 0
_NUMBERS = {split: number for number, split in enumerate(stored.SPLITS)}


def load(
    name,
    *,
    batch_size=None,
    seed=0,
    image_size=None,
    crop=None,
    channels=None,
    binarization=None,
    augment=(),
    data_dir=None,
    manual_dir=None,
    memory_budget_mb=2048,
    cache_dir=None,
    skip_broken=False,
    default_batch_size=128,
):
    """Returns the Splits of a data set, preparing it if need be.

    Args:
        name: of the catalogue, of TFDS; or a path: a folder of images, a zip or tar of one, a
            .npz or .npy file.
        batch_size: images a batch; None is the default, or less where there are few images.
        seed: of the order of the images and of their binarisation.
        image_size: pixels to resize to: a side, or (H, W), or "HxW"; None: as is, or as the
            catalogue says.
        crop: pixels a side to cut out of the centre first.
        channels: 1 takes all images as grey, 3 as colour; None: as they are.
        binarization: "static" (the images are binary), "dynamic" (a grey value is the probability
            of ink, drawn anew each step), "threshold" (ink from one half on) or "none" (8-bit
            values); None is what suits the data.
        augment: how training images are changed at random: "flip" (left to right), "shift", "crop"
            and "colour"; validation and test images never are.
        data_dir: prepared TFDS data; None is TFDS_DATA_DIR, or ~/tensorflow_datasets.
        manual_dir: files downloaded by hand, for TFDS to prepare.
        memory_budget_mb: images beyond this are kept in a file instead of memory.
        cache_dir: where that file lies; None is vae_zoo in the user's cache.
        skip_broken: leave out image files that cannot be read, instead of an error.
        default_batch_size: what batch_size is by default, where there are enough images.

    Raises:
        UserError: for data that is not there or broken, or arguments that make no sense.
    """
    _check_arguments(batch_size, crop, binarization, channels)
    size, changes = parse_size(image_size), augmentations.check(augment)
    source = sources.open_source(name, data_dir, manual_dir, skip_broken)
    store = Store(source, size, crop, channels, memory_budget_mb, cache_dir)
    if batch_size is None:
        batch_size, fitted = _fitting_batch(source, store, default_batch_size)
        store.notes.extend(fitted)
    return Splits(source, store, batch_size, seed, binarization, changes)


class Splits:
    """The train, validation and test images of a data set, under one binarisation policy.

    Attributes:
        name: the data set.
        image_shape: (H, W, C).
        num_classes, label_names: None without labels.
        binarization: the policy; see load.
        likelihood: the fitting one: "bernoulli" or "discretized_logistic".
        checksum: of the images and the policy.
        notes: what the user should know, one line for each note.
        num_train, num_validation, num_test: images.
        batch_size, seed: of the batches.
        steps_per_pass: of one pass over the training images.
        steps_per_epoch: after so many steps a training validates; a pass, unless it is set.
        factor_names, factor_sizes: of the known factors, or None.
        num_skipped: broken files that were left out.
        augment: names of how training images are changed.
    """

    def __init__(self, source, store, batch_size, seed, binarization=None, augment=()):
        self.name, self.batch_size, self.seed = source.name, batch_size, seed
        self._source, self._store = source, store
        self.num_train, self.num_validation, self.num_test = (
            source.parts[split].count for split in stored.SPLITS
        )
        if batch_size > self.num_train:
            raise errors.UserError(
                f"--batch_size={batch_size} is larger than the training split of {self.name} "
                f"({self.num_train:,} images). Expected at most that, or leave the flag out."
            )
        self.num_skipped = source.skipped
        self.steps_per_pass = self.steps_per_epoch = self.num_train // batch_size
        self.image_shape = store.raw("train").shape[1:]
        labelled = source.parts["train"].labels is not None
        self.label_names = list(source.label_names) if labelled else None
        self.num_classes = len(source.label_names) if labelled else None
        self.factor_names, self.factor_sizes = source.factor_names, source.factor_sizes
        self.binarization = policies.choose(
            self.raw("train"), self.name, binarization, source.spec.binarization
        )
        self.augment = augment
        if "colour" in augment and self.binarization == "static":
            raise errors.UserError(
                f"--augment=colour: the images of {self.name} are binary. Expected flip, shift or "
                "crop."
            )
        grey = self.binarization == "none"
        self.likelihood = "discretized_logistic" if grey else "bernoulli"
        self.notes = [*source.notes, *store.notes, *filter(None, [source.spec.note])]

    # Arrays.

    def raw(self, split):
        """Returns the 8-bit images of a split, uint8 [N, H, W, C]; 0 and 255 where binary."""
        return self._store.raw(split)

    def images(self, split, count=None):
        """Returns the first images of a split under the policy, float32 [N, H, W, C] in [0, 1].

        A drawn binarisation is fixed by the seed: image i is the same in every call.
        """
        count = len(self.raw(split)) if count is None else min(count, len(self.raw(split)))
        return self.rows(split, np.arange(count))

    def rows(self, split, rows):
        """Returns some images of a split, by their numbers; as `images` does.

        Args:
            split: "train", "validation" or "test".
            rows: int array [n].
        """
        image = self.raw(split)[rows]
        if self.binarization != "dynamic":
            return policies.deterministic(image, self.binarization)
        return policies.drawn_by_row(image, rows, self.seed, _NUMBERS[split])

    def labels(self, split, count=None):
        """Returns the first labels of a split, int32 [N], or None."""
        labels = self._source.parts[split].labels
        return None if labels is None else labels[:count]

    def factors(self, split, count=None):
        """Returns the first known factors of a split, int64 [N, F], or None."""
        factors = self._source.parts[split].factors
        return None if factors is None else factors[:count]

    @property
    def checksum(self):
        """SHA-256 of up to 10,000 training images, of all counts, and of the policy."""
        raw = self.raw("train")
        rows = np.linspace(0, len(raw) - 1, min(_HASHED, len(raw))).astype(np.int64)
        digest = hashlib.sha256(np.ascontiguousarray(raw[rows]))
        counts = (self.num_train, self.num_validation, self.num_test, self.binarization)
        digest.update(repr(counts).encode())
        return digest.hexdigest()

    # Batches: dicts {"image": float32 [B, H, W, C] in [0, 1], "label": int32 [B]}.

    @property
    def train(self):
        """One pass over the training images, in another order each time; for plain `fit`."""
        import tensorflow as tf

        steps = self.steps_per_pass
        epochs = tf.data.Dataset.random(self.seed, rerandomize_each_iteration=True).take(1)

        def steps_of(epoch):
            return tf.data.Dataset.range(steps).map(lambda step: epoch % 2**30 * steps + step)

        data = epochs.flat_map(steps_of).apply(tf.data.experimental.assert_cardinality(steps))
        return self._batches(data)

    def train_from(self, step, shares=1, own=(0,)):
        """Returns endless training batches from a global step on.

        Batch t is a function of (seed, t): a resumed run sees what the uninterrupted one does.

        Args:
            step: the first one.
            shares: parts that each batch is cut into; a divisor of the batch size.
            own: which of them are wanted, one after the other: no others are read or drawn.
        """
        import tensorflow as tf

        return self._batches(tf.data.Dataset.counter(start=step * len(own)), shares, own)

    @property
    def validation(self):
        """One pass over the validation images, in order; the last batch may be smaller."""
        return self._in_order("validation")

    @property
    def test(self):
        """One pass over the test images, in order; the last batch may be smaller."""
        return self._in_order("test")

    def _batches(self, places, shares=1, own=(0,)):
        """Returns the own shares of batches: of the first step, of the next, and so on."""
        import tensorflow as tf

        def batch(place):
            if shares == 1:
                return self._train_batch(place, 0, self.batch_size)
            share = own[0] + place % len(own)
            return self._train_batch(place // len(own), share, self.batch_size // shares)

        options = tf.data.Options()
        policy = tf.data.experimental.AutoShardPolicy.DATA  # workers take slices of each batch
        options.experimental_distribute.auto_shard_policy = policy
        batches = places.map(batch, num_parallel_calls=2, deterministic=True)
        return batches.with_options(options).prefetch(4)

    def _train_batch(self, step, share, rows):
        """Returns a share of batch `step`: an order for each epoch, changes and ink for each step.

        Args:
            step: int64 tensor.
            share: number of the share.
            rows: images of a share.
        """
        import tensorflow as tf

        epoch, place = step // self.steps_per_pass, step % self.steps_per_pass
        first = tf.cast(share * rows, tf.int64)
        index = tf.random.experimental.index_shuffle(
            place * self.batch_size + first + tf.range(rows, dtype=tf.int64),
            [self.seed, tf.cast(epoch, tf.int32)],
            self.num_train - 1,
        )
        image, label = self._gather("train", index)
        image.set_shape((rows, *self.image_shape))
        if self.augment:
            image = augmentations.apply(self.augment, image, self.seed, step, first)
        if self.binarization == "dynamic":
            image = policies.drawn(image, self.seed, step, first)
        else:
            image = policies.deterministic(image, self.binarization)
        return {"image": image} if label is None else {"image": image, "label": label}

    def _gather(self, split, index):
        import tensorflow as tf

        image, labels = self._rows(split, index), self._source.parts[split].labels
        if labels is None:
            return image, None
        label = tf.gather(tf.constant(labels), index)
        label.set_shape(index.shape)
        return image, label

    def _rows(self, split, index):
        """Returns some 8-bit images, uint8 [B, H, W, C].

        Of a copy that TensorFlow holds, where it is small: a call of Python costs more than the
        rest of a batch.
        """
        import tensorflow as tf

        raw = self.raw(split)
        if raw.nbytes <= _COPIED and not isinstance(raw, np.memmap):
            with tf.init_scope():  # a tensor that graphs refer to, not a part of them
                copy = tf.constant(raw)
            return tf.gather(copy, index)
        return tf.numpy_function(
            lambda rows: np.take(raw, rows, axis=0), [index], tf.uint8, stateful=False
        )

    def _in_order(self, split):
        import tensorflow as tf

        count, size = len(self.raw(split)), self.batch_size

        def batch(start):
            index = tf.range(start, tf.minimum(start + size, count))
            image = tf.numpy_function(
                lambda rows: self.rows(split, rows), [index], tf.float32, stateful=False
            )
            image.set_shape((None, *self.image_shape))
            labels = self._source.parts[split].labels
            if labels is None:
                return {"image": image}
            return {"image": image, "label": tf.gather(tf.constant(labels), index)}

        return tf.data.Dataset.range(0, count, size).map(batch).prefetch(2)


def _fitting_batch(source, store, default):
    """Returns the default batch size, or a smaller one for few or large images, and notes."""
    count, shape = source.parts["train"].count, store.raw("train").shape[1:]
    fitting = memory.images_at_once(shape, default)
    if fitting <= count:
        note = f"batches of {fitting} instead of {default}: images are {shape[0]} x {shape[1]}"
        return fitting, [note] if fitting < default else []
    size = 2 ** max(0, int(np.log2(count / 4))) if count >= 4 else 1
    return size, [f"batches of {size} instead of {default}: there are {count} training images"]


def _check_arguments(batch_size, crop, binarization, channels):
    for name, value in (("batch_size", batch_size), ("crop", crop)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise errors.UserError(f"{name}={value!r}: expected a whole number of at least 1.")
    if channels not in (None, 1, 3):
        raise errors.UserError(f"--channels={channels}: expected 1 (grey) or 3 (colour).")
    if binarization is not None and binarization not in catalogue.BINARIZATIONS:
        raise errors.unknown("binarization", binarization, catalogue.BINARIZATIONS)
