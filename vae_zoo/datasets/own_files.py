"""Images that users bring: a .npz file of arrays, or a folder of image files."""

import hashlib

import numpy as np

from vae_zoo import errors
from vae_zoo.datasets import catalogue
from vae_zoo.datasets.stored import CHUNK, SPLITS, TENTH, Part, Source

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
_FEWEST = 10


def open_npz(path):
    """Returns the Source of a file's arrays `image` and, if it has one, `label`."""
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
        lambda rows: (images[rows[i : i + CHUNK]] for i in range(0, len(rows), CHUNK)),
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


def open_folder(root):
    """Returns the Source of a folder of images; see _folder_files for its layouts."""
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
        tenth = max(1, count // TENTH)
        fixed = {"test": np.sort(order[:tenth]), "validation": np.sort(order[tenth : 2 * tenth])}
        fixed["train"] = np.sort(order[2 * tenth :])
        notes = (*notes, f"no splits: {tenth:,} images each serve for validation and test")
    for split in ("test", "validation"):
        if split not in fixed:
            train = np.random.default_rng(0).permutation(fixed["train"])
            tenth = max(1, len(train) // TENTH)
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
