"""Inputs that mean no good, each a function of a random generator, given to the product's parsers.

KINDS names them. Each takes (rng, place): it writes what it needs below `place`, an empty folder,
and calls what a command would call. What it raises, or leaves behind, is judged by tests.hostile.
"""

import copy
import io
import json
import os
import pathlib
import pickle
import shutil
import socket
import struct
import tarfile
import zipfile

import numpy as np

_RUNS = pathlib.Path(__file__).parent / "runs"
_MODELS = ("vae", "conv_vae", "cvae", "ladder_vae", "vq_vae", "hvae")
_SECRET = b"never to be served"


class Payload:
    """An object whose unpickling would make a folder."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


def choose(rng):
    """Returns the kind of a case: those that are read quickly come more often."""
    return str(rng.choice(list(_SHARES), p=_of_one(list(_SHARES.values()))))


def prepare():
    """Imports what the cases need, before the processes that make them are forked."""
    import keras  # noqa: F401
    import tensorflow_probability  # noqa: F401

    from export import flatbuffer  # noqa: F401
    from export.demo import server  # noqa: F401
    from vae_zoo import limits, presets, registry, runs, train_request  # noqa: F401
    from vae_zoo.datasets import listed  # noqa: F401
    from vae_zoo.runs import finished, fitted_priors  # noqa: F401


def _of_one(numbers):
    return np.array(numbers) / sum(numbers)


def _pick(rng, values):
    return values[rng.integers(len(values))]


def _often(rng, chance=0.5):
    return rng.random() < chance


# Bytes.


def spoil(rng, content):
    """Returns bytes with a few of them changed, cut off, repeated or made others."""
    content = bytearray(content)
    for _ in range(int(_pick(rng, (1, 1, 2, 4, 16)))):
        size = len(content)
        if not size:
            break
        at = int(rng.integers(size))
        part = int(rng.integers(1, min(64, size) + 1))
        how = rng.integers(6)
        if how == 0:
            del content[at:]
        elif how == 1:
            content[at] ^= 1 << int(rng.integers(8))
        elif how == 2:
            content[at : at + 4] = _pick(
                rng, (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80")
            )
        elif how == 3:
            content[at:at] = content[at : at + part]
        elif how == 4:
            del content[at : at + part]
        else:
            content[at : at + part] = rng.bytes(part)
    return bytes(content)


def _write(rng, path, content, chance=0.6):
    path.write_bytes(spoil(rng, content) if _often(rng, chance) else content)
    return path


# Values and texts.

_TEXTS = (
    *("", " ", "..", "../../../etc/passwd", "/etc/passwd", "/dev/zero", "~", "a" * 5000, "-1"),
    *("--help", "-rf", "é 空 \u202e", "\udcff", "\n", "\x1b[2J", "${HOME}", "$(id)", "None", "nan"),
    *("vae", "conv_vae", "no_such", "os.system", "builtins.eval", "__main__", "Lambda", "1e400"),
    *("http://127.0.0.1:1/a.npz", "file:///etc/passwd", "%s%s%n", "{0.__class__}", "digits/../.."),
)
_NUMBERS = (0, -1, 1, 2, 3, 0.5, -0.0, 2**31, 2**63, 10**18, 10**30, 1e308, float("nan"))
_NUMBERS += (float("inf"), -float("inf"), True, False, 4097, 65536)
_CLASSES = (
    {"class_name": "Lambda", "module": "keras.layers", "config": {"function": "bWFsaWNpb3Vz"}},
    {"class_name": "system", "module": "os", "config": {}, "registered_name": None},
    {"class_name": "Popen", "module": "subprocess", "config": {"args": ["touch", "executed"]}},
    {"class_name": "function", "module": "builtins", "config": "exec", "registered_name": "exec"},
    {"class_name": "Dense", "module": "keras.layers", "config": {"units": 10**9}},
    {"class_name": "__lambda__", "config": {"value": "gASVHwAAAA=="}},
    {"class_name": "__tuple__", "items": [1, 2]},
)


def value(rng, depth=0):
    """Returns a value that JSON can hold, more or less odd."""
    how = rng.integers(8 if depth < 3 else 4)
    if how <= 1:
        return _pick(rng, _NUMBERS)
    if how <= 3:
        return _pick(rng, (*_TEXTS, None))
    if how == 4:
        return copy.deepcopy(_pick(rng, _CLASSES))
    if how == 5:
        return [value(rng, depth + 1) for _ in range(rng.integers(4))]
    if how == 6:
        return {str(_pick(rng, _TEXTS)): value(rng, depth + 1) for _ in range(rng.integers(4))}
    deep = _pick(rng, (1, 50, 900))
    return json.loads("[" * deep + "]" * deep)


def change(rng, tree):
    """Changes a tree of dicts and lists somewhere, in place."""
    for _ in range(int(rng.integers(1, 4))):
        node = tree
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = _pick(rng, keys)
            if isinstance(node[key], (dict, list)) and _often(rng, 0.75):
                node = node[key]
                continue
            how = rng.integers(4)
            if how == 0:
                del node[key]
            elif how == 1 and isinstance(node, dict):
                node[str(_pick(rng, _TEXTS))] = node.pop(key)
            elif how == 2 and isinstance(node[key], (int, float)):
                node[key] = _pick(rng, _NUMBERS)
            else:
                node[key] = value(rng)
            break


def _json(rng, tree):
    """Returns a changed tree as the bytes of a JSON file, now and then spoilt."""
    tree = copy.deepcopy(tree)
    if _often(rng, 0.8):
        change(rng, tree)
    if _often(rng, 0.05):
        return b"[" * int(_pick(rng, (10, 10_000, 200_000)))
    if _often(rng, 0.03):
        return b'{"model": ' + b"1" * 10_000 + b"}"
    content = json.dumps(tree).encode("utf-8", "surrogatepass")
    return spoil(rng, content) if _often(rng, 0.3) else content


# Arrays.

_SHAPES = (
    *((40, 8, 8), (40, 8, 8, 1), (40, 8, 8, 3), (40, 8, 8, 4), (40, 3, 8, 8), (40, 8, 8, 5)),
    *((40, 64), (40,), (), (0, 8, 8), (40, 0, 8), (1, 8, 8), (2, 8, 8), (10, 1, 1), (9, 300, 2)),
)
_DTYPES = ("u1", "u1", "u1", "u2", "u8", "i1", "i8", "f2", "f4", "f8", ">f4", ">u2", "?", "c8")
_DTYPES += ("S3", "U2", "M8[s]", "m8[D]", "V5", "O", "f16", [("a", "u1"), ("b", "f4")])


def array(rng, shape=None):
    """Returns an array of any dtype and shape; what it holds may fit, or not."""
    shape = _pick(rng, _SHAPES) if shape is None else shape
    dtype = _pick(rng, _DTYPES)
    if dtype == "O":
        made = np.empty(shape, object)
        made.fill(Payload())
        return made
    if isinstance(dtype, list):
        return np.zeros(shape, dtype)
    most = _pick(rng, (1, 1, 10, 255, 65535))
    numbers = np.asarray(rng.integers(0, most + 1, shape))
    if np.dtype(dtype).kind == "f":
        numbers = numbers / _pick(rng, (1, most, -most))
        if _often(rng, 0.2) and numbers.size:
            numbers.flat[0] = _pick(rng, (np.nan, np.inf, -np.inf, 1e300))
    with np.errstate(all="ignore"):
        return numbers.astype(dtype)


def npy_bytes(rng, made):
    """Returns an array as the bytes of a .npy file, whose head may say something else."""
    file = io.BytesIO()
    np.save(file, made, allow_pickle=True)
    content = file.getvalue()
    if _often(rng, 0.6):
        return content
    shapes = ((10**12, 8, 8), (-1, 8, 8), (2**63, 2), (10**6, 10**6, 3), (40, 8, 9), (8,) * 70)
    head = {
        "descr": _pick(rng, ("|u1", "|O", "<f8", "u1,f4", "V99999999999", "<U999999999", "é")),
        "fortran_order": bool(_often(rng)),
        "shape": _pick(rng, shapes),
    }
    text = _pick(rng, (repr(head), repr(head), "(" * 5000, "{" * 9000, "1", "exit()", " " * 60000))
    head = text.encode() + b"\n"
    return b"\x93NUMPY\x02\0" + struct.pack("<I", len(head)) + head + made.tobytes()[:4096]


_ARRAY_NAMES = ("image", "images", "x", "x_train", "x_test", "train_images", "arr_0", "label", "y")
_ARRAY_NAMES += ("y_train", "y_test", "factors", "latents_classes", "../image", "/image", "", "x/y")


def _zip(rng, path, members):
    """Writes (name, bytes) as a zip file, packed or not, whole or spoilt."""
    file = io.BytesIO()
    packing = int(_pick(rng, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)))
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode() or "nameless")
            info.compress_type = packing
            if _often(rng, 0.05):
                info.external_attr = 0o120777 << 16  # a link
            archive.writestr(info, content)
    return _write(rng, path, file.getvalue(), 0.4)


def _own_arrays(rng, path):
    """Gives a file of arrays to what trains on it, or to what encodes it."""
    (_load if _often(rng) else _list)(rng, path)


def npz(rng, place):
    names = [_pick(rng, _ARRAY_NAMES) for _ in range(rng.integers(1, 4))]
    if _often(rng, 0.7):
        names = [_pick(rng, ("image", "x", "x_train", "data")), *names]
    members = []
    for name in names:
        made = array(rng)
        if name.startswith(("label", "y", "factors")):
            made = array(rng, _pick(rng, ((40,), (40, 1), (40, 4), (39,), (40, 2, 2), ())))
        content = npy_bytes(rng, made)
        if _often(rng, 0.05):
            content = pickle.dumps(Payload())
        if _often(rng, 0.01):
            content = npy_bytes(rng, np.zeros((40, 1000, 1000), np.uint8))  # packs to nothing
        members.append((name + _pick(rng, (".npy", ".npy", ".npy", "")), content))
    _own_arrays(rng, _zip(rng, place / "images.npz", members))


def npy(rng, place):
    path = place / _pick(rng, ("images.npy", "images.npz", "é\udcff.npy", "-x.npy", "a b.NPY"))
    content = pickle.dumps(Payload()) if _often(rng, 0.05) else npy_bytes(rng, array(rng))
    _own_arrays(rng, _write(rng, path, content, 0.5))


def _load(rng, path):
    """Loads a data set, and reads all of it."""
    from vae_zoo import datasets

    settings = {
        "memory_budget_mb": _pick(rng, (0, 64)),
        "image_size": _pick(rng, (None, None, 4, "5x4")),
        "channels": _pick(rng, (None, None, 1, 3)),
        "crop": _pick(rng, (None, None, 3)),
        "skip_broken": bool(_often(rng)),
    }
    splits = datasets.load(str(path), cache_dir=path.parent / "cache", **settings)
    for split in ("train", "validation", "test"):
        splits.raw(split)
        images = splits.images(split, 5)
        assert images.dtype == np.float32 and 0 <= images.min() and images.max() <= 1
        labels = splits.labels(split)
        assert labels is None or 0 <= labels.min() and labels.max() < splits.num_classes
    assert len(splits.checksum) == 64 and splits.batch_size >= 1


def _list(rng, path):
    """Lists images as encode and score do, and reads some."""
    from vae_zoo.datasets import fitting, listed

    channels = int(_pick(rng, (1, 3)))
    fit = fitting.Fit(str(path), (8, 8), None, channels) if _often(rng, 0.7) else None
    policy = _pick(rng, ("none", "threshold", "dynamic"))
    treatment = listed.Treatment((8, 8, channels), fit, policy)
    images = listed.open_images(str(path), treatment, skip_broken=bool(_often(rng)))
    batch = images.read(range(min(len(images), 50)))
    assert len(batch.image) == len(batch.index) == len(batch.key)
    assert batch.image.size == 0 or 0 <= batch.image.min() and batch.image.max() <= 1


# Image files.

_FORMATS = ("PNG", "PNG", "JPEG", "GIF", "BMP", "WEBP", "EPS", "TIFF", "ICO", "PPM", "TGA", "PCX")
_FORMATS += ("JPEG2000", "DDS", "SGI", "IM")
_MODES = ("L", "RGB", "RGBA", "1", "P", "LA", "I;16", "I", "CMYK", "F")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".PNG")


def image_bytes(rng):
    """Returns the bytes of an image file, of a format that may not be expected."""
    from PIL import Image

    size = _pick(rng, ((8, 8), (8, 8), (8, 9), (1, 1), (40, 3)))
    mode, file = _pick(rng, _MODES), io.BytesIO()
    made = Image.fromarray(rng.integers(0, 256, (size[1], size[0]), dtype=np.uint8))
    made = made.convert(mode) if mode != "I;16" else Image.new("I;16", size, 700)
    try:
        made.save(file, _pick(rng, _FORMATS))
    except (OSError, ValueError, KeyError):
        made.convert("RGB").save(file, "PNG")
    content = file.getvalue()
    if _often(rng, 0.1) and content.startswith(b"\x89PNG"):  # a head that says more pixels
        sides = struct.pack(">II", *(int(_pick(rng, (0, 9, 9000, 20000, 2**31 - 1))) for _ in "ab"))
        head = content[12:16] + sides + content[24:29]
        import zlib

        content = content[:12] + head + struct.pack(">I", zlib.crc32(head)) + content[33:]
    return spoil(rng, content) if _often(rng, 0.4) else content


def _file_name(rng):
    stem = _pick(rng, ("a", "b", "c", "-rf", "é空", "\udcff", "a\nb", "..a", " ", "x" * 200, "*?[]"))
    return f"{stem}{rng.integers(30)}{_pick(rng, _SUFFIXES)}"


def folder(rng, place):
    root = place / _pick(rng, ("images", "-images", "é空", "a b", "images.png", "[x]*"))
    tops = _pick(rng, (("",), ("a", "b"), ("train", "test"), ("train/a", "train/b"), ("a/b/c",)))
    for top in tops:
        (root / top).mkdir(parents=True, exist_ok=True)
        for _ in range(rng.integers(0, 9)):
            (root / top / _file_name(rng)).write_bytes(image_bytes(rng))
    if _often(rng, 0.4):
        _odd_entry(rng, root, root / tops[0] / _file_name(rng))
    _own_arrays(rng, root)


def _odd_entry(rng, root, path):
    """Makes something at a path that is no plain file."""
    path.unlink(missing_ok=True)
    how = rng.integers(7)
    if how == 0:
        os.mkfifo(path)
    elif how == 1:
        path.symlink_to(path)
    elif how == 2:
        path.symlink_to(root)
    elif how == 3:
        path.symlink_to(_pick(rng, ("/dev/zero", "/dev/random", "/etc/passwd", "/proc/self/mem")))
    elif how == 4:
        path.mkdir()
    elif how == 5:
        (root / "loop").symlink_to(root)
    else:
        with socket.socket(socket.AF_UNIX) as end:
            if len(os.fsencode(path)) < 100:
                end.bind(os.fsencode(path))


def archive(rng, place):
    names = [_file_name(rng) for _ in range(rng.integers(0, 8))]
    tops = _pick(rng, (("",), ("a/", "b/"), ("train/", "test/"), ("../",), ("/",), ("C:\\",)))
    members = [(_pick(rng, tops) + name, image_bytes(rng)) for name in names]
    if _often(rng, 0.03):
        members.append(("bomb.png", bytes(30_000_000)))
    suffix = _pick(rng, (".zip", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"))
    path = place / f"images{suffix}"
    if suffix == ".zip":
        return _own_arrays(rng, _zip(rng, path, members))
    file, kind = io.BytesIO(), suffix.rpartition(".")[2].replace("tgz", "gz").replace("tar", "")
    with tarfile.open(fileobj=file, mode=f"w:{kind}") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name.encode("utf-8", "surrogateescape").decode("latin-1"))
            info.size = len(content)
            if _often(rng, 0.1):
                types = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, b"S")
                info.type, info.linkname = _pick(rng, types), "/etc/passwd"
            tar.addfile(info, io.BytesIO(content))
    return _own_arrays(rng, _write(rng, path, file.getvalue(), 0.4))


# Runs and presets.


def _run(rng, place):
    """Returns a copy of a stored run, whose data lie in the case's folder, and its config."""
    run = shutil.copytree(_RUNS / _pick(rng, _MODELS), place / "run")
    np.savez(place / "data.npz", image=np.zeros((40, 12, 12), np.uint8), label=np.arange(40) % 4)
    config = json.loads((run / "config.json").read_text())
    config["dataset"] |= {"name": str(place / "data.npz"), "data_dir": str(place / "tfds")}
    (run / "config.json").write_text(json.dumps(config))
    return run, config


def config(rng, place):
    from vae_zoo import runs
    from vae_zoo.runs import finished

    run, good = _run(rng, place)
    (run / "config.json").write_bytes(_json(rng, good))
    uses = (
        runs.read_config,
        runs.load_run,
        lambda run: runs.load_splits(run, cache_dir=place / "cache"),
        lambda run: runs.open_run(run, good),
        lambda run: finished.report_of_command(run, ["--model=vae"]),
    )
    _pick(rng, uses)(run)


def keras_file(rng, place):
    """The model's file: another configuration, other weights, pickles, foreign classes."""
    from vae_zoo import runs

    run, good = _run(rng, place)
    path = run / "model.keras"
    if _often(rng, 0.3):
        path.write_bytes(spoil(rng, path.read_bytes()))
        return runs.load_run(run)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    how = rng.integers(4)
    if how <= 1:
        tree = json.loads(members["config.json"])
        if how == 0:
            change(rng, tree)
        else:  # the same in both files, so that they agree
            name = _pick(rng, sorted(good["arguments"]))
            given = _pick(rng, (*_NUMBERS, *_TEXTS, [10**6], [10**9], [4] * 300))
            tree["config"][name] = good["arguments"][name] = given
            (run / "config.json").write_text(json.dumps(good))
        if _often(rng, 0.2):
            tree = copy.deepcopy(_pick(rng, _CLASSES))
        members["config.json"] = json.dumps(tree).encode("utf-8", "surrogatepass")
    elif how == 2:
        members["model.weights.h5"] = spoil(rng, members["model.weights.h5"])
    else:
        name = _pick(rng, ("model.weights.h5", "config.json", "assets/x", "../x", "/x", "x.pkl"))
        members[name] = pickle.dumps(Payload())
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return runs.load_run(run)


def preset(rng, place):
    from vae_zoo import presets

    run, good = _run(rng, place)
    sums = {path.name: presets.sha256_of(path) for path in run.iterdir()}
    if _often(rng, 0.3):
        sums[_pick(rng, _TEXTS)] = _pick(rng, (*_TEXTS, *sums.values()))
    card = _json(rng, {"name": "vae/x", "sha256": sums})
    if _often(rng):
        (run / presets.MARK).write_bytes(card)
        return presets.find(str(run))
    members = [(path.name, path.read_bytes()) for path in run.iterdir()] + [(presets.MARK, card)]
    if _often(rng):
        members = [(_pick(rng, ("", "a/", "../", "/", "..\\")) + name, c) for name, c in members]
    if _often(rng, 0.1):
        members.append((_pick(rng, ("..", ".", "x/..", "é", "sub/..\\x")), b"x"))
    path = _zip(rng, place / _pick(rng, ("p.zip", "p")), members)
    sha = _pick(rng, (None, None, "0" * 64, presets.sha256_of(path)))
    return presets.from_preset(str(path), sha)


def run_files(rng, place):
    """What lies in a run next to the model: its report, rows, partial results, fitted priors."""
    from vae_zoo import runs
    from vae_zoo.metrics import partial_results
    from vae_zoo.runs import fitted_priors

    how = rng.integers(5)
    if how == 0:
        report = {"model": "vae", "dataset": "d", "epochs": 1, "best_epoch": 1, "steps": 9}
        report |= {"minutes": 1.0, "ended": "epochs"}
        (place / runs.REPORT).write_bytes(_json(rng, report))
        runs.read_report(place)
    elif how == 1:
        text = "epoch,step,loss\r\n" + "".join(f"{i},{i},{_pick(rng, _NUMBERS)}\r\n" for i in "12")
        runs.read_rows(_write(rng, place / "metrics.csv", text.encode(), 0.9))
    elif how == 2:
        path = place / "partial.npz"
        with partial_results.PartialResults(path, "key") as store:
            store.add(np.ones((4, 2)))
        _write(rng, path, path.read_bytes(), 0.9)
        for block in partial_results.PartialResults(path, "key").blocks:
            assert np.array_equal(block, np.ones((4, 2)))  # or nothing
    elif how == 3:
        path = place / "rows.partial"
        partial_results.PartialRows(path, "key", 2, 3, "<f4").add([0, 1, 2], np.ones((3, 2)))
        _write(rng, path, path.read_bytes(), 0.9)
        store = partial_results.PartialRows(path, "key", 2, 3, "<f4")
        assert store.done in (0, 3) and all(row["values"].all() for row in store.rows())
    else:
        about = {"format": 1, "prior": "gmm", "components": 2, "steps": 1, "seed": 0}
        about |= {"model_sha256": "0" * 64, "figures": {}, "versions": {}}
        text = _json(rng, about).decode("utf-8", "replace")
        np.savez(place / "prior-gmm.npz", about=text, weight_0=array(rng), allow_pickle=True)
        _write(rng, place / "prior-gmm.npz", (place / "prior-gmm.npz").read_bytes(), 0.4)
        fitted_priors._read(place / "prior-gmm.npz")


# Flags.

_LITERALS = (
    *("{[]: 1}", "-" * 9000 + "1", "(" * 500 + ")" * 500, "[" * 90 + "]" * 90, "9" * 9000, "1e999"),
    *("__import__('os').system('x')", "lambda: 1", "f'{1}'", "b'x'", "{1, 2}", "{'a': 1}", "1j"),
    *("(16,)", "(0,)", "(-1,)", "(1.5,)", "('a',)", "[[1]]", "10**9", "...", "'" + "x" * 999 + "'"),
)


def setting(rng, place):
    """A --set value: what it makes is a model, or one clear line."""
    from vae_zoo import limits, registry

    name = _pick(rng, (*_MODELS, "vamp_vae", "iaf_vae", "beta_tc_vae", "gumbel_vae", "rae"))
    name = name if name in registry.model_names() else "vae"
    cls = registry.model_class(name)
    refused = ("image_shape", "dtype", "seed", "name")  # by the command: they have flags
    arguments = sorted(set(registry.constructor_arguments(cls)) - {*refused})
    argument = _pick(rng, (*arguments, *arguments, *_TEXTS))
    text = str(_pick(rng, (*_LITERALS, *_TEXTS, *_NUMBERS)))
    wished = registry.parse_settings([f"{argument}{_pick(rng, ('=', '=', '=', ''))}{text}"])
    given = dict(registry.spec(name).tiny) | {"image_shape": (12, 12, 1), "likelihood": "bernoulli"}
    if cls.needs_labels:
        given["num_classes"] = 4
    if "dataset_size" in arguments:
        given["dataset_size"] = 40
    given |= wished
    limits.check(name, given, wished, 32)
    registry.create_model(name, **given)


def command_line(rng, place):
    """Flags of the training command, up to the data that they name."""
    from vae_zoo import cli, datasets, train_flags, train_request

    np.savez(place / "data.npz", image=np.zeros((40, 12, 12), np.uint8))
    flags = train_flags.FLAGS
    for name in flags:
        flags[name].unparse()
    argv = ["train", "--model=vae", f"--dataset={place / 'data.npz'}", f"--output_dir={place}"]
    paths = ("dataset", "output_dir", "data_dir", "manual_dir", "import")
    names = [name for name in flags if name not in paths]
    for _ in range(rng.integers(1, 4)):
        name = _pick(rng, (*names, *_TEXTS))
        argv.append(f"--{name}={_pick(rng, (*_TEXTS, *_NUMBERS, *_LITERALS))}")
    cli.parse(flags, argv)
    train_flags.check_numbers()
    given = train_request.dataset_settings()
    datasets.load(seed=flags.seed, cache_dir=place / "cache", **given)


# The demonstration.


class _Connection:
    """A socket that has said all it says: requests in, answers out."""

    def __init__(self, request):
        self.request, self.answer = request, io.BytesIO()

    def makefile(self, mode, buffering=None):
        return io.BytesIO(self.request)

    def sendall(self, content):
        self.answer.write(content)

    def settimeout(self, seconds):
        pass

    def setsockopt(self, *args):
        pass


_PATHS = (
    *("/", "/model.json", "/model.tflite", "/demo.js", "/node_modules/a.js", "/node_modules/"),
    *("/../secret", "/%2e%2e/secret", "/..%2fsecret", "/%2e%2e%5csecret", "//secret"),
    *("/node_modules/../secret", "/node_modules/%2e%2e/secret", "/node_modules/out.js", "*", ""),
    *("/node_modules/..%252fsecret", "/%00", "/a%00b", "/" + "a" * 70_000, "/" + "../" * 50),
    *("http://evil/model.json", "/model.json?x=%0d%0aSet-Cookie:a", "/\xff", "/%c0%ae%c0%ae/s"),
)
_METHODS = ("GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "")


def demonstration(rng, place):
    """The handler of the demonstration's server, without a network."""
    from export.demo import server

    (place / "modules").mkdir()
    (place / "secret").write_bytes(_SECRET)
    (place / "modules" / "a.js").write_text("//")
    (place / "modules" / "out.js").symlink_to(place / "secret")
    version = _pick(rng, ("HTTP/1.1", "HTTP/9", ""))
    lines = [f"{_pick(rng, _METHODS)} {_pick(rng, _PATHS)} {version}"]
    hosts = ("127.0.0.1:80", "127.0.0.1:80", "localhost:80", "evil", "127.0.0.1:80\r\nHost: evil")
    lines.append(f"Host: {_pick(rng, hosts)}")
    more = ("Range: bytes=0-", "If-Modified-Since: x", "Content-Length: 99999999999", "x" * 70_000)
    more += ("Expect: 100-continue", "Transfer-Encoding: chunked", ": x", "a: b\r\n" * 200 + "c: d")
    lines += [_pick(rng, more) for _ in range(rng.integers(3))]
    request = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    connection = _Connection(spoil(rng, request) if _often(rng, 0.3) else request)
    before, server.NODE_MODULES = server.NODE_MODULES, place / "modules"
    known = type("Known", (), {"server_port": 80})()
    contents = {"/model.json": b"{}", "/model.tflite": b"TFL3"}
    try:
        server._Handler(
            connection, ("127.0.0.1", 9), known, contents=contents, directory=str(server._PAGE)
        )
    finally:
        server.NODE_MODULES = before
    answer = connection.answer.getvalue()
    assert _SECRET not in answer and b"root:" not in answer, "a file outside was served"


def tflite_file(rng, place):
    """A .tflite file, as verify and the demonstration read it."""
    from ai_edge_litert import schema_py_generated as schema
    import flatbuffers

    from export import flatbuffer

    if "content" not in _TFLITE:
        model, builder = schema.ModelT(), flatbuffers.Builder(64)
        model.version, model.buffers = 3, [schema.BufferT() for _ in range(3)]
        model.buffers[1].data = np.frombuffer(b'{"name": "vae"}', np.uint8)
        model.buffers[2].data = np.zeros(64, np.uint8)
        entry = schema.MetadataT()
        entry.name, entry.buffer = "vae_zoo", 1
        graph, tensor = schema.SubGraphT(), schema.TensorT()
        tensor.shape, tensor.buffer, tensor.name = [4, 4], 2, "w"
        graph.tensors, graph.inputs, graph.outputs, graph.operators = [tensor], [0], [0], []
        model.metadata, model.subgraphs, model.operatorCodes = [entry], [graph], []
        builder.Finish(model.Pack(builder), b"TFL3")
        _TFLITE["content"] = bytes(builder.Output())
    path = _write(rng, place / "m.tflite", _TFLITE["content"], 0.95)
    flatbuffer.read(path)
    flatbuffer.read_metadata(path, "vae_zoo")


def manifest(rng, place):
    """What an export says of itself, as every command that reads one does."""
    from export import checks, layout

    made = {
        "name": "vae",
        "model": "vae",
        "unsupported": {},
        "tolerance": {"relative": 1e-3, "absolute": 1e-3, "rows": 1.0},
        "saved_model": {"path": "saved_model/vae/1", "batch_sizes": [1, 64]},
        "tflite": {"float32": {"path": "tflite/vae-float32.tflite", "sha256": "0"}},
        "inputs": {"decode": {"z": [4]}},
    }
    (place / layout.MANIFEST).write_bytes(_json(rng, made))
    np.savez(place / layout.RECORDED, **{"decode/input/z": np.zeros((2, 4), np.float32)})
    _write(rng, place / layout.RECORDED, (place / layout.RECORDED).read_bytes(), 0.3)
    if _often(rng):
        return checks.read(place)
    return layout.check_output(place, "vae", ["saved_model", "float32"])


_TFLITE = {}
KINDS = {
    "arrays, .npz": npz,
    "an array, .npy": npy,
    "a folder of images": folder,
    "an archive of images": archive,
    "config.json": config,
    "model.keras": keras_file,
    "a preset": preset,
    "other files of a run": run_files,
    "--set": setting,
    "flags": command_line,
    "requests to the demonstration": demonstration,
    "a .tflite file": tflite_file,
    "an export's manifest": manifest,
}
_SHARES = dict(zip(KINDS, (20, 12, 14, 10, 6, 4, 4, 10, 4, 8, 16, 6, 6), strict=True))
