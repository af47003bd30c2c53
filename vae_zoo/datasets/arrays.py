"""Images that users bring as arrays: a .npz or a .npy file."""

import stat

import numpy as np

from vae_zoo import errors
from vae_zoo.datasets import pixels, stored

_IMAGES = ("image", "images", "x", "data", "arr_0", "imgs")
_LABELS = ("label", "labels", "y", "target", "targets", "arr_1")
_FACTORS = ("factors", "latents_classes")  # the second is that of dSprites's own file
_EXPECTED = (
    "Expected image [N, H, W] or [N, H, W, C] (also images, x, data or arr_0; or x_train and "
    "x_test), and optionally label [N]"
)


def open_arrays(path):
    """Returns the Source of a .npz or .npy file.

    Args:
        path: a pathlib.Path. Splits are those of the file (x_train, x_test, x_val), or are cut.

    Raises:
        UserError: where it cannot be read, or its arrays are no images or labels.
    """
    images, labels, taken = _read(path)
    notes = [f"{path.name}: took {', '.join(taken)}"] if taken[0] != "image" else []
    pixel, done = _check_images(path, _whole(path, images))
    factors, told = _factors(path, images)
    label, names, said = _check_labels(path, labels, images)
    return stored.from_rows(
        str(path),
        len(pixel),
        lambda rows: (
            pixel[rows[i : i + stored.CHUNK]] for i in range(0, len(rows), stored.CHUNK)
        ),
        label,
        names,
        stored.consecutive({split: len(part) for split, part in images.items()}),
        notes=[*notes, *done, *said, *told],
        identity=f"{path.resolve()}-{path.stat().st_mtime_ns}",
        factors=factors,
    )


def read_rows(path):
    """Returns the images of a .npz or .npy file without regard to splits, and their classes.

    Args:
        path: a pathlib.Path.

    Returns:
        uint8 [N, H, W, C], which of a .npy file of bytes stay on disk; the names of the classes,
        a list of N texts, or None; and notes.

    Raises:
        UserError: as `open_arrays`.
    """
    images, labels, _ = _read(path)
    pixel, notes = _check_images(path, _whole(path, images))
    if not labels or labels.keys() != images.keys():
        return pixel, None, notes
    values = np.concatenate([_flat(path, labels[s], len(images[s])) for s in images])
    return pixel, [_word(value) for value in values], notes


def _factors(path, images):
    """Returns the known factors of a .npz file's images, int64 [N, F] or None, and notes."""
    content = np.load(path, mmap_mode="r", allow_pickle=False)
    names = [] if isinstance(content, np.ndarray) else content.files
    name = next((name for name in _FACTORS if name in names), None)
    if name is None or len(images) > 1:
        return None, ()
    try:
        factors = np.asarray(content[name])  # bytes, where the member is no array
    except Exception:  # noqa: BLE001 - pickled objects, or a damaged file, which raises anything
        factors = np.empty(0)
    if factors.ndim != 2 or len(factors) != len(images["train"]) or factors.dtype.kind not in "ui":
        return None, (f"{path}: {name} is left out: expected whole numbers, a row for each image",)
    return factors.astype(np.int64), ()


def _whole(path, images):
    """Returns the images of all splits, one after the other."""
    kinds = {f"{array.dtype}{list(array.shape[1:])}" for array in images.values()}
    if len(kinds) > 1:
        raise errors.UserError(
            f"{path} has splits of images of {' and '.join(sorted(kinds))}. Expected one shape "
            "and one dtype."
        )
    return images["train"] if len(images) == 1 else np.concatenate(list(images.values()))


def _word(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _read(path):
    """Returns split -> images, split -> labels, and the names of the arrays that they are."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise errors.UserError(f"--dataset={path}: no regular file. Expected a file of arrays.")
        content = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(content, np.ndarray):
            return {"train": content}, {}, ["image"]
        with content as file:
            found = _choose(path, file.files)  # the other arrays are not read
            images = {split: file[image] for split, (image, _) in found.items()}
            labels = {split: file[label] for split, (_, label) in found.items() if label}
            if not all(isinstance(a, np.ndarray) for a in (*images.values(), *labels.values())):
                raise ValueError("a member of the file is no array")
    except FileNotFoundError:
        raise errors.UserError(f"--dataset={path}: no such file.") from None
    except (errors.UserError, MemoryError):
        raise
    except Exception as error:
        raise errors.UserError(
            f"{path} cannot be read: it is corrupt, or holds pickled objects "
            f"({type(error).__name__}). Expected a .npz file of plain arrays: "
            "np.savez(path, image=images, label=labels)."
        ) from error
    return images, labels, [name for pair in found.values() for name in pair if name]


def _choose(path, names):
    """Returns split -> (name of the images, name of the labels or None)."""
    lower = {name.lower(): name for name in names}
    whole = _first(lower, _IMAGES)
    found = {"train": (whole, _first(lower, _LABELS))} if whole else {}
    for alias, split in stored.ALIASES.items():
        image = None if whole else _first(lower, _of_split(_IMAGES, alias))
        if image:
            found[split] = (image, _first(lower, _of_split(_LABELS, alias)))
    if "train" not in found:
        raise errors.UserError(
            f"{path} has no array `image` (it has {', '.join(names) or 'none'}). {_EXPECTED}."
        )
    return {split: found[split] for split in stored.SPLITS if split in found}


def _of_split(keys, split):
    return [name for key in keys for name in (f"{key}_{split}", f"{split}_{key}")]


def _first(names, wanted):
    return next((names[name] for name in wanted if name in names), None)


def _check_images(path, images):
    """Returns uint8 images [N, H, W, C], and notes on what had to be done."""
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[-1] not in (1, 3, 4) or min(images.shape) < 1:
        first = images.ndim == 4 and images.shape[1] in (1, 3)
        remedy = " Channels come last: image.transpose(0, 2, 3, 1)." if first else ""
        raise errors.UserError(
            f"{path}: image has shape {images.shape}. Expected [N, H, W] or [N, H, W, C] with 1 "
            f"or 3 channels.{remedy}"
        )
    images, notes = _to_bytes(path, images)
    if images.shape[-1] == 4:
        return pixels.over_white(images), (*notes, f"{path}: {pixels.TRANSPARENT}")
    return images, notes


def _to_bytes(path, images):
    if images.dtype.kind == "f":
        return _from_floats(path, images)
    if images.dtype == bool:
        return images.astype(np.uint8) * 255, ()
    if images.dtype == np.uint16 and images.max() > 255:
        return pixels.from_sixteen_bits(images), (f"{path}: {pixels.SIXTEEN_BITS}",)
    if images.dtype.kind not in "ui" or images.min() < 0 or images.max() > 255:
        raise errors.UserError(
            f"{path}: image has dtype {images.dtype} and values outside 0 to 255. Expected uint8, "
            "uint16, or floats in [0, 1]."
        )
    return images.astype(np.uint8, copy=False), ()


def _from_floats(path, images):
    low, high = np.fmin.reduce(images, None), np.fmax.reduce(images, None)
    if not (np.isfinite(images).all() and low >= 0 and high <= 1):
        remedy = "(image + 1) / 2" if -1 <= low < 0 and high <= 1 else "image / 255"
        raise errors.UserError(
            f"{path}: image has values that are NaN, infinite or outside [0, 1] (from "
            f"{low:g} to {high:g}). Expected floats in [0, 1], or uint8: store {remedy}, "
            "if that is what they mean."
        )
    grey = bool(((images != 0) & (images != 1)).any())
    notes = (f"{path}: floats in [0, 1] were rounded to 8 bits",) if grey else ()
    return np.round(images * 255).astype(np.uint8), notes


def _check_labels(path, labels, images):
    """Returns int32 labels of all rows, the names of the classes, and notes; or three times none.

    Labels of only some of the splits are left out, with a note.
    """
    if not labels:
        return None, None, ()
    if labels.keys() != images.keys():
        lacking = " and ".join(sorted(images.keys() - labels.keys()))
        return None, None, (f"{path}: no labels of {lacking}: those of the others are left out",)
    parts = [_flat(path, labels[split], len(images[split])) for split in images]
    notes = ()
    if any(label.ndim == 2 and label.shape[1] > 1 for label in labels.values()):
        notes = (f"{path}: one-hot labels were read as classes",)
    label = np.concatenate(parts)
    if label.dtype.kind in "ui" and label.min() < 0:
        raise errors.UserError(
            f"{path}: label has values from {label.min()} to {label.max()}. Expected classes "
            "numbered from 0, or names."
        )
    values, index = np.unique(label, return_inverse=True)
    if len(values) == len(label):
        raise errors.UserError(
            f"{path}: label has another value for each of the {len(label):,} images. Expected "
            "classes that images share."
        )
    return index.astype(np.int32), [_word(value) for value in values], notes


def _flat(path, labels, count):
    """Returns the labels of one split, [N]: whole numbers or words."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    rows = labels.ndim == 2 and labels.dtype.kind in "buif"
    if rows and ((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all():
        labels = labels.argmax(1)
    if labels.shape != (count,) or labels.dtype.kind not in "uiUS":
        raise errors.UserError(
            f"{path}: label has shape {labels.shape} and dtype {labels.dtype}. Expected {count} "
            "whole numbers from 0, words or one-hot rows, one for each image."
        )
    return labels
