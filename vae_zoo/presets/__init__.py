"""Trained models that ship, and folders of the same shape that anyone can make and share.

A preset is a run without its checkpoints: config.json, model.keras with float16 weights,
report.json, README.md (a model card), samples.png, and preset.json with the files' checksums.
Everything that reads a run reads a preset.
"""

import hashlib
import json
import pathlib
import zipfile

from vae_zoo import errors

HERE = pathlib.Path(__file__).parent
MARK = "preset.json"  # name, idea and the SHA-256 of each file
_LARGEST = 2**30  # bytes of an unpacked zip


def names():
    """Returns the names of the presets that ship, such as conv_vae/mnist."""
    return sorted(f"{p.parent.parent.name}/{p.parent.name}" for p in HERE.glob(f"*/*/{MARK}"))


def find(reference, sha256=None):
    """Returns the folder of a preset, its files checked against its checksums.

    Args:
        reference: a name of `names`, a folder, a zip file of one, or a https address of a zip.
        sha256: of the zip file, where one is given: anything else is refused.

    Raises:
        UserError: where there is none, or a file is not what it was.
    """
    if reference in names():
        folder = HERE / reference
    else:
        folder = _own(reference, sha256)
    _check(folder, reference)
    return folder


def from_preset(reference, sha256=None):
    """Returns the trained model of a preset.

    Args:
        reference, sha256: see `find`.

    Example:
        images = vae_zoo.from_preset("conv_vae/mnist").generate(seed=0)  # [64, 28, 28, 1]

    Raises:
        UserError: see `find`.
    """
    from vae_zoo import runs

    return runs.load_run(find(reference, sha256))


def table():
    """Returns the presets that ship as rows of text: name, what it is, images, NLL, bytes."""
    rows = [("name", "model", "data", "test NLL", "size")]
    for name in names():
        report = json.loads((HERE / name / "report.json").read_text(encoding="utf-8"))
        size = sum(path.stat().st_size for path in (HERE / name).iterdir())
        rows.append((name, report["model"], report["dataset"], nll(report), f"{size / 1e6:.1f} MB"))
    return rows


def nll(report):
    """Returns the words for a report's likelihood, with its standard error."""
    if "bce" in report:
        return f"BCE {report['bce']:.2f} nats (not a likelihood)"
    bits = f", {report['bits_per_dim']:.3f} bits/dim" if "bits_per_dim" in report else ""
    bound = " (a bound)" if report["is_bound"] else ""
    density = " of a density" if report.get("is_density") else ""
    given = ", given the label" if report.get("given_label") else ""
    stderr = report.get("nll_stderr")  # None for a single image
    spread = "" if stderr is None else f" ± {stderr:.2f}"
    return f"{report['nll']:.2f}{spread} nats{density}{given}{bound}{bits}"


def sha256_of(path):
    """Returns the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _own(reference, sha256):
    if str(reference).startswith("https://"):
        path = _downloaded(reference, sha256)
        try:
            return _unpacked(path, sha256)
        except errors.UserError:
            path.unlink(missing_ok=True)  # so that the next time downloads it again
            raise
    path = pathlib.Path(reference)
    if path.is_dir():
        return path
    if path.is_file() and zipfile.is_zipfile(path):
        return _unpacked(path, sha256)
    if path.exists():
        raise errors.UserError(f"{path} is no preset: expected a folder, or a zip of one.")
    raise errors.unknown("preset", reference, names())


def _cache():
    place = pathlib.Path("~/.cache/vae_zoo/presets").expanduser()
    place.mkdir(parents=True, exist_ok=True)
    return place


def _downloaded(address, sha256):
    """Returns the file of a https address, which is kept."""
    import urllib.error
    import urllib.request

    from vae_zoo import runs

    path = _cache() / f"{hashlib.sha256(address.encode()).hexdigest()[:24]}.zip"
    if not path.exists():
        try:
            with urllib.request.urlopen(address, timeout=20) as answer:
                content = answer.read(_LARGEST + 1)
                whole = int(answer.headers.get("Content-Length") or len(content))
            if len(content) < min(whole, _LARGEST):
                raise ValueError(f"it broke off after {len(content):,} of {whole:,} bytes")
            if len(content) > _LARGEST:
                raise errors.UserError(f"{address}: more than 1 GiB is no preset.")
            with runs.atomic(path) as partial:
                pathlib.Path(partial).write_bytes(content)
        except (OSError, ValueError, urllib.error.URLError) as error:
            raise errors.UserError(
                f"{address} cannot be downloaded ({error}). Expected the address of a zip file; "
                "or download it by hand, and give the file."
            ) from error
    if sha256 is None:
        print(f"SHA-256 of {address}: {sha256_of(path)}")
    return path


def _unpacked(path, sha256):
    """Returns the folder of a zip file, unpacked once into the user's cache."""
    found = sha256_of(path)
    if sha256 is not None and sha256.lower() != found:
        raise errors.UserError(
            f"{path} has the SHA-256 {found}. Expected {sha256}: it is another file; get it again."
        )
    place = _cache() / found[:24]
    if not (place / MARK).exists():
        try:
            with zipfile.ZipFile(path) as archive:
                _unpack(archive, path, place)
        except errors.UserError:
            raise
        except Exception as error:  # noqa: BLE001 - a damaged file raises anything
            if errors.is_no_room(error):
                raise
            raise errors.UserError(
                f"{path} cannot be unpacked ({type(error).__name__}): it is corrupt, or encrypted. "
                "Expected the zip of a preset: get it again."
            ) from error
    return place


def _unpack(archive, path, place):
    """Writes the plain files of a preset's zip; folders in it are left out of their names."""
    entries = [info for info in archive.infolist() if not info.is_dir()]
    if sum(info.file_size for info in entries) > _LARGEST:
        raise errors.UserError(f"{path} grows beyond 1 GiB: expected a preset.")
    flat = {pathlib.PurePosixPath(info.filename).name: info for info in entries}
    if MARK not in flat or len(flat) != len(entries) or {"", ".", ".."} & flat.keys():
        raise errors.UserError(f"{path} is no preset: expected the files of one, with {MARK}.")
    place.mkdir(exist_ok=True)
    for name in sorted(flat, key=lambda name: name == MARK):  # the mark last
        (place / name).write_bytes(archive.read(flat[name]))


def _check(folder, reference):
    path = folder / MARK
    try:
        wanted = json.loads(path.read_text(encoding="utf-8"))["sha256"]
        pairs = [(str(name), str(value)) for name, value in wanted.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise errors.UserError(
            f"{reference} is no preset: its {MARK} cannot be read ({type(error).__name__}). "
            f"Expected one of {', '.join(names()) or 'none ships'}, or a folder that "
            "python -m vae_zoo.publish wrote. A run is given as --run."
        ) from error
    for name, value in pairs:
        file = folder / pathlib.PurePath(name).name
        if not _has_sum(file, value):
            raise errors.UserError(
                f"{file} is damaged: its SHA-256 is not the one in {MARK}. Get the preset again."
            )


def _has_sum(file, value):
    try:
        return file.is_file() and sha256_of(file) == value
    except (OSError, ValueError):  # a name too long, or none
        return False
