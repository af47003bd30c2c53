"""python -m benchmarks compare A.json B.json: what got slower, outside the spread."""

from absl import flags

from vae_zoo import errors

FLAGS = flags.FlagValues()
flags.DEFINE_string("old", None, "a result file", flag_values=FLAGS)
flags.DEFINE_string("new", None, "a later one of the same benchmark", flag_values=FLAGS)

# What names a row; one that lacks `what` is decode's.
_SETTINGS = ("model", "what", "strategy", "workers", "batch_size", "precision")


def run():
    """Compares two results: a speed counts as changed where the intervals do not touch."""
    from benchmarks import harness

    for name in ("old", "new"):
        if not FLAGS[name].value:
            raise errors.UserError(f"--{name} is missing: expected a file of benchmarks/results.")
    old, new = harness.read(FLAGS.old), harness.read(FLAGS.new)
    if old["benchmark"] != new["benchmark"]:
        raise errors.UserError(
            f"{FLAGS.old} is of {old['benchmark']}, {FLAGS.new} of {new['benchmark']}. Expected "
            "two results of one benchmark."
        )
    print("\n".join(changes(old["figures"], new["figures"])) or "nothing changed")


def changes(old, new):
    """Yields a line for each figure whose interval does not touch that of the same name."""
    before, after = dict(_figures(old)), dict(_figures(new))
    for name in before.keys() & after.keys():
        one, two = before[name], after[name]
        if two["high"] < one["low"] or two["low"] > one["high"]:
            less_is_faster = two["unit"] == "ms"
            word = "faster" if (two["median"] < one["median"]) == less_is_faster else "slower"
            yield f"{word}: {name} {one['median']:,.1f} -> {two['median']:,.1f} {two['unit']}"


def _figures(tree, path=""):
    """Yields (name, figure) of every figure in a result; rows are named by their settings."""
    if isinstance(tree, list):
        for row in tree:
            names = [str(v) for k, v in row.items() if k in _SETTINGS and v != "decode"]
            yield from _figures(row, f"{path}/{' '.join(names)}")
    elif isinstance(tree, dict) and {"median", "low", "high"} <= tree.keys():
        yield path.strip("/"), tree
    elif isinstance(tree, dict):
        for name, value in tree.items():
            yield from _figures(value, f"{path}/{name}")
