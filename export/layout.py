"""An export's directory: what lies in it, read back with clear errors; a new export moved there."""

import contextlib
import json
import os
import pathlib

import numpy as np

from export import staging
from vae_zoo import errors
from vae_zoo.runs import files, locks

MANIFEST, RECORDED = "export.json", "recorded.npz"
_FOLDERS = ("tflite", "stablehlo")  # renewed as a whole


def check_output(output_dir, name, renewed):
    """Raises a UserError where a directory holds something that an export must not replace.

    Args:
        output_dir: the directory; a new or an empty one will do.
        name: of the export; one that is there must have it too.
        renewed: the export's `kinds`; no others may stay behind, of another model.
    """
    output_dir = pathlib.Path(output_dir)
    if not output_dir.exists():
        return
    if not output_dir.is_dir():
        raise errors.UserError(f"{output_dir} is a file. Expected a directory: take another one.")
    entries = sorted(path.name for path in output_dir.iterdir() if path.name[0] != ".")
    if entries and MANIFEST not in entries:
        raise errors.UserError(
            f"{output_dir} exists and is not an export ({entries[0]} is there, {MANIFEST} is not). "
            "Expected a new or empty directory, or an export: take another one."
        )
    if not entries:
        return
    manifest = read_manifest(output_dir)
    if manifest["name"] != name:
        raise errors.UserError(
            f"{output_dir} holds the export of {manifest['name']}, not of {name}. "
            "Take another directory for it."
        )
    there = [each for each in ("saved_model", "stablehlo") if each in manifest]
    there += manifest.get("tflite", {})
    left = [kind for kind in there if kind not in renewed]
    if left:
        raise errors.UserError(
            f"{output_dir} holds {', '.join(left)} too, which this export would not renew. "
            "Expected all of a directory to be of one model: export the same formats, or take "
            "another directory."
        )


def read_manifest(export_dir):
    """Returns the content of an export's export.json.

    Raises:
        UserError: where there is none, or it cannot be read.
    """
    path = pathlib.Path(export_dir) / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        manifest["name"], manifest["unsupported"], manifest["tolerance"]  # noqa: B018
        if not isinstance(manifest.get("tflite", {}), dict):
            raise TypeError("tflite is no table")
        _check_paths(manifest)
        return manifest
    except (FileNotFoundError, NotADirectoryError):
        raise errors.UserError(
            f"{export_dir} is not an export: expected {MANIFEST} in it. Give the --output_dir of "
            "python -m export."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise errors.UserError(f"{path} cannot be read ({error!r}): export again.") from error


def _check_paths(tree):
    """Raises a ValueError for a path in a manifest that leads out of the export."""
    for name, value in tree.items():
        if isinstance(value, dict):
            _check_paths(value)
        elif name == "path":
            place = pathlib.PurePath(value)
            if place.is_absolute() or ".." in place.parts or "\0" in value:
                raise ValueError(f"{value!r:.60} leads out of the export")


def read_recorded(export_dir):
    """Returns {signature: (inputs, outputs)} that were recorded when the export was made.

    Raises:
        UserError: where they cannot be read.
    """
    path = pathlib.Path(export_dir) / RECORDED
    recorded = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            for key in file.files:
                name, kind, tensor = key.split("/")
                inputs, outputs = recorded.setdefault(name, ({}, {}))
                (inputs if kind == "input" else outputs)[tensor] = file[key]
    except Exception as error:  # a damaged archive fails in many ways
        raise errors.UserError(f"{path} cannot be read ({error}): export again.") from error
    return recorded


@contextlib.contextmanager
def staged(output_dir):
    """Yields a directory whose content moves to `output_dir` when all went well.

    Raises:
        UserError: where nothing can be written there.
    """
    exists = output_dir.exists()
    parent = output_dir if exists else output_dir.parent
    made = _make_parents(parent)
    try:
        with staging.folder(parent, ".export-") as written:
            yield written
            written.chmod(0o755)
            files.sync_tree(written)
            if exists:
                _move_into(written, output_dir)
            else:
                os.rename(written, output_dir)
            files.sync(parent)
    except BaseException:
        for directory in made:
            with contextlib.suppress(OSError):
                directory.rmdir()
        raise


def _make_parents(directory):
    """Makes a directory and those above it; returns the new ones, deepest first."""
    missing = [path for path in [directory, *directory.parents] if not path.exists()]
    locks.make_writable(directory)
    return missing


def _move_into(written, output_dir):
    """Moves a new version, the files and the other folders into an export that is there."""
    for version in written.glob("saved_model/*/*"):
        place = output_dir / version.relative_to(written)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.rename(version, place)
    for name in _FOLDERS:
        if (written / name).exists():
            if (output_dir / name).exists():
                os.rename(output_dir / name, written / f".replaced-{name}")
            os.rename(written / name, output_dir / name)
    single = sorted(path for path in written.iterdir() if path.is_file())
    for path in sorted(single, key=lambda each: each.name == MANIFEST):  # the manifest last
        os.replace(path, output_dir / path.name)
