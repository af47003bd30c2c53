"""Images that users bring as files: a folder of them, or an archive of such a folder."""

import hashlib
import math
import os
import pathlib

import numpy as np

from vae_zoo import errors
from vae_zoo.datasets import archives, pixels, stored

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
_LINKED = 2  # levels of folders below the root, where one of them is a link
_LAYOUTS = "Expected images, or class/image, or split/class/image (split: train, validation, test)"


def open_folder(root, skip_broken=False):
    """Returns the Source of a folder (or archive) of images.

    Layouts: images alone, class/image, split/image or split/class/image, where a split is train,
    validation (or val) or test.

    Args:
        root: a pathlib.Path.
        skip_broken: leave out files that cannot be read, instead of an error.

    Raises:
        UserError: where there are no images, or broken ones.
    """
    files = image_files(root)
    splits, notes = _splits(root, sorted(files))
    rows, names = _labelled(root, splits)
    shapes, broken, said = _look(root, files, rows, skip_broken)
    rows = {s: [row for row in part if row[0] not in broken] for s, part in rows.items()}
    rows = {split: part for split, part in rows.items() if part}
    if "train" not in rows:
        raise errors.UserError(f"{root}: all training images are broken. Expected some that read.")
    flat = [row for part in rows.values() for row in part]
    labels = None if names is None else np.array([label for _, label in flat], np.int32)
    if broken:
        said = [*said, f"{len(broken):,} broken files left out, {'/'.join(min(broken))} among them"]

    def chunks(chosen):
        return (decoded(root, files, flat[i][0])[np.newaxis] for i in chosen)

    stamp = "".join(f"{'/'.join(parts)}{files[parts].stamp}" for parts, _ in flat)
    source = stored.from_rows(
        str(root),
        len(flat),
        chunks,
        labels,
        names,
        stored.consecutive({split: len(part) for split, part in rows.items()}),
        notes=[*notes, *said],
        identity=hashlib.sha256(os.fsencode(stamp)).hexdigest()[:16],
    )
    mixed = len({shape[2] for shape in shapes}) > 1
    return source._replace(skipped=len(broken), channels=3 if mixed else None, shapes=shapes)


def image_files(root):
    """Returns path below the root, as a tuple -> archives.File, of a folder's or archive's images.

    Args:
        root: a pathlib.Path.

    Raises:
        UserError: where there are no images.
    """
    files = _folder_files(root) if root.is_dir() else archives.files(root)
    files = {parts: file for parts, file in files.items() if _is_image(parts)}
    if not files:
        raise errors.UserError(f"{root} holds no images ({', '.join(SUFFIXES)}). {_LAYOUTS}.")
    return files


def class_folders(names):
    """Returns the name of each image's class, or None where there are no classes.

    It is the folder that the image lies in, unless that is a split's (train, validation, test).

    Args:
        names: paths of images below the root, as tuples.
    """
    tops = {parts[0].lower() for parts in names if len(parts) > 1}
    below_split = tops <= stored.ALIASES.keys()
    below = [parts[1:] if below_split and len(parts) > 1 else parts for parts in names]
    if all(len(parts) == 1 for parts in below):
        return None
    return [parts[-2] if len(parts) > 1 else "" for parts in below]


def _is_image(parts):
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return not hidden and parts[-1].lower().endswith(SUFFIXES)


def _folder_files(root):
    """Returns path below the root, as a tuple -> archives.File.

    Links to folders are followed, to images at most three levels deep, but not back to a folder
    that they lie in.
    """
    found, top = {}, root.resolve()
    for place, below, names in os.walk(root, followlinks=True):
        folder = pathlib.Path(place)
        here, inside = folder.resolve(), folder.relative_to(root).parts
        above = {root.joinpath(*inside[:depth]).resolve() for depth in range(len(inside))}
        if here in above:
            below.clear()
            continue
        linked = here != top.joinpath(*inside)
        leave = linked and len(inside) >= _LINKED
        below[:] = [] if leave else [name for name in below if not name.startswith(".")]
        for path in (folder / name for name in names):
            parts = path.relative_to(root).parts
            if _is_image(parts) and path.is_file():
                stamp = path.stat().st_mtime_ns
                found[parts] = archives.File(lambda path=path: open(path, "rb"), stamp)
    return found


def _splits(root, names):
    """Returns split -> [(path, path below the split)], and notes."""
    tops = {parts[0] for parts in names if len(parts) > 1}
    known = {top: stored.ALIASES[top.lower()] for top in tops if top.lower() in stored.ALIASES}
    if "train" not in known.values():
        if known and len(known) == len(tops):
            raise errors.UserError(
                f"{root} has {' and '.join(sorted(tops))}, and no folder train. {_LAYOUTS}."
            )
        return {"train": [(parts, parts) for parts in names]}, []
    splits = {split: [] for split in stored.SPLITS}
    others = [parts for parts in names if parts[0] not in known]
    for parts in names:
        if parts[0] in known and len(parts) > 1:
            splits[known[parts[0]]].append((parts, parts[1:]))
    notes = [f"{len(others):,} images outside the folders of the splits left out"] if others else []
    return {split: rows for split, rows in splits.items() if rows}, notes


def _labelled(root, splits):
    """Returns split -> [(path, label)], and the class names or None."""
    depths = {len(below) for rows in splits.values() for _, below in rows}
    if depths == {1}:
        return {split: [(path, 0) for path, _ in rows] for split, rows in splits.items()}, None
    if depths != {2}:
        raise errors.UserError(
            f"{root} has images at different depths, or too deep, such as {_deepest(splits)}. "
            f"{_LAYOUTS}."
        )
    names = sorted({below[0] for rows in splits.values() for _, below in rows})
    number = {name: i for i, name in enumerate(names)}
    return {
        split: [(path, number[below[0]]) for path, below in rows] for split, rows in splits.items()
    }, names


def _deepest(splits):
    """Returns the path of an image that lies the deepest, as text."""
    return "/".join(max((path for rows in splits.values() for path, _ in rows), key=len))


def _look(root, files, rows, skip_broken):
    """Returns {(H, W, C): count}, the set of broken files, and notes; reads the heads of files."""
    shapes, broken, counts = {}, set(), {}
    for parts, _ in (row for part in rows.values() for row in part):
        try:
            with files[parts].open() as file:
                shape, notes = pixels.look(file, root.joinpath(*parts))
            if skip_broken:  # a file may break off after its head
                decoded(root, files, parts)
        except errors.UserError:
            if not skip_broken:
                raise
            broken.add(parts)
            continue
        shapes[shape] = shapes.get(shape, 0) + 1
        for note in notes:
            counts[note] = counts.get(note, 0) + 1
    said = [f"{note}: {count:,} files" for note, count in sorted(counts.items())]
    grey = sum(count for shape, count in shapes.items() if shape[2] == 1)
    if 0 < grey < sum(shapes.values()):
        said.append(
            f"{grey:,} of {sum(shapes.values()):,} images are grey, the others colour: all are "
            "taken as colour; --channels=1 takes grey"
        )
    return shapes, broken, said


def suggested_size(shapes):
    """Returns the --image_size that suits images of several sizes: their median, in eights.

    Args:
        shapes: {(H, W, C): count}.
    """
    sides = sorted(min(shape[:2]) for shape, count in shapes.items() for _ in range(count))
    return min(256, max(8, 8 * math.floor(sides[len(sides) // 2] / 8)))


def decoded(root, files, parts):
    """Returns the pixels of one of the image files, uint8 [H, W, C]; see pixels.decode."""
    with files[parts].open() as file:
        return pixels.decode(file, root.joinpath(*parts))
