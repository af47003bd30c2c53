"""How closely the formats must agree with Keras, and how closely they do."""

from typing import NamedTuple

import numpy as np


class Tolerance(NamedTuple):
    """How closely every float32 format gives what Keras gives for the same inputs.

    Attributes:
        difference: largest difference of a row's numbers; see row_differences.
        rows: share of the rows that keep within it. Less than 1 where rounding can flip a discrete
            code, and with it the whole row.
        quantized_latents: largest difference of the latents of quantised formats; None: as above.
            More where they come out of a network, as those of a flow: its weights are rounded too.
    """

    difference: float = 1e-5
    rows: float = 1.0
    quantized_latents: float | None = None


_OF_A_NETWORK = 0.2  # 0.05 was seen; images keep to their own limit
# By class, for it and the classes derived from it; all others keep to the default.
TOLERANCES = {
    "VQVAE": Tolerance(rows=0.99),  # a uniform can fall between two runtimes' cumulative sums
    "VDM": Tolerance(difference=1e-3, rows=0.95),  # a hundred steps carry each rounding on
}


def tolerance(model):
    """Returns the Tolerance of a model."""
    stated = (TOLERANCES.get(cls.__name__) for cls in type(model).__mro__)
    allowed = next((each for each in stated if each is not None), Tolerance())
    weights = getattr(getattr(model, "prior_part", None), "weights", ())
    if any(variable.path.endswith("kernel") for variable in weights):
        return allowed._replace(quantized_latents=_OF_A_NETWORK)
    return allowed


def row_differences(outputs, expected):
    """Returns the largest difference in each row, [N]; infinite where there is no number.

    Numbers are compared to the largest of their row where that is beyond 1: rounding errors of
    logits, and of sums over pixels, grow with it.

    Args:
        outputs: {name: array [N, ...]}.
        expected: the same names and shapes.
    """
    differences = []
    for name, wanted in expected.items():
        wanted = np.asarray(wanted, np.float64).reshape([len(wanted), -1])
        found = np.asarray(outputs[name], np.float64).reshape(wanted.shape)
        scale = np.maximum(1.0, np.abs(wanted).max(axis=1))
        difference = np.abs(found - wanted).max(axis=1) / scale
        differences.append(np.where(np.isfinite(difference), difference, np.inf))
    return np.max(differences, axis=0)


def agrees(differences, allowed):
    """Returns whether enough of row_differences are within a Tolerance."""
    return np.mean(differences <= allowed.difference) >= allowed.rows


def psnr_db(image, other):
    """Returns the peak signal-to-noise ratio of images in [0, 1], in decibels; None if equal."""
    error = float(np.mean(np.square(np.asarray(image, np.float64) - other)))
    return -10.0 * float(np.log10(error)) if error else None
