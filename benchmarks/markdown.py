"""Figures as Markdown: tables, intervals, and where a figure comes from."""

from vae_zoo import registry


def table(rows):
    """Returns rows of text as a Markdown table."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def interval(figure):
    """Returns a ratio's median and the interval that holds it."""
    return f"{figure['median']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})"


def speed(figure):
    """Returns a speed's median and the interval that holds it."""
    return f"{figure['median']:,.0f} ({figure['low']:,.0f} to {figure['high']:,.0f})"


def percent(share):
    """Returns a share as whole percents."""
    return f"{100 * share:.0f}%"


def given_label(name):
    """Returns the mark of an NLL of p(x | y), ", given the label", for a conditional model.

    Args:
        name: of the model, or of another framework's.
    """
    known = name in registry.model_names()
    return ", given the label" if known and "conditional" in registry.spec(name).tags else ""


def provenance(results):
    """Returns lines that say where and of what the figures are: one line for each machine.

    Args:
        results: results, or the origins of rows; see harness.origin.
    """
    machines = {}
    for result in results:
        machine, versions = result["machine"], result["versions"]
        where = (
            f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB; "
            + ", ".join(f"{said} {versions[k]}" for k, said in _NAMED.items() if k in versions)
        )
        machines.setdefault(where, []).append(result)
    return "\n".join(_origin(where, machines[where]) for where in sorted(machines))


_NAMED = {
    "tensorflow": "TensorFlow",
    "torch": "PyTorch",
    "jax": "JAX",
    "pythae": "pythae",
    "onnxruntime": "ONNX Runtime",
}


def _origin(where, results):
    commits = ", ".join(sorted({str(result["commit"]) for result in results}))
    commands = "; ".join(sorted({f"`{result['command']}`" for result in results}))
    return f"{where}; commit {commits}; {commands}\n"
