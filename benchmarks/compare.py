"""python -m benchmarks compare A.json B.json: what got slower, or worse, outside the spread."""

from benchmarks import harness
from vae_zoo import errors

FLAGS = harness.define(
    old=(str, "a result file, the first of the two on the command line"),
    new=(str, "a later result file of the same benchmark, the second on the command line"),
)

# What names a row; one that lacks `what` is decode's.
_SETTINGS = ("device", "model", "dataset", "binarization", "what", "strategy", "workers",
             "batch_size", "precision", "jit", "num_images", "num_samples")  # fmt: skip
_LESS_IS_BETTER = {"ms", "bytes", "nats"}
_THEIRS = ("torch", "pythae", "keras_example", "onnx")  # neither better nor worse for us
_NEUTRAL = ("peak", "float32_peak", "pipeline_share_of_step")
_UNREPEATED = 0.05  # a figure without a spread has to change by so much
_STDERRS = 2.0  # either side of an NLL


def run():
    """Compares two results: a figure counts as changed where the intervals do not touch."""
    for name in ("old", "new"):
        if not FLAGS[name].value:
            raise errors.UserError(f"--{name} is missing: expected a file of benchmarks/results.")
    old, new = harness.read(FLAGS.old), harness.read(FLAGS.new)
    if old["benchmark"] != new["benchmark"]:
        raise errors.UserError(
            f"{FLAGS.old} is of {old['benchmark']}, {FLAGS.new} of {new['benchmark']}. Expected "
            "two results of one benchmark."
        )
    found = list(changes(old["figures"], new["figures"]))
    print("\n".join([*_circumstances(old, new), *(found or ["nothing changed"])]))


def changes(old, new):
    """Yields a line for each figure whose interval does not touch that of the same name.

    Then one for each that only one of the two has.

    Raises:
        UserError: where they have no figure in common.
    """
    before, after = dict(_figures(old)), dict(_figures(new))
    both = sorted(before.keys() & after.keys())
    if not both:
        raise errors.UserError(
            "the two results have no figure of the same model and settings. Expected results of "
            "the same command."
        )
    for name in both:
        one, two = before[name], after[name]
        if two["high"] < one["low"] or two["low"] > one["high"]:
            values = f"{_said(one['median'])} -> {_said(two['median'])} {two['unit']}"
            yield f"{_word(name, one, two)}: {name} {values}"
    for word, names in (("only old", before.keys() - both), ("only new", after.keys() - both)):
        yield from (f"{word}: {name}" for name in sorted(names))


def _circumstances(old, new):
    """Yields a line for what differs, the code apart."""
    for name in ("machine", "versions"):
        one, two = old.get(name, {}), new.get(name, {})
        for key in sorted(one.keys() | two.keys()):
            if one.get(key) != two.get(key):
                yield f"another {name}: {key} {one.get(key)} -> {two.get(key)}"


def _word(name, one, two):
    parts = name.split("/")
    theirs = any(part.startswith(_THEIRS) for part in parts) and "ratio" not in parts
    if theirs or parts[-1] in _NEUTRAL:
        return "changed"
    better = (two["median"] < one["median"]) == (two["unit"] in _LESS_IS_BETTER)
    if two["unit"] in ("nats", "bytes"):
        return "better" if better else "worse"
    return "faster" if better else "slower"


def _said(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _figures(tree, path=""):
    """Yields (name, figure) of every figure in a result; what has settings is named by them."""
    if isinstance(tree, list):
        for row in tree:
            yield from _figures(row, path)
    elif isinstance(tree, dict) and {"median", "low", "high"} <= tree.keys():
        yield path.strip("/"), tree
    elif isinstance(tree, dict):
        names = [str(tree[k]) for k in _SETTINGS if tree.get(k) is not None and tree[k] != "decode"]
        path = f"{path}/{' '.join(names)}" if names else path
        for name, value in tree.items():
            if name in ("nll", "peak_bytes", "peak_memory_bytes") and _is_number(value):
                yield f"{path}/{name}".strip("/"), _unrepeated(name, value, tree)
            else:
                yield from _figures(value, f"{path}/{name}")


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _unrepeated(name, value, row):
    """Returns a figure of one value: an NLL with its standard error, or bytes."""
    spread = _STDERRS * row["nll_stderr"] if "nll_stderr" in row else _UNREPEATED / 2 * abs(value)
    unit = "nats" if name == "nll" else "bytes"
    return {"median": value, "low": value - spread, "high": value + spread, "unit": unit}
