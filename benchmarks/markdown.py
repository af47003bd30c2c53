"""Figures as Markdown: tables, intervals, and where a figure comes from."""

from vae_zoo import registry

MEDIANS = "Medians, with the interval that holds the median at 95%."


def table(columns, rows):
    """Returns a Markdown table.

    A cell of what a row lacks is empty; the first one says why, where the row does.

    Args:
        columns: {head: template of str.format, or function, of a row; gives the cell's text}.
        rows: a dict each.
    """
    lines = [list(columns), ["---"] * len(columns), *(list(_cells(columns, row)) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _cells(columns, row):
    reason, known = not_measured(row), {k: v for k, v in row.items() if v is not None}
    for cell in columns.values():
        try:
            yield cell.format(**known) if isinstance(cell, str) else cell(known)
        except KeyError:
            yield reason
            reason = ""


def line(columns, row):
    """Returns a row of a table as one line of text, with the heads of its cells; without links."""
    cells = zip(columns, _cells(columns, row), strict=True)
    told = [f"{head} {cell}".strip() for head, cell in cells if cell and not cell.startswith("[")]
    return ", ".join(told).replace("`", "")


def not_measured(row):
    """Returns why a row has no figures, or "" where it has them."""
    reason = row.get("not_measured", "")
    prefix = "" if not reason or reason.startswith("not measured") else "not measured: "
    return prefix + reason


def interval(figure):
    """Returns a ratio's median and the interval that holds it."""
    return f"{figure['median']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})"


def speed(figure):
    """Returns a speed's median and the interval that holds it."""
    return f"{figure['median']:,.0f} ({figure['low']:,.0f} to {figure['high']:,.0f})"


def share(figure):
    """Returns a share's median and the interval that holds it, in percents."""
    low, high = (percent(figure[end]) for end in ("low", "high"))
    return f"{percent(figure['median'])} ({low} to {high})"


def percent(value):
    """Returns a share as whole percents."""
    return f"{100 * value:.0f}%"


def mflop(row):
    """Returns a row's FLOPs for each image, in millions."""
    return f"{row['flops_per_image'] / 1e6:,.1f}"


def nll(row):
    """Returns a row's NLL with its standard error, and what kind of NLL it is."""
    bound = ", a bound" if row.get("is_bound") else ""
    return f"{row['nll']:.2f} ± {row['nll_stderr']:.2f}{given_label(row['model'])}{bound}"


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
