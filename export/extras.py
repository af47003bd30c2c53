"""What has to be installed for each format: looked for without importing any of it."""

import importlib.util

from vae_zoo import errors

# Format: (the extra, the packages as they are imported).
_NEEDED = {
    "tflite": ("export", ("ai_edge_litert", "ai_edge_quantizer")),
    "saved_model": ("serving", ("tensorflow_serving",)),
}
_NAMES = {"tensorflow_serving": "tensorflow-serving-api"}  # at the registry, where it differs


def check(formats):
    """Raises a UserError that names every missing package, and the command that installs them.

    Args:
        formats: "tflite" and "saved_model", whose warm-up records and configurations need protos;
            what is neither needs nothing.
    """
    missing = {each: _missing(each) for each in formats if each in _NEEDED and _missing(each)}
    if not missing:
        return
    packages = ", ".join(_NAMES.get(n, n.replace("_", "-")) for m in missing.values() for n in m)
    wanted = ",".join(_NEEDED[each][0] for each in missing)
    raise errors.UserError(
        f"{' and '.join(missing)} cannot be written: {packages} not installed. Install: "
        f"pip install 'vae_zoo[{wanted}]'{_or_without(formats, missing)}."
    )


def _missing(each):
    return [name for name in _NEEDED[each][1] if importlib.util.find_spec(name) is None]


def _or_without(formats, missing):
    left = [each for each in formats if each not in missing]
    return f", or take --formats={','.join(left)}" if left else ""
