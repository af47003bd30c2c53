"""One self-contained HTML page: text, tables, drawings as SVG, pictures inside.

It opens from disk, asks no other host, follows the reader's light or dark setting, and fits phones.
"""

import base64
import html
import io

import numpy as np

from vae_zoo.runs.files import atomic

_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5a6472;--paper:#fff;--line:#d5dae1;
--one:#2f6fb7;--two:#c2571a;--three:#3b8a4a;--four:#8550a8}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#9aa4b2;--paper:#14171c;--line:#343b45;
--one:#6aa9f0;--two:#f0965a;--three:#74c485;--four:#c094e4}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:0 auto;
max-width:62rem;padding:1rem}
h1{font-size:1.6rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin-top:2.2rem;border-top:1px solid var(--line);
padding-top:1rem}p{max-width:44rem}.note{color:var(--soft)}
.scroll{overflow-x:auto}table{border-collapse:collapse}td,th{padding:.25rem .8rem .25rem 0;
text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
td+td,th+th{text-align:right}figure{margin:1rem 0}figcaption{color:var(--soft);font-size:.9rem}
img{max-width:100%;image-rendering:pixelated;background:#fff;padding:4px}
svg{width:100%;height:auto;max-width:40rem}svg text{fill:var(--soft);font-size:12px}
.warning{border-left:4px solid var(--two);padding-left:.8rem}
"""
_COLOURS = ("--one", "--two", "--three", "--four")
_WIDTH, _HEIGHT = 560, 220
_LEFT, _BOTTOM, _TOP = 56, 36, 26  # of the drawing's frame


def write(path, title, parts):
    """Writes a page.

    Args:
        path: the HTML file.
        title: plain text.
        parts: pieces of HTML, of the functions below.
    """
    with atomic(path) as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{_text(title)}</title><style>{_STYLE}</style>"
            '<link rel="icon" href="data:,"></head>\n<body>'
            f"<h1>{_text(title)}</h1>\n" + "\n".join(parts) + "\n</body></html>\n"
        )


def heading(text):
    """Returns a heading of a section."""
    return f"<h2>{_text(text)}</h2>"


def paragraph(text, kind=None):
    """Returns a paragraph; `kind` is "note", "warning" or None."""
    return f"<p{f' class={kind}' if kind else ''}>{_text(text)}</p>"


def table(rows):
    """Returns a table of rows of text; the first row is the head."""
    head, *body = [[_text(str(cell)) for cell in row] for row in rows]
    lines = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in body)
    return (
        '<div class="scroll"><table><tr>'
        + "".join(f"<th>{cell}</th>" for cell in head)
        + f"</tr>{lines}</table></div>"
    )


def picture(pixels, caption):
    """Returns a picture.

    Args:
        pixels: float [H, W, 3] in [0, 1]; shown at twice its size, as far as that fits.
        caption: plain text; also for those who cannot see it.
    """
    source = "data:image/png;base64," + base64.b64encode(_png(pixels)).decode("ascii")
    width = min(2 * pixels.shape[1], 900)
    image = f'<img alt="{_text(caption)}" width="{width}" src="{source}">'
    return _figure(image, caption)


def histogram(series, caption, unit, bins=30):
    """Returns a drawing of how numbers are spread.

    Args:
        series: {name: numbers}, four at most; what is not finite is left out.
        caption: plain text.
        unit: of the numbers.
        bins: bars over their range.
    """
    found = {name: np.asarray(v, float)[np.isfinite(v)] for name, v in series.items()}
    found = {name: values for name, values in found.items() if len(values)}
    if not found:
        return paragraph(f"{caption}: no finite number.", "note")
    everything = np.concatenate(list(found.values()))
    low, high = float(everything.min()), float(everything.max())
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    shares = {name: np.histogram(v, edges)[0] / len(v) for name, v in found.items()}
    frame = _Frame((edges[0], edges[-1]), (0, max(share.max() for share in shares.values())))
    shapes = []
    for colour, share in zip(_COLOURS, shares.values(), strict=False):
        outline = [(edges[0], 0)]
        for left, right, value in zip(edges[:-1], edges[1:], share, strict=True):
            outline += [(left, value), (right, value)]
        points = frame.points([*outline, (edges[-1], 0)])
        shapes.append(
            f'<polygon points="{points}" fill="var({colour})" fill-opacity="0.35" '
            f'stroke="var({colour})"/>'
        )
    return _drawing(frame, shapes, list(found), caption, unit, "share")


def lines(series, caption, x_unit, y_unit):
    """Returns a drawing of curves.

    Args:
        series: {name: [(x, y), ...]}, four at most; what is not finite is left out.
        caption: plain text.
        x_unit, y_unit: what the axes are.
    """
    found = {
        name: [(x, y) for x, y in points if np.isfinite(x) and np.isfinite(y)]
        for name, points in series.items()
    }
    found = {name: points for name, points in found.items() if points}
    if not found:
        return paragraph(f"{caption}: no finite number.", "note")
    x, y = np.concatenate([np.array(points) for points in found.values()]).T
    frame = _Frame((x.min(), x.max()), (y.min(), y.max()))
    shapes = [
        f'<polyline points="{frame.points(points)}" fill="none" stroke="var({colour})" '
        'stroke-width="2"/>'
        for colour, points in zip(_COLOURS, found.values(), strict=False)
    ]
    return _drawing(frame, shapes, list(found), caption, x_unit, y_unit)


def bars(values, caption, x_unit, y_unit):
    """Returns a drawing of one number for each place, the first one at the left."""
    values = np.nan_to_num(np.asarray(values, float))
    frame = _Frame((0, len(values)), (min(0.0, values.min()), max(values.max(), 1e-9)))
    shapes = []
    for place, value in enumerate(values):
        left, top = frame.at(place + 0.1, max(value, 0))
        right, low = frame.at(place + 0.9, min(value, 0))
        shapes.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
            f'height="{max(low - top, 0.5):.1f}" fill="var(--one)"/>'
        )
    return _drawing(frame, shapes, [], caption, x_unit, y_unit)


def scatter(groups, caption):
    """Returns a drawing of points in the plane.

    Args:
        groups: {name: float [N, 2]}; the colours go round where there are more than four.
        caption: plain text.
    """
    every = np.concatenate(list(groups.values()))
    frame = _Frame((every[:, 0].min(), every[:, 0].max()), (every[:, 1].min(), every[:, 1].max()))
    shapes, names = [], list(groups)
    for number, points in enumerate(groups.values()):
        hue = round(360 * number / len(groups))
        shapes += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="hsl({hue} 65% 52%)"/>'
            for x, y in (frame.at(*point) for point in points)
        ]
    words = ", ".join(names) if len(names) > 1 else ""
    return _drawing(frame, shapes, [], caption + (f" Colours: {words}." if words else ""), "", "")


class _Frame:
    """The drawing's axes: from numbers to places in the SVG."""

    def __init__(self, x, y):
        self.x = (float(x[0]), float(x[1]) if x[1] > x[0] else float(x[0]) + 1)
        self.y = (float(y[0]), float(y[1]) if y[1] > y[0] else float(y[0]) + 1)

    def at(self, x, y):
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        height = _HEIGHT - _BOTTOM - _TOP
        return _LEFT + across * (_WIDTH - _LEFT - 8), _TOP + (1 - up) * height

    def points(self, pairs):
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.at(*pair) for pair in pairs))

    def axes(self, x_unit, y_unit):
        left, low = self.at(self.x[0], self.y[0])
        right, high = self.at(self.x[1], self.y[1])
        ends = [
            f'<text x="{left:.0f}" y="{low + 14:.0f}">{_number(self.x[0])}</text>',
            f'<text x="{right:.0f}" y="{low + 14:.0f}" text-anchor="end">'
            f"{_number(self.x[1])}</text>",
            f'<text x="{left - 6:.0f}" y="{low:.0f}" text-anchor="end">{_number(self.y[0])}</text>',
            f'<text x="{left - 6:.0f}" y="{high + 10:.0f}" text-anchor="end">'
            f"{_number(self.y[1])}</text>",
            f'<text x="{(left + right) / 2:.0f}" y="{low + 28:.0f}" text-anchor="middle">'
            f"{_text(x_unit)}</text>",
            f'<text x="{left:.0f}" y="{high - 10:.0f}">{_text(y_unit)}</text>',
        ]
        frame = f'<path d="M{left:.0f} {high:.0f}V{low:.0f}H{right:.0f}" fill="none" '
        return frame + 'stroke="var(--line)"/>' + "".join(ends)


def _drawing(frame, shapes, names, caption, x_unit, y_unit):
    legend = "".join(
        f'<text x="{_WIDTH - 8 - 110 * i}" y="{_TOP - 10}" text-anchor="end" '
        f'style="fill:var({_COLOURS[i]})">{_text(name)}</text>'
        for i, name in enumerate(names)
        if len(names) > 1
    )
    return _figure(
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{_text(caption)}">'
        + frame.axes(x_unit, y_unit)
        + "".join(shapes)
        + legend
        + "</svg>",
        caption,
    )


def _figure(inside, caption):
    return f"<figure>{inside}<figcaption>{_text(caption)}</figcaption></figure>"


def _png(pixels):
    from PIL import Image

    made = io.BytesIO()
    Image.fromarray(np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)).save(made, "PNG")
    return made.getvalue()


def _number(value):
    return f"{value:.3g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _text(text):
    return html.escape(str(text), quote=True)
