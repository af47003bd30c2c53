"""Fidelity and diversity of samples: known answers, and that each tells its own fault."""

import numpy as np
import pytest

from vae_zoo.metrics import coverage


@pytest.fixture(scope="module")
def real():
    return np.random.default_rng(0).normal(size=(1500, 8))


def test_samples_of_the_same_distribution_score_as_the_theory_says(real):
    same = np.random.default_rng(1).normal(size=real.shape)
    found = coverage.fidelity_and_diversity(real, same)
    assert found["density"] == pytest.approx(1.0, abs=0.08)
    assert found["coverage"] == pytest.approx(1 - 2**-5, abs=0.03)
    assert found["precision"] > 0.8 and found["recall"] > 0.8


def test_samples_elsewhere_score_nothing(real):
    found = coverage.fidelity_and_diversity(real, real + 100)
    assert set(found.values()) == {0.0}


def test_a_collapsed_model_is_faithful_and_not_diverse(real):
    collapsed = 0.01 * np.random.default_rng(1).normal(size=real.shape)
    found = coverage.fidelity_and_diversity(real, collapsed)
    assert found["precision"] == 1.0 and found["density"] > 1
    assert found["recall"] < 0.01 and found["coverage"] < 0.2


def test_a_too_wide_model_is_diverse_and_not_faithful(real):
    wide = 4 * np.random.default_rng(1).normal(size=real.shape)
    found = coverage.fidelity_and_diversity(real, wide)
    assert found["precision"] < 0.1 and found["density"] < 0.1


def test_copies_of_training_images_are_told(real):
    held_out = np.random.default_rng(2).normal(size=(300, 8))
    copies = real[:300] + 1e-3
    assert coverage.memorisation(copies, real, held_out)["ratio"] < 0.01
    fresh = np.random.default_rng(3).normal(size=(300, 8))
    assert coverage.memorisation(fresh, real, held_out)["ratio"] == pytest.approx(1, abs=0.1)
    rows, _ = coverage.nearest_neighbours(copies, real)
    np.testing.assert_array_equal(rows, np.arange(300))


def test_too_few_points_are_refused(real):
    with pytest.raises(ValueError, match="more than 5"):
        coverage.fidelity_and_diversity(real[:5], real)
