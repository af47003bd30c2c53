"""What the kinds share: draws, spoilt bytes, odd values and texts, files of them."""

import copy
import io
import json
import os
import zipfile


class Payload:
    """An object whose unpickling would make a folder."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


def pick(rng, values):
    return values[rng.integers(len(values))]


def often(rng, chance=0.5):
    return rng.random() < chance


def spoil(rng, content):
    """Returns bytes with a few of them changed, cut off, repeated or made others."""
    content = bytearray(content)
    for _ in range(int(pick(rng, (1, 1, 2, 4, 16)))):
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
            content[at : at + 4] = pick(
                rng, (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80")
            )
        elif how == 3:
            content[at:at] = content[at : at + part]
        elif how == 4:
            del content[at : at + part]
        else:
            content[at : at + part] = rng.bytes(part)
    return bytes(content)


def write(rng, path, content, chance=0.6):
    path.write_bytes(spoil(rng, content) if often(rng, chance) else content)
    return path


TEXTS = (
    *("", " ", "..", "../../../etc/passwd", "/etc/passwd", "/dev/zero", "~", "a" * 5000, "-1"),
    *("--help", "-rf", "é 空 \u202e", "\udcff", "\n", "\x1b[2J", "${HOME}", "$(id)", "None", "nan"),
    *("vae", "conv_vae", "no_such", "os.system", "builtins.eval", "__main__", "Lambda", "1e400"),
    *("http://127.0.0.1:1/a.npz", "file:///etc/passwd", "%s%s%n", "{0.__class__}", "digits/../.."),
)
NUMBERS = (0, -1, 1, 2, 3, 0.5, -0.0, 2**31, 2**63, 10**18, 10**30, 1e308, float("nan"))
NUMBERS += (float("inf"), -float("inf"), True, False, 4097, 65536)
CLASSES = (
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
        return pick(rng, NUMBERS)
    if how <= 3:
        return pick(rng, (*TEXTS, None))
    if how == 4:
        return copy.deepcopy(pick(rng, CLASSES))
    if how == 5:
        return [value(rng, depth + 1) for _ in range(rng.integers(4))]
    if how == 6:
        return {str(pick(rng, TEXTS)): value(rng, depth + 1) for _ in range(rng.integers(4))}
    deep = pick(rng, (1, 50, 900))
    return json.loads("[" * deep + "]" * deep)


def change(rng, tree):
    """Changes a tree of dicts and lists somewhere, in place."""
    for _ in range(int(rng.integers(1, 4))):
        node = tree
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = pick(rng, keys)
            if isinstance(node[key], (dict, list)) and often(rng, 0.75):
                node = node[key]
                continue
            how = rng.integers(4)
            if how == 0:
                del node[key]
            elif how == 1 and isinstance(node, dict):
                node[str(pick(rng, TEXTS))] = node.pop(key)
            elif how == 2 and isinstance(node[key], (int, float)):
                node[key] = pick(rng, NUMBERS)
            else:
                node[key] = value(rng)
            break


def json_bytes(rng, tree):
    """Returns a changed tree as the bytes of a JSON file, now and then spoilt."""
    tree = copy.deepcopy(tree)
    if often(rng, 0.8):
        change(rng, tree)
    if often(rng, 0.05):
        return b"[" * int(pick(rng, (10, 10_000, 200_000)))
    if often(rng, 0.03):
        return b'{"model": ' + b"1" * 10_000 + b"}"
    content = json.dumps(tree).encode("utf-8", "surrogatepass")
    return spoil(rng, content) if often(rng, 0.3) else content


def zip_file(rng, path, members):
    """Writes (name, bytes) as a zip file, packed or not, whole or spoilt."""
    file = io.BytesIO()
    packing = int(pick(rng, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)))
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode() or "nameless")
            info.compress_type = packing
            if often(rng, 0.05):
                info.external_attr = 0o120777 << 16  # a link
            archive.writestr(info, content)
    return write(rng, path, file.getvalue(), 0.4)
