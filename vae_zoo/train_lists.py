"""What the training command lists: models, data sets, papers' recipes. Imports no TensorFlow."""

import json
import pathlib

from vae_zoo import cli, datasets, recipes, registry

_MEASURED = pathlib.Path(__file__).parent.parent / "benchmarks" / "results" / "zoo.json"


def list_models():
    """Returns the registry as a table: name, idea, source, parameters, tags."""
    rows = [("name", "idea", "source", "parameters", "tags")]
    for name in registry.model_names():
        spec = registry.spec(name)
        tags = ", ".join(spec.tags)
        rows.append((name, spec.idea, spec.source, f"{spec.parameters:,}", tags))
    return cli.table(rows)


def list_datasets():
    """Returns the data sets as a table, and what else --dataset takes."""
    rows = [("name", "what it is", "binarization")]
    rows += [(name, spec.idea, spec.binarization) for name, spec in datasets.DATASETS.items()]
    return cli.table(rows) + (
        "\nalso any other image data set of tensorflow-datasets, a folder of images "
        "(class/image, split/class/image), a zip or tar of one, a .npz or .npy file"
    )


def list_recipes():
    """Returns the papers' recipes as a table: score, source, what differs, and what we measured."""
    rows = [("name", "published", "source", "ours, in minutes", "what differs")]
    for name, each in recipes.PROTOCOLS.items():
        published = f"{each.published:.2f} ({each.num_samples:,} samples)"
        rows.append((name, published, each.source, _our_score(name, each), each.differs))
    return cli.table(rows) + "\nnats of the test images; ours: our own recipe, minutes long"


def _our_score(name, protocol):
    """Returns what benchmarks/results has of a protocol's model on its data, in words."""
    if not _MEASURED.exists():  # an installed package has no results
        return "see RESULTS.md"
    figures = json.loads(_MEASURED.read_text("utf-8"))["figures"]
    for row in figures:
        same_data = (row["model"], row["dataset"]) == (protocol.model, protocol.dataset)
        if same_data and name.startswith(f"{protocol.model}/"):
            return f"{row['nll']:.2f} ({row['num_samples']:,} samples, {row['minutes']:.0f} min)"
    return "not measured"


LISTS = {
    "list_models": list_models,
    "list_datasets": list_datasets,
    "list_recipes": list_recipes,
}
