"""Runs side by side: one page, its numbers as JSON, and the rate-distortion curve as a picture."""

import numpy as np

from vae_zoo import runs
from vae_zoo.metrics import agreement, codes, latent_space
from vae_zoo.runs import examination, page, plots

PAGE, NUMBERS, CURVE = "sweep.html", "sweep.json", "rate_distortion.png"
_IMAGES = 1000  # behind UDR
_COLUMNS = {
    "elbo": "ELBO, nats",
    "negative_bce_less_rate": "-(BCE + rate), nats",
    "rate": "rate, nats",
    "distortion": "distortion, nats",
    "bce": "BCE, nats",
    "nll": "NLL, nats",
    "active_units": "active units",
    "mig": "MIG",
    "dci_disentanglement": "DCI disentanglement",
    "factor_vae": "FactorVAE score",
    "udr": "UDR",
    "minutes": "minutes",
}


def compare(places, data_dir=None):
    """Returns the figures of each run.

    Of data with known factors, the scores of metrics.disentanglement too; of settings that two
    seeds or more were trained with, UDR: how far their codes agree.

    Args:
        places: a list of (setting as text, seed, the run's folder).
        data_dir: prepared TFDS data.

    Returns:
        A list of {"setting", "seed", "run", and the run's figures}.
    """
    seeds = {setting: sum(other[0] == setting for other in places) for setting, *_ in places}
    splits, rows, told = None, [], {}
    for setting, seed, place in places:
        report = runs.read_report(place)
        row = {"setting": setting, "seed": seed, "run": str(place)}
        row |= {key: report[key] for key in _COLUMNS if report.get(key) is not None}
        splits = splits or runs.load_splits(place, data_dir=data_dir)
        if seeds[setting] > 1 or splits.factors("train") is not None:
            model = runs.load_run(place)
            code = means_and_rates(model, splits)
            if code is not None and splits.factors("train") is not None:
                scores = examination.disentangled(model, splits)
                row |= {key: scores[key] for key in _COLUMNS if key in scores}
            told.setdefault(setting, []).append((row, code))
        rows.append(row)
    for members in told.values():
        if len(members) > 1 and all(code is not None for _, code in members):
            ranking = agreement.udr(*zip(*(code for _, code in members), strict=True))
            for (row, _), value in zip(members, ranking, strict=True):
                row["udr"] = value
    return rows


def write(directory, title, rows):
    """Writes the page, its numbers and the curve into a folder.

    Args:
        directory: the folder.
        title: of the page.
        rows: of `compare`.
    """
    columns = {key: words for key, words in _COLUMNS.items() if any(key in row for row in rows)}
    curve = _curve(rows)
    plots.rate_distortion(directory / CURVE, curve)
    runs.write_json(directory / NUMBERS, {"runs": rows})
    page.write(directory / PAGE, title, _parts(rows, columns, curve))


def means_and_rates(model, splits):
    """Returns (means, rate of each dimension) of test images, as metrics.agreement takes them.

    None for a model of other posteriors than a single layer of normals.

    Args:
        model: a VAE.
        splits: its data.
    """
    images, labels = splits.images("test", _IMAGES), splits.labels("test", _IMAGES)
    labels = labels if model.needs_labels else None
    rates = latent_space.statistics(model, images, labels).rate_per_dimension
    if rates is None or not model.decodes_z:
        return None
    return codes.posteriors(model, images, labels)[0], rates


def _curve(rows):
    """Returns {setting: (rate, distortion) of each seed, [seeds, 2]}."""
    curve = {}
    for row in rows:
        point = row["rate"], row.get("distortion", row.get("bce"))
        curve.setdefault(row["setting"], []).append(point)
    return {setting: np.array(points) for setting, points in curve.items()}


def _parts(rows, columns, curve):
    yield page.paragraph(
        "Each run is measured on the same test images; ink that is drawn (binarization dynamic) is "
        "drawn by the seed of the run. ELBO = - distortion - rate: lines from the "
        "upper left to the lower right are of one ELBO.",
        "note",
    )
    yield page.heading("Rate and distortion")
    ordered = sorted(points.mean(0).tolist() for points in curve.values())
    if len(ordered) > 1:
        yield page.lines(
            {"means over seeds": ordered}, "Distortion against rate", "rate, nats", "nats"
        )
    yield page.scatter(curve, "Rate (across) and distortion (up) of each run, in nats.")
    yield page.heading("Settings, means over seeds")
    yield page.table(_means(rows, columns))
    yield page.heading("Runs")
    head = ["setting", "seed", *columns.values()]
    lines = [
        [row["setting"], row["seed"], *(_cell(row.get(key)) for key in columns)] for row in rows
    ]
    yield page.table([head, *lines])


def _means(rows, columns):
    """Returns the table of each setting: mean and deviation over its seeds."""
    lines = [["setting", "seeds", *columns.values()]]
    for setting in dict.fromkeys(row["setting"] for row in rows):
        members = [row for row in rows if row["setting"] == setting]
        cells = []
        for key in columns:
            values = [row[key] for row in members if isinstance(row.get(key), (int, float))]
            spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
            cells.append(f"{_cell(float(np.mean(values)))}{spread}" if values else "")
        lines.append([setting, len(members), *cells])
    return lines


def _cell(value):
    if value is None:
        return ""
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
