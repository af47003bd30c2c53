"""Unsupervised disentanglement ranking (UDR): how far models of other seeds agree on their codes.

Duan et al. (2020), "Unsupervised model selection for variational disentangled representation
learning", section 4, with rank correlations.
"""

import numpy as np

_INFORMATIVE = 0.01  # nats; a dimension of a lower rate has collapsed, and is left out


def udr(codes, rates):
    """Returns the unsupervised disentanglement ranking of each model; it needs no factors.

    1 where each informative dimension of a model has one partner in each
    other one, up to its sign.

    Args:
        codes: posterior means of the same images by at least two models, float [N, D] each.
        rates: nats of each dimension, [D] each.

    Returns:
        The score of each model, the median over the others; a list.
    """
    count = len(codes)
    pairs = [
        [_agreement(codes[i], codes[j], rates[i], rates[j]) for j in range(count) if j != i]
        for i in range(count)
    ]
    return [float(np.median(row)) for row in pairs]


def _agreement(one, other, one_rate, other_rate):
    from scipy import stats

    told = [np.asarray(rate) > _INFORMATIVE for rate in (one_rate, other_rate)]
    one, other = one[:, told[0]], other[:, told[1]]
    if not one.shape[1] or not other.shape[1]:
        return 0.0
    ranks = [stats.rankdata(part, axis=0) for part in (one, other)]
    both = np.abs(np.corrcoef(*ranks, rowvar=False))[: one.shape[1], one.shape[1] :]
    parts = [(m.max(0) ** 2 / m.sum(0)).sum() for m in (both, both.T)]
    return float(sum(parts) / (one.shape[1] + other.shape[1]))
