"""Outlines of drawn shapes, as signed distances: below 0 inside, for a shape of radius about 1.

Each takes coordinates u (to the right) and v (down) from the shape's centre, of any shape, and
returns the distance of each point to the outline, likewise.
"""

import numpy as np


def cover(distance):
    """Returns the share of each pixel that a shape covers, in [0, 1].

    Args:
        distance: of the pixel's centre to the outline, in pixels.
    """
    return np.clip(0.5 - distance, 0.0, 1.0)


def disc(u, v):
    return np.hypot(u, v) - 1


def square(u, v):
    outside = np.hypot(np.maximum(np.abs(u) - 1, 0), np.maximum(np.abs(v) - 1, 0))
    return outside + np.minimum(np.maximum(np.abs(u), np.abs(v)) - 1, 0)


def triangle(u, v):
    # Of equal sides, the tip up: the greatest distance to its three sides' lines.
    leaning = 0.8660254 * np.abs(u) - 0.5 * v
    return np.maximum(leaning, v) - 0.6


def ellipse(u, v):
    a, b = 1.3, 0.75
    level = np.hypot(u / a, v / b)
    slope = np.hypot(u / a**2, v / b**2) / np.maximum(level, 1e-6)
    return (level - 1) / np.maximum(slope, 1e-3)


def heart(u, v):
    # A square on its tip, and a disc on each of its two upper sides.
    half = 0.72
    a, b = (u - v + 0.2) * 0.70710677, (u + v - 0.2) * 0.70710677
    tipped = square(a / half, b / half) * half
    discs = np.minimum(np.hypot(a - half, b), np.hypot(a, b + half)) - half
    return np.minimum(tipped, discs)
