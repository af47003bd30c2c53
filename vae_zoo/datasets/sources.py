"""From a name, a folder or a file to uint8 images: the one place that decodes and resizes."""

import contextlib
import fcntl
import hashlib
import io
import os
import pathlib
import socket
import tempfile
import threading
from typing import Any, NamedTuple

import numpy as np

from vae_zoo import errors
from vae_zoo.datasets import catalogue

SPLITS = ("train", "validation", "test")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
_TENTH = 10
_FEWEST = 10
_CHUNK = 256
_PROBE = ("storage.googleapis.com", 443, 1.5)  # host of TFDS's mirrors, port, seconds


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


def open_source(name, data_dir=None, manual_dir=None):
    """Returns the Source of a data set, prepared if need be.

    Args:
        name: of TFDS; or a path of a .npz file or of a folder of images.
        data_dir: where TFDS keeps prepared data.
        manual_dir: files downloaded by hand.

    Raises:
        UserError: where there is no such data, or it is broken.
    """
    if name.endswith(".npz"):
        return _open_npz(pathlib.Path(name))
    if os.path.isdir(name):
        return _open_folder(pathlib.Path(name))
    if os.sep in name and name.split("/")[0] not in catalogue.DATASETS and name[0] in "./~":
        raise errors.UserError(f"--dataset={name}: no such folder. Expected a folder of images.")
    return _open_tfds(name, data_dir, manual_dir)


# tensorflow-datasets


def _open_tfds(name, data_dir, manual_dir):
    spec = catalogue.DATASETS.get(name.split("/")[0].split(":")[0], catalogue.OTHER)
    data_dir, notes = _place(data_dir, spec.ships)
    builder = _builder(name, spec, data_dir)
    if not builder.is_prepared():
        _prepare(builder, name, spec, data_dir, manual_dir)
    if not builder.info.splits:  # another process has prepared it in the meantime
        builder = _builder(name, spec, data_dir)
    image = _image_feature(builder, name)
    named = {split: split for split in builder.info.splits if split in SPLITS}
    if "train" not in named:
        raise errors.UserError(
            f"{name} has no train split (it has {', '.join(builder.info.splits)}). "
            "Expected a data set that can be trained on."
        )
    features = builder.info.features
    names = getattr(features["label"], "names", None) if "label" in features else None
    metadata = dict(builder.info.metadata or {})
    parts, cut = _cut_slices(named, {s: builder.info.splits[s].num_examples for s in named})
    return Source(
        name=name,
        parts={s: _tfds_part(builder, image, slices) for s, slices in parts.items()},
        spec=spec,
        label_names=names,
        factor_names=metadata.get("factor_names") or _factor_features(builder),
        factor_sizes=metadata.get("factor_sizes"),
        notes=(*notes, *cut),
        identity=f"{builder.info.full_name}",
    )


def _place(data_dir, ships):
    """Returns where prepared data lies, and a note where that is not where the user wanted it."""
    wanted = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    wanted = os.path.expanduser(str(wanted))
    if not ships or _writable(wanted):
        return wanted, ()
    fallback = os.path.join(tempfile.gettempdir(), f"vae_zoo-{os.getuid()}")
    return fallback, (f"{wanted} cannot be written: prepared the data in {fallback} instead",)


def _writable(directory):
    try:
        os.makedirs(directory, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False


def _builder(name, spec, data_dir):
    import tensorflow_datasets as tfds

    if spec.ships:
        from vae_zoo.datasets import digits, sprites  # noqa: F401 (registers them)
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        raise errors.unknown(
            "data set", name, [*catalogue.DATASETS, *tfds.list_builders()]
        ) from None
    except (ValueError, KeyError, AssertionError) as error:  # the last one: of a version
        reason = str(error).splitlines()[0].rpartition('": ')[2].rstrip(".")
        raise errors.UserError(
            f"--dataset={name}: {reason[:160]}. Expected name, or name/config."
        ) from error


def _prepare(builder, name, spec, data_dir, manual_dir):
    """Prepares a data set; the ones that ship need no network."""
    import tensorflow_datasets as tfds

    if not spec.ships and not manual_dir and not _reachable():
        raise _not_there(name, data_dir)
    config = tfds.download.DownloadConfig(manual_dir=manual_dir)
    # TFDS keys what it extracts by file name alone: each data set needs a folder of its own.
    config.extract_dir = os.path.join(data_dir, "downloads", "extracted", name.replace("/", "-"))
    tfds.disable_progress_bar()
    os.makedirs(data_dir, exist_ok=True)
    try:
        with _lock(os.path.join(data_dir, f".{name.replace('/', '-')}.lock")):
            quiet = contextlib.redirect_stdout(io.StringIO())
            with quiet if spec.ships else contextlib.nullcontext():
                if not builder.is_prepared():
                    builder.download_and_prepare(download_config=config)
    except errors.UserError:
        raise
    except Exception as error:
        raise _not_there(name, data_dir, manual_dir, error) from error


@contextlib.contextmanager
def _lock(path):
    """Two processes that prepare the same data take turns."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _reachable():
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy")):
        return True
    answers = []
    # In a thread, because looking a name up knows no time limit.
    probe = threading.Thread(target=_connect, args=(answers,), daemon=True)
    probe.start()
    probe.join(_PROBE[2])
    return bool(answers)


def _connect(answers):
    host, port, seconds = _PROBE
    with contextlib.suppress(OSError):
        socket.create_connection((host, port), timeout=seconds).close()
        answers.append(True)


def _not_there(name, data_dir, manual_dir=None, error=None):
    reason = f" ({type(error).__name__}: {str(error).splitlines()[0][:120]})" if error else ""
    looked = data_dir + (f" and {manual_dir}" if manual_dir else "")
    return errors.UserError(
        f"data set {name} is not prepared: looked in {looked}, and it cannot be downloaded from "
        f"here{reason}. Either give --data_dir with a folder that holds it prepared; or "
        "--manual_dir with its downloaded files; or prepare it on a machine with a network: "
        f"python -c \"import tensorflow_datasets as tfds; tfds.load('{name}')\" "
        "and copy ~/tensorflow_datasets."
    )


def _image_feature(builder, name):
    import tensorflow_datasets as tfds

    for key, feature in builder.info.features.items():
        if isinstance(feature, tfds.features.Image):
            return key
    raise errors.UserError(
        f"{name} has no images (it has {', '.join(builder.info.features)}). Expected an image "
        "data set."
    )


def _factor_features(builder):
    names = [key for key in builder.info.features if key.startswith("label_")]
    return tuple(name.removeprefix("label_") for name in names) or None


def _cut_slices(named, counts):
    """Returns split -> TFDS slice, cut off `train` where a split is missing, and what was cut."""
    parts = dict(named)
    notes = []
    missing = [split for split in ("validation", "test") if split not in parts]
    kept = counts["train"] - len(missing) * (counts["train"] // _TENTH)
    for i, split in enumerate(missing):
        first = kept + i * (counts["train"] // _TENTH)
        parts[split] = f"train[{first}:{first + counts['train'] // _TENTH}]"
        notes.append(
            f"no {split} split: the last {counts['train'] // _TENTH:,} of the stored training "
            "images serve as one"
            if len(missing) == 1
            else f"no {split} split: {counts['train'] // _TENTH:,} training images serve as one"
        )
    if missing:
        parts["train"] = f"train[:{kept}]"
    return {split: parts[split] for split in SPLITS}, notes


def _tfds_part(builder, image, split):
    """Returns a split's Part; labels and factors are read at once, images when asked for."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    features = builder.info.features
    wanted = [k for k in features if k in ("label", "factors") or k.startswith("label_")]
    read = tfds.ReadConfig(interleave_cycle_length=1)
    small = {key: [] for key in wanted}
    if wanted:
        decoders = tfds.decode.PartialDecoding({key: True for key in wanted})
        data = builder.as_dataset(split=split, read_config=read, decoders=decoders)
        for batch in tfds.as_numpy(data.batch(4096)):
            for key in wanted:
                small[key].append(batch[key])
    columns = {key: np.concatenate(value) for key, value in small.items()}
    labels = columns.pop("label", None)
    factors = columns.pop("factors", None)
    if columns:
        factors = np.stack([columns[key] for key in columns], axis=1)

    def chunks():
        decoders = tfds.decode.PartialDecoding({image: True})
        data = builder.as_dataset(split=split, read_config=read, decoders=decoders)
        size = _CHUNK if None not in features[image].shape else 1
        for batch in tfds.as_numpy(data.batch(size).prefetch(tf.data.AUTOTUNE)):
            yield batch[image]

    count = builder.info.splits[split].num_examples
    classes = "label" in features and isinstance(features["label"], tfds.features.ClassLabel)
    labels = labels.astype(np.int32) if classes else None
    return Part(chunks, count, labels, factors)


# Files and folders


def _open_npz(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name in ("image", "label")}
            names = list(file.files)
    except FileNotFoundError:
        raise errors.UserError(f"--dataset={path}: no such file.") from None
    except Exception as error:
        raise errors.UserError(
            f"{path} cannot be read: it is corrupt, or holds pickled objects "
            f"({type(error).__name__}). Expected a .npz file of plain arrays: "
            "np.savez(path, image=images, label=labels)."
        ) from error
    if "image" not in arrays:
        raise errors.UserError(
            f"{path} has no array `image` (it has {', '.join(names) or 'none'}). "
            "Expected image [N, H, W] or [N, H, W, C], and optionally label [N]."
        )
    images, notes = _check_images(path, arrays["image"])
    labels = _check_labels(path, arrays.get("label"), len(images))
    return _from_rows(
        str(path),
        len(images),
        lambda rows: (images[rows[i : i + _CHUNK]] for i in range(0, len(rows), _CHUNK)),
        labels,
        notes=notes,
        identity=f"{path.resolve()}-{path.stat().st_mtime_ns}",
    )


def _check_images(path, images):
    """Returns uint8 images [N, H, W, C], and notes on what had to be done."""
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or min(images.shape) < 1:
        raise errors.UserError(
            f"{path}: image has shape {images.shape}. Expected [N, H, W] or [N, H, W, C] with 1 "
            "or 3 channels."
        )
    if images.dtype.kind == "f":
        if not (np.isfinite(images).all() and images.min() >= 0 and images.max() <= 1):
            low, high = np.fmin.reduce(images, None), np.fmax.reduce(images, None)
            raise errors.UserError(
                f"{path}: image has values that are NaN, infinite or outside [0, 1] (from "
                f"{low:g} to {high:g}). Expected floats in [0, 1], or uint8."
            )
        grey = bool(((images != 0) & (images != 1)).any())
        notes = (f"{path}: floats were rounded to 8 bits",) if grey else ()
        return np.round(images * 255).astype(np.uint8), notes
    if images.dtype == bool:
        return images.astype(np.uint8) * 255, ()
    if images.dtype.kind not in "ui" or images.min() < 0 or images.max() > 255:
        raise errors.UserError(
            f"{path}: image has dtype {images.dtype} and values outside 0 to 255. Expected uint8, "
            "or floats in [0, 1]."
        )
    return images.astype(np.uint8), ()


def _check_labels(path, labels, count):
    if labels is None:
        return None
    if labels.shape != (count,) or labels.dtype.kind not in "ui":
        raise errors.UserError(
            f"{path}: label has shape {labels.shape} and dtype {labels.dtype}. Expected {count} "
            "whole numbers from 0, one for each image."
        )
    if labels.min() < 0 or labels.max() >= count:
        raise errors.UserError(
            f"{path}: label has values from {labels.min()} to {labels.max()}. Expected classes "
            f"numbered from 0, at most as many as images ({count:,})."
        )
    return labels.astype(np.int32)


def _open_folder(root):
    files, label_names = _folder_files(root)
    if "train" in files and len(files) > 1:
        rows = [row for part in files.values() for row in part]
        lengths = np.cumsum([0] + [len(part) for part in files.values()])
        fixed = {s: np.arange(lengths[i], lengths[i + 1]) for i, s in enumerate(files)}
    else:
        rows, fixed = [row for part in files.values() for row in part], None
    labels = None if label_names is None else np.array([label for _, label in rows], np.int32)

    def chunks(chosen):
        return (_decode_file(rows[i][0])[np.newaxis] for i in chosen)

    stamp = hashlib.sha256("".join(f"{p}{p.stat().st_mtime_ns}" for p, _ in rows).encode())
    return _from_rows(
        str(root), len(rows), chunks, labels, label_names, fixed, identity=stamp.hexdigest()[:16]
    )


def _folder_files(root):
    """Returns split -> [(path, label)], and the class names or None.

    Layouts: split/class/image as tfds.ImageFolder reads it, class/image, or images alone.
    """
    import tensorflow_datasets as tfds

    inside = sorted(path for path in root.iterdir() if path.is_dir())
    deep = [d for d in inside if any(e.is_dir() for e in d.iterdir())]
    if deep:
        builder = tfds.ImageFolder(str(root))
        names = builder.info.features["label"].names
        aliases = {"val": "validation", "valid": "validation"}
        found = {
            aliases.get(split, split): [
                (path, names.index(path.parent.name)) for path in _images(root / split, "*/*")
            ]
            for split in builder.info.splits
        }
        return {split: found[split] for split in SPLITS if found.get(split)}, names
    classes = [directory for directory in inside if _images(directory, "*")]
    if classes:
        names = [directory.name for directory in classes]
        rows = [(path, i) for i, folder in enumerate(classes) for path in _images(folder, "*")]
        return {"train": rows}, names
    rows = [(path, 0) for path in _images(root, "*")]
    if not rows:
        raise errors.UserError(
            f"{root} holds no images ({', '.join(_SUFFIXES)}). Expected images, or "
            "class/image, or split/class/image."
        )
    return {"train": rows}, None


def _images(root, pattern):
    return sorted(path for path in root.glob(pattern) if path.suffix.lower() in _SUFFIXES)


def _decode_file(path):
    from PIL import Image

    try:
        with Image.open(path) as image:
            grey = image.mode in ("1", "L", "I", "I;16")
            array = np.asarray(image.convert("L" if grey else "RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise errors.UserError(
            f"{path} is not an image that can be read ({type(error).__name__}). "
            "Remove or replace it."
        ) from error
    return array[..., np.newaxis] if array.ndim == 2 else array


def _from_rows(name, count, chunks, labels, label_names=None, fixed=None, notes=(), identity=""):
    """Returns the Source of images that are rows of something: splits cut where there are none."""
    if count < _FEWEST:
        raise errors.UserError(f"{name} has {count} images. Expected at least {_FEWEST}.")
    if fixed is None:
        order = np.random.default_rng(0).permutation(count)
        tenth = max(1, count // _TENTH)
        fixed = {"test": np.sort(order[:tenth]), "validation": np.sort(order[tenth : 2 * tenth])}
        fixed["train"] = np.sort(order[2 * tenth :])
        notes = (*notes, f"no splits: {tenth:,} images each serve for validation and test")
    for split in ("test", "validation"):
        if split not in fixed:
            train = np.random.default_rng(0).permutation(fixed["train"])
            tenth = max(1, len(train) // _TENTH)
            fixed[split], fixed["train"] = np.sort(train[:tenth]), np.sort(train[tenth:])
            notes = (*notes, f"no {split} split: {tenth:,} training images serve as one")

    def part(rows):
        return Part(lambda: chunks(rows), len(rows), None if labels is None else labels[rows])

    if labels is not None and label_names is None:
        label_names = [str(i) for i in range(int(labels.max()) + 1)]
    return Source(
        name=name,
        parts={split: part(fixed[split]) for split in SPLITS},
        spec=catalogue.OTHER,
        label_names=label_names,
        notes=tuple(notes),
        identity=f"{name}-{identity}",
    )
