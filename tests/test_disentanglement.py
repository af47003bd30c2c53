"""Disentanglement scores of constructed codes: one factor a dimension, turned, and none."""

import numpy as np
import pytest

from vae_zoo.metrics import agreement, disentanglement

SIZES = (4, 5, 6)


@pytest.fixture(scope="module")
def factors():
    """3,000 images of three independent factors."""
    rng = np.random.default_rng(0)
    return np.stack([rng.integers(0, size, 3000) for size in SIZES], axis=1)


@pytest.fixture(scope="module")
def codes(factors):
    """Codes by kind: a factor for each of the first three dimensions of five; turned; noise."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(len(factors), 5))
    perfect = 1e-3 * noise
    perfect[:, :3] += (factors - factors.mean(0)) / factors.std(0)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turned = perfect.copy()
    turned[:, :3] = perfect[:, :3] @ turn
    return {"perfect": perfect, "turned": turned, "noise": noise}


@pytest.fixture(scope="module")
def found(codes, factors):
    """All scores by kind of code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disentanglement, "_VOTES", 300)
        patch.setattr(disentanglement, "_TREES", 5)
        tiny = np.full_like(codes["noise"], 1e-3)
        return {kind: disentanglement.scores(z, tiny, factors) for kind, z in codes.items()}


LEAST = {  # of a perfect code; a linear classifier on one dimension finds the outer values alone
    **dict.fromkeys(("beta_vae", "factor_vae", "dci_informativeness", "irs"), 0.99),
    **dict.fromkeys(("mig", "mig_samples", "modularity"), 0.97),
    **dict.fromkeys(("dci_disentanglement", "dci_completeness"), 0.97),
    "sap": 0.3,
}


def test_a_perfect_code_has_the_highest_scores(found):
    assert found["perfect"].keys() == LEAST.keys()
    for name, least in LEAST.items():
        assert least <= found["perfect"][name] <= 1 + 1e-9, name


@pytest.mark.parametrize("name", sorted(LEAST.keys() - {"beta_vae", "dci_informativeness"}))
def test_a_turned_code_scores_less(name, found):
    assert found["turned"][name] < found["perfect"][name] - 0.05


def test_noise_scores_what_chance_gives(found):
    noise = found["noise"]
    for name in ("mig", "mig_samples", "sap", "dci_disentanglement", "dci_completeness"):
        assert abs(noise[name]) < 0.1, name
    assert noise["modularity"] == 0 and noise["irs"] < 0.4
    for name in ("beta_vae", "factor_vae"):
        assert noise[name] == pytest.approx(1 / 3, abs=0.13)


def test_mutual_information_is_that_of_a_known_table():
    factor = np.array([0, 0, 1, 1] * 100)[:, np.newaxis]
    same = disentanglement.mutual_information(factor.astype(float), factor)
    assert same == pytest.approx(np.log(2))
    other = np.array([0.0, 1.0] * 200)[:, np.newaxis]
    assert disentanglement.mutual_information(other, factor) == pytest.approx(0, abs=1e-9)


def test_mig_of_a_factor_in_two_dimensions_is_none(factors):
    twice = np.repeat(factors[:, :1], 2, axis=1).astype(float)
    assert disentanglement.mig(twice, factors[:, :1]) == pytest.approx(0)


def test_what_cannot_be_scored_says_why():
    ones = np.ones((10, 2))
    assert "vary" in disentanglement.scores(ones, ones, np.ones((10, 3), int))["reason"]


def test_a_collapsed_code_scores_nothing_and_raises_nothing(factors):
    still = np.zeros((len(factors), 3))
    assert disentanglement.irs(still, factors) == disentanglement.modularity(still, factors) == 0
    assert disentanglement.mig(still, factors) == disentanglement.sap(still, factors) == 0
    assert disentanglement.dci(still, factors)["dci_disentanglement"] == 0
    assert disentanglement.factor_vae(still, factors) < 0.6
    assert disentanglement.beta_vae(still, factors) < 0.6


def test_models_that_agree_rank_higher(codes):
    rate, order = np.array([1.0, 1.0, 1.0, 0.0, 0.0]), [2, 0, 1, 3, 4]
    perfect, turned = codes["perfect"], codes["turned"]
    same = agreement.udr([perfect, -perfect[:, order]], [rate, rate[order]])
    assert same == pytest.approx([1, 1], abs=0.1)  # order and sign do not matter
    one, other = agreement.udr([perfect, turned], [rate, rate])
    assert one == pytest.approx(other) and one < same[0] - 0.15
    assert agreement.udr([perfect, perfect], [rate, 0 * rate]) == [0, 0]


def test_factors_come_with_an_npz_file(npz, factors):
    from vae_zoo import datasets

    pixels = np.tile(np.arange(120, dtype=np.uint8)[:, np.newaxis, np.newaxis], (1, 8, 8))
    known = np.stack([np.arange(120) % 3, np.arange(120) // 60], axis=1)
    splits = datasets.load(npz(image=pixels, factors=known))
    for split in ("train", "test"):
        rows = splits.raw(split)[:, 0, 0, 0]
        np.testing.assert_array_equal(splits.factors(split), known[rows])
    splits = datasets.load(npz("odd.npz", image=pixels, factors=known / 2))
    assert splits.factors("train") is None and any("factors" in note for note in splits.notes)


def test_the_page_shows_the_scores_of_data_with_factors(tiny, npz, factors):
    """An encoder of two pixels, one for each factor, is what it should be."""
    from vae_zoo import datasets
    from vae_zoo.runs import examination

    grid = np.stack(np.meshgrid(range(4), range(4), range(8)), axis=-1).reshape(-1, 3)[:, :2]
    image = np.zeros((128, 2, 1), np.uint8)
    image[:, :, 0] = 60 * grid
    splits = datasets.load(npz(image=image, factors=grid), binarization="none")
    model = tiny("vae", image_shape=(2, 1, 1), latent_size=2, likelihood="discretized_logistic")
    model.posterior = lambda image, label=None: disentangled_posterior(image)
    found = examination.disentangled(model, splits)
    assert found["num_images"] == 104 and found["mig"] > 0.95
    assert found["dci_disentanglement"] > 0.95


def disentangled_posterior(image):
    import tensorflow_probability as tfp

    loc = np.asarray(image)[:, :, 0, 0]
    normal = tfp.distributions.Normal(loc, np.full_like(loc, 1e-3))
    return tfp.distributions.Independent(normal, reinterpreted_batch_ndims=1)
