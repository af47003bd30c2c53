"""A data set ready to train on: uint8 images, and batches as functions of seed, epoch and step."""

import hashlib
import os
import pathlib
import tempfile

import numpy as np

from vae_zoo import errors
from vae_zoo.datasets import catalogue, sources, stored

_LARGEST = 4096  # pixels a side
_COPIED = 2**28  # bytes of images that TensorFlow may hold a second time
_HASHED = 10_000  # images behind the checksum, evenly spaced
_TRAIN = 0
_NUMBERS = {split: number for number, split in enumerate(stored.SPLITS)}


def load(
    name,
    *,
    batch_size=128,
    seed=0,
    image_size=None,
    crop=None,
    binarization=None,
    data_dir=None,
    manual_dir=None,
    memory_budget_mb=2048,
    cache_dir=None,
):
    """Returns the Splits of a data set, preparing it if need be.

    Args:
        name: of the catalogue, of TFDS, a folder of images or a .npz file.
        batch_size: images a batch.
        seed: of the order of the images and of their binarisation.
        image_size: pixels a side to resize to; None: as is, or as the catalogue says.
        crop: pixels a side to cut out of the centre first.
        binarization: "static" (the images are binary), "dynamic" (a grey value is the probability
            of ink, drawn anew each step), "threshold" (ink from one half on) or "none" (8-bit
            values); None is what suits the data.
        data_dir: prepared TFDS data; None is TFDS_DATA_DIR, or ~/tensorflow_datasets.
        manual_dir: files downloaded by hand, for TFDS to prepare.
        memory_budget_mb: images beyond this are kept in a file instead of memory.
        cache_dir: where that file lies; None is vae_zoo in the user's cache.

    Raises:
        UserError: for data that is not there or broken, or arguments that make no sense.
    """
    _check_arguments(batch_size, image_size, crop, binarization)
    source = sources.open_source(name, data_dir, manual_dir)
    store = _Store(source, image_size, crop, memory_budget_mb, cache_dir)
    return Splits(source, store, batch_size, seed, binarization)


class Splits:
    """The train, validation and test images of a data set, under one binarisation policy.

    Attributes:
        name: the data set.
        image_shape: (H, W, C).
        num_classes, label_names: None without labels.
        binarization: the policy; see load.
        likelihood: the fitting one: "bernoulli" or "discretized_logistic".
        checksum: of the images and the policy.
        notes: what the user should know, a line each.
        num_train, num_validation, num_test: images.
        batch_size, seed, steps_per_epoch: of the batches.
        factor_names, factor_sizes: of the known factors, or None.
    """

    def __init__(self, source, store, batch_size, seed, binarization=None):
        self.name, self.batch_size, self.seed = source.name, batch_size, seed
        self._source, self._store = source, store
        self.num_train, self.num_validation, self.num_test = (
            source.parts[split].count for split in stored.SPLITS
        )
        if batch_size > self.num_train:
            raise errors.UserError(
                f"batch_size={batch_size} is larger than the training split of {self.name} "
                f"({self.num_train:,} images). Expected at most that."
            )
        self.steps_per_epoch = self.num_train // batch_size
        self.image_shape = store.raw("train").shape[1:]
        labelled = source.parts["train"].labels is not None
        self.label_names = list(source.label_names) if labelled else None
        self.num_classes = len(source.label_names) if labelled else None
        self.factor_names, self.factor_sizes = source.factor_names, source.factor_sizes
        self.binarization = self._policy(binarization)
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
        return self._fixed(split, np.arange(count))

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

        steps = self.steps_per_epoch
        epochs = tf.data.Dataset.random(self.seed, rerandomize_each_iteration=True).take(1)

        def steps_of(epoch):
            return tf.data.Dataset.range(steps).map(lambda step: epoch % 2**30 * steps + step)

        data = epochs.flat_map(steps_of).apply(tf.data.experimental.assert_cardinality(steps))
        return self._batches(data)

    def train_from(self, step):
        """Returns endless training batches from a global step on.

        Batch t is a function of (seed, t): a resumed run sees what the uninterrupted one does.
        """
        import tensorflow as tf

        return self._batches(tf.data.Dataset.counter(start=step))

    @property
    def validation(self):
        """One pass over the validation images, in order; the last batch may be smaller."""
        return self._in_order("validation")

    @property
    def test(self):
        """One pass over the test images, in order; the last batch may be smaller."""
        return self._in_order("test")

    def _batches(self, steps):
        import tensorflow as tf

        options = tf.data.Options()
        policy = tf.data.experimental.AutoShardPolicy.DATA  # workers take slices of each batch
        options.experimental_distribute.auto_shard_policy = policy
        batches = steps.map(self._train_batch, num_parallel_calls=2, deterministic=True)
        return batches.with_options(options).prefetch(4)

    def _train_batch(self, step):
        """Returns batch `step`: a permutation of each epoch, the binarisation of each step."""
        import tensorflow as tf

        epoch, place = step // self.steps_per_epoch, step % self.steps_per_epoch
        index = tf.random.experimental.index_shuffle(
            place * self.batch_size + tf.range(self.batch_size, dtype=tf.int64),
            [self.seed, tf.cast(epoch, tf.int32)],
            self.num_train - 1,
        )
        image, label = self._gather("train", index)
        if self.binarization == "dynamic":
            image = self._drawn(image, tf.stack([tf.constant(self.seed, tf.int64), step]))
        else:
            image = self._deterministic(image)
        image.set_shape((self.batch_size, *self.image_shape))
        return {"image": image} if label is None else {"image": image, "label": label}

    def _drawn(self, image, key):
        """Returns ink with probability image / 255, to within 2^-16: four pixels a random word.

        Black and white are certain.
        """
        import tensorflow as tf

        pixels = self.batch_size * int(np.prod(self.image_shape))
        words = tf.random.stateless_uniform(
            [-(-pixels // 4)], key, None, None, tf.uint64, alg="philox"
        )
        # Even numbers: all of them lie below the threshold of white, which is 65535.
        words = tf.bitwise.bitwise_and(words, tf.constant(0xFFFEFFFEFFFEFFFE, tf.uint64))
        draw = tf.reshape(tf.bitcast(words, tf.uint16), [-1])[:pixels]
        threshold = tf.cast(image, tf.uint16) * 257
        return tf.cast(tf.reshape(draw, tf.shape(image)) < threshold, tf.float32)

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
                lambda rows: self._fixed(split, rows), [index], tf.float32, stateful=False
            )
            image.set_shape((None, *self.image_shape))
            labels = self._source.parts[split].labels
            if labels is None:
                return {"image": image}
            return {"image": image, "label": tf.gather(tf.constant(labels), index)}

        return tf.data.Dataset.range(0, count, size).map(batch).prefetch(2)

    def _fixed(self, split, rows):
        """Returns images under the policy, a drawn binarisation being a function of the row."""
        image = self.raw(split)[rows]
        if self.binarization != "dynamic":
            return self._deterministic(image)
        image = image.astype(np.float32)
        for i, row in enumerate(rows):
            counter = [0, 0, int(row), _NUMBERS[split]]
            bits = np.random.Philox(key=self.seed % 2**64, counter=counter)
            draw = np.random.Generator(bits).random(image.shape[1:], dtype=np.float32)
            image[i] = draw * 255.0 < image[i]
        return image

    def _deterministic(self, image):
        """Returns 8-bit values as floats: in [0, 1], or binary above one half."""
        if self.binarization == "none":
            return _to_float(image) / 255
        return _to_float(image > 127)

    def _policy(self, wanted):
        raw = self.raw("train")[:1000]
        binary = bool(np.isin(raw, (0, 255)).all())
        own = self._source.spec.binarization or ("static" if binary else "none")
        policy = wanted or own
        if policy == "static" and not binary:
            raise errors.UserError(
                f"binarization=static: the images of {self.name} have grey values. Expected "
                "dynamic, threshold or none."
            )
        if policy != "static" and binary and policy != "threshold":
            raise errors.UserError(
                f"binarization={policy}: the images of {self.name} are binary already. "
                "Expected static."
            )
        return policy


class _Store:
    """The images of each split as one uint8 array, in memory or in a file."""

    def __init__(self, source, image_size, crop, memory_budget_mb, cache_dir):
        self._source, self._crop = source, crop
        self._image_size = image_size or source.spec.image_size
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
        words = f"{self._source.identity} {self._image_size} {self._crop} {split}"
        path = self._cache_dir / f"{hashlib.sha256(words.encode()).hexdigest()[:24]}.npy"
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
        if self._source.spec.binarization == "static" or array[:1000].max(initial=0) <= 1:
            np.multiply(array, 255, out=array, where=array == 1)
        return array

    def _first(self):
        chunk = next(iter(self._source.parts["train"].chunks()))
        if self._image_size and chunk.shape[1] != chunk.shape[2] and not self._crop:
            self.notes.append(
                f"images of {chunk.shape[1]} x {chunk.shape[2]} are cut to their central square "
                "before they are resized; --crop sets another cut"
            )
        self._shape = None
        return self._fitted(chunk[0])

    def _fitted(self, image):
        """Returns an image cut, grey or inverted as asked, and resized."""
        from PIL import Image

        spec, size = self._source.spec, self._image_size
        cut = self._crop or (min(image.shape[:2]) if size else None)
        if cut:
            image = _central(image, cut, self._source.name)
        if spec.grey and image.shape[-1] == 3:
            image = np.asarray(Image.fromarray(image).convert("L"))[..., np.newaxis]
        if spec.invert:
            image = 255 - image
        if size and image.shape[:2] != (size, size):
            plain = image[..., 0] if image.shape[-1] == 1 else image
            plain = Image.fromarray(plain).resize((size, size), Image.Resampling.BICUBIC)
            image = np.asarray(plain).reshape(size, size, -1)
        if self._shape is not None and image.shape != self._shape:
            raise errors.UserError(
                f"{self._source.name} has images of {image.shape} and of {self._shape}. "
                "Expected one size: give --image_size (all grey or all colour)."
            )
        return image


def _central(image, cut, name):
    height, width = image.shape[:2]
    if cut > min(height, width):
        raise errors.UserError(
            f"crop={cut}: images of {name} are {height} x {width}. Expected at most "
            f"{min(height, width)}."
        )
    top, left = (height - cut) // 2, (width - cut) // 2
    return image[top : top + cut, left : left + cut]


def _to_float(image):
    if isinstance(image, np.ndarray):
        return image.astype(np.float32)
    import tensorflow as tf

    return tf.cast(image, tf.float32)


def _reserve(path):
    """Takes the space of a sparse file: on a full disk, writing to its map kills the process."""
    with open(path, "r+b") as file:
        os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))


def _user_cache():
    return os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "vae_zoo")


def _check_arguments(batch_size, image_size, crop, binarization):
    for name, value in (("batch_size", batch_size), ("image_size", image_size), ("crop", crop)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise errors.UserError(f"{name}={value!r}: expected a whole number of at least 1.")
    if image_size is not None and image_size > _LARGEST:
        raise errors.UserError(f"image_size={image_size}: expected at most {_LARGEST} pixels.")
    if binarization is not None and binarization not in catalogue.BINARIZATIONS:
        raise errors.unknown("binarization", binarization, catalogue.BINARIZATIONS)
