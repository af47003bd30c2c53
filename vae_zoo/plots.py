"""Every picture: matplotlib figures without global state, written atomically."""

import math

import numpy as np

from vae_zoo import runs

_INCH = 0.6  # of one image of a grid
_PIXELS = 120  # an inch


def image_grid(path, images, columns=None, row_labels=None):
    """Draws images [N, H, W, C] in [0, 1] as one grid.

    Args:
        path: the .png file.
        images: the images, row by row.
        columns: how many in a row; None is a square.
        row_labels: text at the left of each row.
    """
    images = np.asarray(images)
    columns = columns or math.ceil(math.sqrt(len(images)))
    rows = -(-len(images) // columns)
    canvas = tile(images, rows, columns)
    left = 0.9 if row_labels else 0.05
    figure = _figure(columns * _INCH + left + 0.05, rows * _INCH + 0.1)
    width, height = figure.get_size_inches()
    box = (left / width, 0.05 / height, columns * _INCH / width, rows * _INCH / height)
    axes = figure.add_axes(box)
    axes.imshow(canvas, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    for row, text in enumerate(row_labels or []):
        place = 1 - (row + 0.5) / rows
        axes.text(-0.01, place, text, transform=axes.transAxes, ha="right", va="center", size=7)
    _write(figure, path)


def tile(images, rows, columns, gap=1):
    """Returns images [N, H, W, C] as one canvas with a thin grey line between them."""
    count, height, width, channels = images.shape
    full = np.full((rows * columns, height + gap, width + gap, channels), 0.5, np.float32)
    full[:count, :height, :width] = images
    full = full.reshape(rows, columns, height + gap, width + gap, channels)
    canvas = full.transpose(0, 2, 1, 3, 4).reshape(
        rows * (height + gap), columns * (width + gap), channels
    )[:-gap, :-gap]
    return canvas[..., 0] if channels == 1 else canvas


def reconstructions(path, images, again, columns=8):
    """Draws images above their reconstructions, [N, H, W, C] each."""
    images, again = np.asarray(images), np.asarray(again)
    columns = min(columns, len(images))
    rows, labels = [], []
    for start in range(0, len(images) - columns + 1, columns):
        rows += [*images[start : start + columns], *again[start : start + columns]]
        labels += ["image", "again"]
    image_grid(path, np.stack(rows), columns, labels)


def interpolations(path, rows):
    """Draws paths through the latent space, [R, S, H, W, C], a row each."""
    image_grid(path, np.concatenate(np.asarray(rows)), rows.shape[1])


def traversals(path, rows):
    """Draws what each latent dimension does, [D, S, H, W, C], a row each."""
    labels = [f"z{i + 1}" for i in range(len(rows))]
    image_grid(path, np.concatenate(np.asarray(rows)), rows.shape[1], labels)


def manifold(path, model, side=16):
    """Draws the images of a two-dimensional latent space at quantiles of its N(0, 1) prior.

    Source: Kingma and Welling (2014), appendix A.
    """
    from scipy.stats import norm

    quantiles = norm.ppf((np.arange(side) + 0.5) / side).astype(np.float32)
    z = np.stack(np.meshgrid(quantiles, -quantiles), axis=-1).reshape(-1, 2)
    labels = np.zeros(len(z), np.int32) if model.needs_labels else None
    image_grid(path, np.asarray(model.decode(z, labels)), side)


def curves(path, rows):
    """Draws a training from the rows of metrics.csv: ELBO, rate and distortion in nats."""
    layers = [name for name in rows[-1] if name.startswith("val_rate_")]
    panels = [("ELBO", "elbo"), ("rate", "rate"), ("distortion", "distortion")]
    figure = _figure(3.2 * (3 + bool(layers)), 2.6, layout="constrained")
    axes = figure.subplots(1, 3 + bool(layers))
    epochs = [row["epoch"] for row in rows]
    for panel, (title, name) in zip(axes, panels, strict=False):
        panel.plot(epochs, [row[name] for row in rows], label="training")
        panel.plot(epochs, [row[f"val_{name}"] for row in rows], label="validation")
        _label(panel, title)
    for layer, name in enumerate(layers):
        axes[-1].plot(epochs, [row[name] for row in rows], label=f"layer {layer + 1}")
    if layers:
        _label(axes[-1], "rate of each layer, validation")
    _write(figure, path)


def lines(path, series, x_label, y_label, title=""):
    """Draws named lines: {name: [(x, y), ...]}."""
    figure = _figure(5.5, 3.6, layout="constrained")
    axes = figure.subplots()
    for name, points in series.items():
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
    axes.set(xlabel=x_label, ylabel=y_label, title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    _write(figure, path)


def _label(panel, title):
    panel.set_title(title, fontsize=9)
    panel.set_xlabel("epoch", fontsize=8)
    panel.set_ylabel("nats", fontsize=8)
    panel.tick_params(labelsize=7)
    panel.grid(alpha=0.3)
    panel.legend(fontsize=7)


def _figure(width, height, **options):
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_PIXELS, **options)


def _write(figure, path):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with runs.atomic(path) as partial:
        FigureCanvasAgg(figure).print_png(partial)
