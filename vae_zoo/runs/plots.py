"""Every picture. Drawn with matplotlib's objects, no global state; each file appears whole."""

import io
import math

import numpy as np

from vae_zoo import errors, memory
from vae_zoo.runs import files

_IMAGE_INCHES = 0.5  # of a side, in a grid
_GAP = 2  # pixels of white between images
_DPI = 150
_LONGEST_TITLE = 48  # letters
_LONGEST = 24  # images in a row of a grid
_NAME = 24  # letters of a class's name


def image_grid(path, images, columns=None, titles=None):
    """Draws images in a grid.

    Args:
        path: the PNG file.
        images: float [N, H, W, C] in [0, 1].
        columns: images a row; None makes the grid square.
        titles: a text above each column.
    """
    images = np.asarray(images)
    columns = columns or min(_LONGEST, math.ceil(math.sqrt(len(images))))
    _draw_tiles(path, tiled(images, columns), columns, images.shape[1:3], above=titles)


def show(images, columns=None):
    """Returns a picture of images for a notebook, a matplotlib Figure.

    Args:
        images: [N, H, W, C] or [N, H, W], or one image: floats in [0, 1], or uint8.
        columns: images a row; None makes the grid square.

    Raises:
        UserError: for what are no images.
    """
    images = np.asarray(images)
    images = images / 255 if images.dtype == np.uint8 else images
    images = images[np.newaxis] if images.ndim == 3 and images.shape[-1] in (1, 3) else images
    images = images[..., np.newaxis] if images.ndim in (2, 3) else images
    images = images[np.newaxis] if images.ndim == 3 else images
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise errors.UserError(f"show: expected images [N, H, W, C], got {images.shape}.")
    columns = columns or min(_LONGEST, math.ceil(math.sqrt(len(images))))
    tiles = tiled(images, columns)
    zoom = _IMAGE_INCHES / images.shape[1]
    figure = _figure((tiles.shape[1] * zoom, tiles.shape[0] * zoom))
    axis = figure.add_axes((0, 0, 1, 1), frameon=False)
    axis.imshow(tiles, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    figure._repr_png_ = lambda: _png_of(figure)  # what a notebook asks for
    return figure


def samples_by_class(path, rows, names):
    """Draws samples of each class, one row for each, next to its name.

    Args:
        path: the PNG file.
        rows: float [classes, n, H, W, C] in [0, 1].
        names: of the classes.
    """
    short = [name if len(name) <= _NAME else name[: _NAME - 1] + "…" for name in names]
    _draw_rows(path, np.asarray(rows), short)


def reconstructions(path, images, reconstructions, columns=8, originals=None, drawn=True):
    """Draws images above their reconstructions, in groups of rows.

    Args:
        path: the PNG file.
        images: what the model saw, float [N, H, W, C] in [0, 1].
        reconstructions: of the same shape.
        columns: images a row.
        originals: of the same shape: grey images that binary ones were drawn from, a third row
            on top; None where the model saw the images as they are.
        drawn: whether the binary images were drawn at random, or are a threshold of the grey ones.
    """
    kinds = {"test image": images, "reconstruction": reconstructions}
    if originals is not None:
        binary = "drawn binary image" if drawn else "binary image"
        kinds = {"grey original": originals, binary: images, "reconstruction": reconstructions}
    columns, parts = min(columns, len(images)), []
    for start in range(0, len(images), columns):
        parts += [_padded(np.asarray(a)[start : start + columns], columns) for a in kinds.values()]
    beside = list(kinds) * (len(parts) // len(kinds))
    tiles = tiled(np.concatenate(parts), columns, group=len(kinds))
    shape = np.shape(images)[1:3]
    _draw_tiles(path, tiles, columns, shape, beside=beside, group=len(kinds))


def errors_of(path, images, reconstructions, titles):
    """Draws images one below the other: the image, its reconstruction, and where they differ.

    Args:
        path: the PNG file.
        images: float [N, H, W, C] in [0, 1].
        reconstructions: of the same shape.
        titles: a text next to each image; of a long one, its end.
    """
    from matplotlib import colormaps

    error = np.abs(images - reconstructions).mean(-1)  # [N, H, W], 0 to 1
    colours = 3 // images.shape[-1]
    columns = [np.repeat(part, colours, axis=-1) for part in (images, reconstructions)]
    columns.append(colormaps["magma"](error)[..., :3])
    tiles = np.stack(columns, axis=1).reshape(-1, *images.shape[1:3], 3)
    beside = [t if len(t) <= _LONGEST_TITLE else f"...{t[3 - _LONGEST_TITLE:]}" for t in titles]
    above = ["image", "again", "error"]
    _draw_tiles(path, tiled(tiles, 3), 3, images.shape[1:3], above=above, beside=beside)


def interpolations(path, rows):
    """Draws straight paths between prior draws, one a row.

    Args:
        path: the PNG file.
        rows: float [M, n, H, W, C] in [0, 1].
    """
    _draw_rows(path, np.asarray(rows))


def traversals(path, images_by_dimension, rates=None):
    """Draws what each latent dimension does, one a row; the dimensions of the highest rate first.

    Args:
        path: the PNG file.
        images_by_dimension: float [D, n, H, W, C] in [0, 1].
        rates: of each dimension, in nats; None leaves the order.
    """
    rows = np.asarray(images_by_dimension)
    order = np.arange(len(rows)) if rates is None else np.argsort(rates)[::-1]
    names = [f"z{d}" if rates is None else f"z{d}: {rates[d]:.1f} nats" for d in order]
    _draw_rows(path, rows[order], names)


def manifold(path, model, steps=20, label=None):
    """Draws the images of a two-dimensional latent space, at equal shares of the prior.

    Args:
        path: the PNG file.
        model: a VAE of two latent dimensions with an N(0, 1) prior.
        steps: images a side, at the normal quantiles from 1 / (2 steps) on.
        label: the class, for a conditional model.

    Source: Kingma and Welling (2014), fig. 4.
    """
    from scipy import stats

    quantiles = stats.norm.ppf((np.arange(steps) + 0.5) / steps).astype(np.float32)
    z = np.stack(np.meshgrid(quantiles, -quantiles), axis=-1).reshape(-1, 2)
    labels = np.full(len(z), label or 0, np.int32) if model.needs_labels else None
    images = memory.in_batches(model.decode, z, labels, image_shape=model.image_shape)
    _draw_tiles(path, tiled(images, steps, gap=0), steps, images.shape[1:3], gap=0)


def curves(path, rows):
    """Draws a training: ELBO, rate, distortion and images a second against epochs.

    Args:
        path: the PNG file.
        rows: dicts of metrics.csv; "val_..." is drawn next to its training figure, and
            "val_rate_1", "val_rate_2", ... are the rates of the layers, top first.
    """
    last = rows[-1]
    layers = [name for name in last if name.startswith("val_rate_")]
    panels = [("elbo", "ELBO (nats)"), ("rate", "rate (nats)"), ("distortion", "distortion (nats)")]
    panels = [panel for panel in panels if panel[0] in last]
    figure, axes = _panels(len(panels) + bool(layers) + 1)
    for axis, (name, title) in zip(axes, panels, strict=False):
        _curve(axis, rows, {"training": name, "validation": f"val_{name}"}, title)
    if layers:
        _curve(
            axes[len(panels)],
            rows,
            {f"layer {name.removeprefix('val_rate_')}": name for name in layers},
            "rate of a layer (nats)",
        )
    _curve(axes[-1], rows, {"": "images_per_second"}, "images a second")
    axes[-1].set_ylim(bottom=0)
    _save(figure, path)


def nll_curves(path, histories):
    """Draws negative log-likelihood against minutes of training.

    Args:
        path: the PNG file.
        histories: {name: [(minutes, nats), ...]}.
    """
    figure, (axis,) = _panels(1, size=(6.0, 4.0))
    for name, points in histories.items():
        axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
    axis.set(xlabel="minutes", ylabel="negative log-likelihood (nats)")
    axis.legend(frameon=False)
    _save(figure, path)


def rate_distortion(path, points):
    """Draws distortion against rate, a mark for each run, a line through the means of settings.

    Args:
        path: the PNG file.
        points: {setting: float [seeds, 2] of rate and distortion, in nats}.
    """
    figure, (axis,) = _panels(1, size=(6.0, 4.0))
    means = sorted(of.mean(0).tolist() for of in points.values())
    axis.plot(*zip(*means, strict=True), color="0.6", linewidth=1, zorder=1)
    for setting, of in points.items():
        axis.scatter(*of.T, s=18, label=setting)
    axis.set(xlabel="rate (nats)", ylabel="distortion (nats)")
    axis.legend(frameon=False, fontsize=8)
    _save(figure, path)


def rates_by_layer(path, histories):
    """Draws the rate of each layer of one or more models, top layer first.

    Args:
        path: the PNG file.
        histories: {name: [nats of each layer]}.
    """
    figure, (axis,) = _panels(1, size=(6.0, 4.0))
    width = 0.8 / max(1, len(histories))
    for i, (name, rates) in enumerate(histories.items()):
        axis.bar(np.arange(len(rates)) + i * width, rates, width, align="edge", label=name)
    most = max(map(len, histories.values()))
    axis.set_xticks(np.arange(most) + 0.4, [str(layer + 1) for layer in range(most)])
    axis.set(xlabel="layer, the top one is 1", ylabel="rate (nats)")
    axis.legend(frameon=False)
    _save(figure, path)


def _draw_rows(path, rows, names=None):
    tiles = tiled(rows.reshape(-1, *rows.shape[2:]), rows.shape[1])
    _draw_tiles(path, tiles, rows.shape[1], rows.shape[2:4], beside=names)


def _padded(images, count):
    """Returns images, filled up with white ones."""
    missing = count - len(images)
    return np.concatenate([images, np.ones((missing, *images.shape[1:]), images.dtype)])


def tiled(images, columns, gap=_GAP, group=1):
    """Returns one picture of images in rows, white between them, RGB [H', W', 3] in [0, 1].

    Args:
        images: [N, H, W, C].
        columns: images a row.
        gap: pixels between.
        group: after so many rows the gap is three times as wide.
    """
    height, width, channels = images.shape[1:]
    count = math.ceil(len(images) / columns)
    size = (_offset(count, height, gap, group) - gap, columns * (width + gap) - gap)
    canvas = np.ones((*size, channels), np.float32)
    for i, image in enumerate(np.clip(images, 0, 1)):
        row, column = divmod(i, columns)
        top, left = _offset(row, height, gap, group), column * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return np.repeat(canvas, 3, axis=2) if channels == 1 else canvas


def _offset(row, height, gap, group):
    """Returns the top pixel of a row of tiles."""
    wider = 0 if group == 1 else 2 * gap * (row // group)
    return row * (height + gap) + wider


def _draw_tiles(path, tiles, columns, size, above=None, beside=None, gap=_GAP, group=1):
    """Saves one picture of tiles, each pixel a whole number of pixels, with texts around it."""
    zoom = max(1, round(_IMAGE_INCHES * _DPI / size[0]))
    pixels = np.kron(tiles, np.ones((zoom, zoom, 1), np.float32))
    if above is None and beside is None:
        return _save_pixels(pixels, path)
    left = 0.0 if beside is None else 0.1 + 0.075 * max(map(len, beside))
    top = 0.0 if above is None else 0.25
    height, width = pixels.shape[0] / _DPI, pixels.shape[1] / _DPI
    figure = _figure((width + left, height + top))
    figure.figimage(pixels, round(left * _DPI), 0)
    for row, text in enumerate(beside or []):
        middle = (_offset(row, size[0], gap, group) + size[0] / 2) * zoom / _DPI
        x, y = (left - 0.06) / (width + left), (height - middle) / (height + top)
        figure.text(x, y, text, ha="right", va="center", fontsize=8)
    for column, text in enumerate((above or [])[:columns]):
        middle = (column * (size[1] + gap) + size[1] / 2) * zoom / _DPI
        x, y = (left + middle) / (width + left), (height + 0.06) / (height + top)
        figure.text(x, y, text, ha="center", va="bottom", fontsize=8)
    return _save(figure, path, tight=False)


def _save_pixels(pixels, path):
    from PIL import Image

    with files.atomic(path) as partial:
        Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(partial, format="PNG")


def _png_of(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _figure(size):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=_DPI)
    FigureCanvasAgg(figure)
    return figure


def _panels(count, size=None):
    """Returns a figure with a row of axes, without frames on top and right."""
    figure = _figure(size or (3.6 * count, 3.0))
    axes = figure.subplots(1, count, squeeze=False)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25, linewidth=0.5)
    return figure, axes


def _curve(axis, rows, names, title):
    """Draws columns of metrics.csv against epochs; what is missing or not finite is left out."""
    from matplotlib.ticker import MaxNLocator

    for label, name in names.items():
        points = [(row["epoch"], row[name]) for row in rows if _finite(row.get(name))]
        if points:
            marker = "o" if len(points) < 3 else None
            axis.plot(*zip(*points, strict=True), marker=marker, label=label, linewidth=1.2)
    axis.set(xlabel="epoch", title=title)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if any(names):
        axis.legend(frameon=False, fontsize=8)


def _finite(value):
    return isinstance(value, (int, float)) and math.isfinite(value)


def _save(figure, path, tight=True):
    if tight:
        figure.tight_layout()
    with files.atomic(path) as partial:
        figure.savefig(partial, format="png")
