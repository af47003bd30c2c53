"""Disentanglement: whether each latent dimension stands for one known factor of the images.

All scores are of codes and factors alone, and from 0 to 1 (BetaVAE and FactorVAE from
1 / F, by chance). They agree on clear cases, and not on the others: read several.

    beta_vae     which factor two images share, from |z - z'| (Higgins et al., 2017)
    factor_vae   the same, from the dimension that varies least (Kim and Mnih, 2018)
    mig          gap of the two dimensions that tell most of a factor (Chen et al., 2018)
    sap          the same, of the accuracy of a linear classifier (Kumar et al., 2018)
    dci_*        importances of a forest that tells factors (Eastwood and Williams, 2018)
    modularity   whether a dimension tells of one factor alone (Ridgeway and Mozer, 2018)
    irs          whether a dimension stays where other factors change (Suter et al., 2019);
                 normal noise has about 0.3, not 0

The details are those of Locatello et al. (2019), "Challenging common assumptions in the
unsupervised learning of disentangled representations", appendix B; but images are taken from a
set, not drawn anew, and the trees of DCI are a forest's.
"""

import numpy as np

from vae_zoo.probability import noise

IMAGES = 5_000  # images encoded, at most
_BINS = 20  # of each dimension, for mutual information
_VOTES = 1_500  # sets of images that share a factor's value; half of them are scored
_SHARING = 64  # images of such a set
_COLLAPSED = 0.05  # variance of a dimension, over that of the largest
_TREES, _DEPTH = 20, 10
_QUANTILE = 99  # of the deviations of IRS, percent
_INFORMATIVE = 0.05  # nats; a dimension that tells less of any factor has no modularity


def scores(mean, deviation, factors, seed=0):
    """Returns the scores of a model's codes of images whose factors are known.

    Args:
        mean: of each image's posterior, float [N, D].
        deviation: of it, float [N, D].
        factors: int [N, F]; a factor of one value is left out.
        seed: of the samples and of the choice of images.

    Returns:
        {score: number}; `mig` is that of the means, `mig_samples` that of a sample of each
        posterior. {"reason"} where fewer than two factors vary.
    """
    factors = np.asarray(factors)
    factors = factors[:, [len(np.unique(column)) > 1 for column in factors.T]]
    if factors.shape[1] < 2:
        return {"reason": "fewer than two factors vary"}
    mean, rng = np.asarray(mean, np.float64), noise.generator(seed)
    z = mean + deviation * rng.normal(size=mean.shape)
    return {
        "beta_vae": beta_vae(mean, factors, seed),
        "factor_vae": factor_vae(mean, factors, seed),
        "mig": mig(mean, factors),
        "mig_samples": mig(z, factors),
        "sap": sap(mean, factors, seed),
        **dci(mean, factors, seed),
        "modularity": modularity(mean, factors),
        "irs": irs(mean, factors),
    }


def beta_vae(codes, factors, seed=0):
    """Returns how often a linear classifier tells which factor pairs of images share.

    Args:
        codes: float [N, D].
        factors: int [N, F].
        seed: of the pairs.
    """
    from sklearn.linear_model import LogisticRegression

    differences, shared = [], []
    for factor, rows in _sets_that_share(factors, seed):
        half = len(rows) // 2
        gap = np.abs(codes[rows[:half]] - codes[rows[half : 2 * half]])
        differences.append(gap.mean(0))
        shared.append(factor)
    x, y = np.array(differences), np.array(shared)
    x, half = (x - x.mean(0)) / (x.std(0) + 1e-9), len(x) // 2
    return float(LogisticRegression(max_iter=300).fit(x[:half], y[:half]).score(x[half:], y[half:]))


def factor_vae(codes, factors, seed=0):
    """Returns how often the dimension that varies least tells which factor images share.

    Args:
        codes: float [N, D]; dimensions that hardly vary are left out.
        factors: int [N, F].
        seed: of the images.
    """
    variance = codes.var(0)
    if not variance.any():
        return 1 / factors.shape[1]
    kept = variance > _COLLAPSED * variance.max()
    codes = codes[:, kept] / np.sqrt(variance[kept])
    votes = np.array(
        [(codes[rows].var(0).argmin(), k) for k, rows in _sets_that_share(factors, seed)]
    )
    half, counts = len(votes) // 2, np.zeros((codes.shape[1], factors.shape[1]))
    np.add.at(counts, tuple(votes[:half].T), 1)
    dimension, factor = votes[half:].T
    return float((counts.argmax(1)[dimension] == factor).mean())


def mig(codes, factors):
    """Returns the mutual information gap, the mean of all factors.

    Args:
        codes: float [N, D].
        factors: int [N, F].
    """
    information = np.sort(mutual_information(codes, factors), axis=0)[::-1]
    second = information[1] if len(information) > 1 else 0.0
    return float(((information[0] - second) / _entropies(factors)).mean())


def sap(codes, factors, seed=0):
    """Returns the gap of the two dimensions that predict a factor best, the mean of all factors.

    Args:
        codes: float [N, D].
        factors: int [N, F].
        seed: of the choice of the half that is scored.
    """
    from sklearn.svm import LinearSVC

    fitted, scored = _halves(len(codes), seed)
    accuracy = np.zeros((codes.shape[1], factors.shape[1]))
    for d, column in enumerate(_standardised(codes).T[..., np.newaxis]):
        if not column.any():
            continue
        for k, factor in enumerate(factors.T):
            machine = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
            machine.fit(column[fitted], factor[fitted])
            accuracy[d, k] = machine.score(column[scored], factor[scored])
    best = np.sort(accuracy, axis=0)[::-1]
    return float((best[0] - (best[1] if len(best) > 1 else 0.0)).mean())


def dci(codes, factors, seed=0):
    """Returns how a forest's importances are spread over dimensions and over factors.

    Args:
        codes: float [N, D].
        factors: int [N, F].
        seed: of the forests and of the choice of the half that is scored.

    Returns:
        {"dci_disentanglement", "dci_completeness", "dci_informativeness": the accuracy}.
    """
    from sklearn.ensemble import RandomForestClassifier

    fitted, scored = _halves(len(codes), seed)
    importance, accuracy = [], []
    for factor in factors.T:
        forest = RandomForestClassifier(
            _TREES, max_depth=_DEPTH, max_features=None, random_state=0
        )
        forest.fit(codes[fitted], factor[fitted])
        importance.append(forest.feature_importances_)
        accuracy.append(forest.score(codes[scored], factor[scored]))
    importance = np.array(importance).T  # [D, F]
    return {
        "dci_disentanglement": _one_sidedness(importance),
        "dci_completeness": _one_sidedness(importance.T),
        "dci_informativeness": float(np.mean(accuracy)),
    }


def modularity(codes, factors):
    """Returns how far each dimension depends on one factor alone, the mean over dimensions in use.

    Args:
        codes: float [N, D].
        factors: int [N, F].
    """
    information = mutual_information(codes, factors)
    most = information.max(1)
    squares = (information**2).sum(1) - most**2
    told = most > _INFORMATIVE
    if not told.any():
        return 0.0
    return float((1 - squares[told] / (most[told] ** 2 * (factors.shape[1] - 1))).mean())


def irs(codes, factors):
    """Returns the interventional robustness: 1 where one factor alone moves each dimension.

    Args:
        codes: float [N, D].
        factors: int [N, F].
    """
    most = np.abs(codes - codes.mean(0)).max(0)
    kept = most > 0
    if not kept.any():
        return 0.0
    codes, most, deviations = codes[:, kept], most[kept], []
    for factor in factors.T:
        parts = [codes[factor == value] for value in np.unique(factor)]
        far = [np.percentile(np.abs(p - p.mean(0)), _QUANTILE, axis=0) for p in parts]
        deviations.append(np.mean(far, axis=0) / most)
    return float(np.average(1 - np.min(deviations, axis=0), weights=most))


def mutual_information(codes, factors):
    """Returns the mutual information of each dimension, in 20 bins, and each factor, in nats.

    Args:
        codes: float [N, D].
        factors: int [N, F].

    Returns:
        float [D, F].
    """
    from sklearn.metrics import mutual_info_score

    bins = [np.digitize(c, np.histogram_bin_edges(c, _BINS)[1:-1]) for c in codes.T]
    return np.array([[mutual_info_score(f, b) for f in factors.T] for b in bins])


def _entropies(factors):
    counts = [np.unique(column, return_counts=True)[1] / len(factors) for column in factors.T]
    return np.array([-(share * np.log(share)).sum() for share in counts])


def _one_sidedness(importance):
    """Returns 1 - the entropy of each row over its largest, weighed by the rows' sums."""
    weight = importance.sum(1)
    if not weight.any():
        return 0.0
    share = importance / np.maximum(weight[:, np.newaxis], 1e-12)
    entropy = -(share * np.log(np.maximum(share, 1e-12))).sum(1) / np.log(importance.shape[1])
    return float(np.average(1 - entropy, weights=weight)) if importance.shape[1] > 1 else 1.0


def _sets_that_share(factors, seed):
    """Yields (factor, rows of images that have one value of it), each factor in turn."""
    rng = noise.generator(seed)
    for number in range(_VOTES):
        factor = number % factors.shape[1]
        value = factors[rng.integers(len(factors)), factor]
        same = np.flatnonzero(factors[:, factor] == value)
        yield factor, rng.choice(same, _SHARING, replace=len(same) < _SHARING)


def _halves(count, seed):
    order = noise.generator(seed).permutation(count)
    return order[: count // 2], order[count // 2 :]


def _standardised(codes):
    deviation = codes.std(0)
    return (codes - codes.mean(0)) / np.where(deviation > 0, deviation, 1)
