"""RESULTS.md's section on what the numbers of a run's page tell: predictions, rule, tables.

The rule: a number tells two kinds of models apart where their means over seeds lie further apart
than the ranges of both over seeds (the greatest less the least) together. No seed of one kind then
reaches a seed of the other. Of normal noise, three seeds of each kind, it finds a difference in
about 1 of 80 pairs, on either side.
"""

import itertools
from typing import NamedTuple

import numpy as np

from benchmarks.markdown import provenance, table
from benchmarks.sections import of

_ALL = "autoencoder > VAE > beta 8 > collapsed"
_COSTS = "collapsed > beta 8 > VAE > autoencoder"
_STEEP = "VAE > beta 8 > collapsed; autoencoder > collapsed"
_TELLS = "VAE > beta 8 > collapsed; autoencoder > beta 8"
_OFF = "autoencoder > VAE; autoencoder > beta 8; autoencoder > collapsed"
_FAR = "autoencoder > VAE; beta 8 > VAE; collapsed > VAE"
_BETTER = "beta-TCVAE > VAE"
_LESS = "VAE > beta-TCVAE"


class Number(NamedTuple):
    """A number of a run's page.

    Attributes:
        words: what it is.
        predicted: what its definition says of the kinds of models, "a > b > c; a > d".
    """

    words: str
    predicted: str


# Written down before anything was trained; they are tested, not fitted.
NUMBERS = {
    "digits": {
        "elbo.mean": Number("ELBO, nats", "VAE > autoencoder; VAE > beta 8 > collapsed"),
        "nll": Number("NLL, nats", "autoencoder > VAE; collapsed > beta 8 > VAE"),
        "rate.mean": Number("rate, nats", _ALL),
        "distortion.mean": Number("distortion, nats", _COSTS),
        "active_units": Number("active units", _TELLS),
        "unused_dimensions": Number("dimensions below 0.01 nats", "collapsed > beta 8 > VAE"),
        "rate_split.mutual_information.low": Number("mutual information, at least", _ALL),
        "rate_split.mutual_information.high": Number("mutual information, at most", _ALL),
        "rate_split.total_correlation.low": Number("total correlation, at least", _ALL),
        "rate_split.total_correlation.high": Number("total correlation, at most", _ALL),
        "rate_split.dimension_wise_kl.low": Number("dimension-wise KL, at least", _ALL),
        "rate_split.dimension_wise_kl.high": Number("dimension-wise KL, at most", _ALL),
        "holes.mean": Number("holes: aggregate posterior's mean, from 0", _OFF),
        "holes.deviation": Number("holes: log of its deviation, from 0", _OFF),
        "change_per_step.mean": Number("change for a step in z, mean", _STEEP),
        "continuity.median": Number("change for a step in z, median", _STEEP),
        "continuity.p95": Number("change for a step in z, 95%", _STEEP),
        "geometry.largest_singular_value.median": Number("local Lipschitz constant", _STEEP),
        "geometry.largest_singular_value.p95": Number("local Lipschitz constant, 95%", _STEEP),
        "smallest_singular_value": Number("smallest singular value", "VAE > beta 8 > collapsed"),
        "lengths.straight": Number("straight path between images", _STEEP),
        "lengths.spherical": Number("spherical path", _STEEP),
        "lengths.geodesic": Number("geodesic path", _STEEP),
        "lengths.detour": Number("straight over geodesic", "VAE > beta 8"),
        "completeness.share": Number("completeness", "VAE > autoencoder; VAE > collapsed"),
        "completeness.diversity": Number("diversity within classes", "VAE > beta 8"),
        "samples.precision": Number("precision", "VAE > autoencoder"),
        "samples.recall": Number("recall", "VAE > beta 8 > collapsed"),
        "samples.density": Number("density", "VAE > autoencoder"),
        "samples.coverage": Number("coverage", "VAE > autoencoder; VAE > beta 8 > collapsed"),
        "distances.samples.frechet.value": Number("Frechet distance", _FAR),
        "distances.samples.kernel.value": Number("kernel distance", _FAR),
        "samples.memorisation.ratio": Number("memorisation: ratio", "autoencoder > VAE"),
        "linear_probe.accuracy": Number("linear probe", _TELLS),
    },
    "sprites": {
        "mig_samples": Number("MIG of samples", _BETTER),
        "mig": Number("MIG of means", _BETTER),
        "sap": Number("SAP", _BETTER),
        "dci_disentanglement": Number("DCI disentanglement", _BETTER),
        "dci_completeness": Number("DCI completeness", _BETTER),
        "dci_informativeness": Number("DCI informativeness", _LESS),
        "factor_vae": Number("FactorVAE score", _BETTER),
        "beta_vae": Number("BetaVAE score", _BETTER),
        "modularity": Number("modularity", _BETTER),
        "irs": Number("IRS", _BETTER),
        "udr": Number("UDR", _BETTER),
        "rate_split.total_correlation.low": Number("total correlation, at least", _LESS),
        "rate_split.total_correlation.high": Number("total correlation, at most", _LESS),
        "rate.mean": Number("rate, nats", _LESS),
        "distortion.mean": Number("distortion, nats", _BETTER),
    },
}


class Verdict(NamedTuple):
    """What a number says of the pairs of kinds that its definition orders.

    Attributes:
        told: pairs (more, less) that it tells apart, as predicted.
        against: pairs that it tells apart the other way round.
        open: pairs that it does not tell apart, or is not defined for.
    """

    told: list
    against: list
    open: list


def pairs(predicted):
    """Returns the ordered pairs of "a > b > c; a > d": (a, b), (a, c), (b, c), (a, d)."""
    chains = (chain.split(" > ") for chain in predicted.split("; "))
    return [pair for chain in chains for pair in itertools.combinations(chain, 2)]


def tells_apart(one, other):
    """Returns 1 where a number is greater for one kind than for another, -1 where less, else 0.

    The gap between the means is to be larger than both ranges over seeds together.

    Args:
        one, other: the number of each seed, at least two of each; None where it is undefined.
    """
    if None in (*one, *other):
        return 0
    gap = np.mean(one) - np.mean(other)
    return int(np.sign(gap)) if abs(gap) > np.ptp(one) + np.ptp(other) else 0


def verdict(values, predicted):
    """Returns the Verdict of a number.

    Args:
        values: {kind: the number of each seed}.
        predicted: as in Number.
    """
    sides = {1: [], -1: [], 0: []}
    for more, less in pairs(predicted):
        if more in values and less in values:
            sides[tells_apart(values[more], values[less])].append((more, less))
    return Verdict(sides[1], sides[-1], sides[0])


def telling(results):
    """Yields the section."""
    found = {name: of(f"telling-{name}", results) for name in _TITLES}
    if any(found.values()):
        yield "## What the numbers of a run's page tell\n"
        yield (
            "Kinds of models that are known to differ, trained with several seeds: mean ± standard "
            "deviation over seeds. Predicted: what a number's definition says of them, written "
            "down before the training. A number tells two kinds apart where their means lie "
            "further apart than the ranges of both over seeds (the greatest less the least) "
            "together; of noise it would say so in about 1 of 80 pairs. What a reader makes of "
            "each number is in [evaluation.md](docs/evaluation.md).\n"
        )
    for name, write in _TITLES.items():
        for result in found[name]:
            yield from write(result["figures"])
            yield provenance([row["origin"] for row in result["figures"]["runs"]])


def _digits(figures):
    yield (
        f"`{figures['dataset']}`, `vae` with beta 0 (autoencoder), 1 (VAE), 8, and 1,000 "
        f"(collapsed); {_trained(figures)}.\n"
    )
    yield from _tables(figures, NUMBERS["digits"])


def _sprites(figures):
    yield (
        f"`{figures['dataset']}` at {figures['image_size']} x {figures['image_size']}, `vae` and "
        f"`beta_tc_vae` with the same networks; {_trained(figures)}. "
        "Trainings of the length that papers report are many times as long.\n"
    )
    yield from _tables(figures, NUMBERS["sprites"])


_TITLES = {"digits": _digits, "sprites": _sprites}


def _trained(figures):
    seeds = len({row["seed"] for row in figures["runs"]})
    return (
        f"{seeds} seeds, {figures['steps']:,} steps of {figures['batch_size']} images; at most "
        f"{figures['num_images']:,} test images and {figures['num']:,} draws from the prior"
    )


def rows(figures, known):
    """Returns the rows of a table: of each number its values, mean, deviation and Verdict.

    Args:
        figures: of a result.
        known: {dotted name: Number}.
    """
    found = []
    for name, number in known.items():
        values = {
            kind: [row["numbers"].get(name) for row in figures["runs"] if row["kind"] == kind]
            for kind in figures["kinds"]
        }
        found.append({"words": number.words, "predicted": number.predicted, "values": values,
                      "verdict": verdict(values, number.predicted)})  # fmt: skip
    return found


def _tables(figures, known):
    found = rows(figures, known)
    columns = {"number": "{words}"}
    for kind in figures["kinds"]:
        columns[kind] = lambda row, kind=kind: _mean(row["values"][kind])
    columns |= {"predicted": "{predicted}", "told as predicted": _told}
    columns["not told, or otherwise"] = _not_told
    yield table(columns, found)
    silent = [row["words"] for row in found if not row["verdict"].told]
    wrong = [row["words"] for row in found if row["verdict"].against]
    yield (
        f"{len(found) - len(silent)} of {len(found)} numbers tell a pair apart as predicted. "
        f"No pair: {', '.join(silent) or 'none'}. "
        f"A pair the other way round: {', '.join(wrong) or 'none'}.\n"
    )


def _told(row):
    found = row["verdict"]
    return f"{len(found.told)} of {sum(map(len, found))}"


def _not_told(row):
    otherwise = [f"{more} < {less}" for more, less in row["verdict"].against]
    return "; ".join([*otherwise, *(f"{more} ? {less}" for more, less in row["verdict"].open)])


def _mean(values):
    """Returns mean and deviation as text; how many are undefined, where some are."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        some = "" if not known else f" ({len(values) - len(known)} of {len(values)})"
        return f"undefined{some}"
    return f"{_short(np.mean(known))} ± {_short(np.std(known, ddof=1))}"


def _short(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
