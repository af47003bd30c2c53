"""The maximum mean discrepancy, against its closed form."""

import math

import numpy as np
import pytest
import tensorflow as tf

from vae_zoo.models import info

DRAWS, COUNT, SIZE = 2000, 16, 3


def draws(seed, shift=0.0):
    rng = np.random.default_rng(seed)
    return (shift + rng.normal(size=(DRAWS, COUNT, SIZE))).astype(np.float32)


@pytest.mark.parametrize("kernel", list(info.KERNELS))
def test_unbiased_mmd_has_mean_zero_for_equal_laws(kernel):
    estimates = tf.vectorized_map(
        lambda pair: info.squared_mmd(*pair, kernel), (draws(0), draws(1))
    ).numpy()
    assert estimates.min() < 0  # a biased one cannot be
    assert abs(estimates.mean()) < 4 * estimates.std() / math.sqrt(DRAWS)


def test_rbf_of_shifted_normals_is_the_closed_form():
    shift = 0.7
    found = float(info.squared_mmd(draws(0), draws(1, shift), "rbf"))
    # E exp(-|u|^2 / 2D) for u ~ N(shift, 2 I), and without shift.
    scale = (1 + 2 / SIZE) ** (-SIZE / 2)
    known = 2 * scale * (1 - math.exp(-SIZE * shift**2 / (2 * (SIZE + 2))))
    assert found == pytest.approx(known, rel=0.05)


def test_imq_grows_with_the_distance_of_the_laws():
    found = [float(info.squared_mmd(draws(0), draws(1, shift), "imq")) for shift in (0, 0.5, 1, 3)]
    assert found[0] == pytest.approx(0, abs=2e-3)
    assert found[1] > 0.02 and (np.diff(found) > 0).all()


def test_a_wasserstein_autoencoder_is_a_setting(tiny, batch):
    """No rate is charged: the loss is the reconstruction and the discrepancy."""
    model = tiny("info_vae", beta=0, kernel="imq", mmd_weight=10)
    terms = model.terms(batch, seed=(0, 1))
    assert float(tf.reduce_mean(terms.rate)) > 0
    np.testing.assert_allclose(
        terms.loss, terms.penalty[:, 0] - terms.log_likelihood[:, 0], rtol=1e-5
    )
