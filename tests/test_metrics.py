"""What is measured, against models for which the answer is known."""

import math

import numpy as np
import pytest
from known_models import LinearGaussianVAE

import vae_zoo
from vae_zoo.metrics import (
    classifier,
    diversity,
    latent_space,
    likelihood,
    reconstruction,
    sample_quality,
)


class Stop(Exception):
    """Raised by a progress function: the user interrupts."""


class Generator:
    """A model as `completeness` sees it, that draws given images in turn."""

    needs_labels = False

    def __init__(self, images):
        self.images = images

    def generate(self, seed, label=None):
        return self.images[seed[:, 1] % len(self.images)]


@pytest.fixture(scope="module")
def evaluation(linear_gaussian):
    model, images = linear_gaussian
    return likelihood.evaluate(model, images, num_samples=2000)


@pytest.fixture
def orthogonal():
    """A decoder x = 3 Qz + b, Q with orthonormal columns: every path has the ratio 3."""
    basis, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 2)))
    model = LinearGaussianVAE((2, 3, 1))
    model.set_exact(3 * basis, np.full(6, 0.5))
    return model


# Likelihood.


def test_nll_is_the_evidence_of_a_linear_model(evaluation, linear_gaussian):
    model, images = linear_gaussian
    truth = model.log_evidence(images)
    assert evaluation.nll == pytest.approx(-truth.mean(), abs=0.02)
    assert evaluation.nll_stderr == pytest.approx(truth.std(ddof=1) / 4, rel=0.02)
    assert evaluation.elbo < truth.mean() - 0.1 and not evaluation.is_bound
    assert evaluation.elbo == pytest.approx(-evaluation.rate - evaluation.distortion)
    assert evaluation.num_images == 16 and evaluation.num_samples == 2000
    assert 1 < evaluation.effective_sample_size < 2000


def test_rate_and_distortion_are_their_closed_forms(evaluation, linear_gaussian):
    model, images = linear_gaussian
    normal = model.posterior(images).distribution
    mean, scale = normal.loc.numpy(), normal.scale.numpy()
    kl = 0.5 * (mean**2 + scale**2 - 1 - 2 * np.log(scale))  # [N, D]
    np.testing.assert_allclose(evaluation.rate_per_dimension, kl.mean(0), rtol=1e-4)
    assert evaluation.rate == pytest.approx(kl.sum(1).mean(), rel=1e-4)
    kernel, bias = model.decoder.get_weights()
    squares = np.square(images.reshape(16, -1) - mean @ kernel - bias).sum(1)
    squares += (scale**2 * np.square(kernel).sum(1)).sum(1)  # E |x - Wz - b|^2
    variance = model.noise_scale**2
    distortion = 0.5 * (squares / variance + 6 * np.log(2 * np.pi * variance))
    assert evaluation.distortion == pytest.approx(distortion.mean(), abs=0.05)


def test_effective_samples_are_few_where_the_posterior_is_far_off(linear_gaussian):
    model, images = linear_gaussian
    near = likelihood.evaluate(model, images, num_samples=500).effective_sample_size
    sharper = LinearGaussianVAE(images.shape[1:], noise_scale=0.02)
    sharper.set_weights(model.get_weights())
    far = likelihood.evaluate(sharper, images, num_samples=500).effective_sample_size
    assert 1 <= far < 5 < near
    assert likelihood.few_effective(far, 500) and not likelihood.few_effective(near, 500)
    assert likelihood.few_effective(9.9, 1000) and not likelihood.few_effective(10.1, 1000)
    assert not likelihood.few_effective(None, 1000)  # a bound has no weights


def test_many_calls_give_what_one_gives(linear_gaussian, monkeypatch):
    """Between calls an evaluation of many samples can be interrupted."""
    model, images = linear_gaussian
    given = {"num_samples": 50, "block_decodes": 16}
    whole = likelihood.evaluate(model, images[:4], **given)
    monkeypatch.setattr(likelihood, "_CHUNKS_A_CALL", 3)
    parts = likelihood.evaluate(model, images[:4], **given)
    for name in ("elbo", "nll", "nll_stderr", "effective_sample_size", "distortion", "rate"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-10)


@pytest.mark.parametrize("block_decodes", [1, 7, 160, 10_000])
def test_sizes_of_blocks_change_no_figure_beyond_chance(block_decodes, linear_gaussian):
    model, images = linear_gaussian
    figures = likelihood.evaluate(model, images[:4], num_samples=50, block_decodes=block_decodes)
    truth = model.log_evidence(images[:4])
    assert figures.nll == pytest.approx(-truth.mean(), abs=0.5)
    assert figures.num_samples == 50 and figures.num_images == 4
    again = likelihood.evaluate(model, images[:4], num_samples=50, block_decodes=block_decodes)
    assert figures == again


def test_an_interrupted_evaluation_goes_on_to_the_same_figures(
    linear_gaussian, factor_images, tmp_path
):
    model, images = linear_gaussian[0], factor_images[:64]
    arguments = {"num_samples": 20, "block_decodes": 64}  # four blocks of sixteen images
    whole = likelihood.evaluate(model, images, **arguments)
    file = tmp_path / "partial.npz"

    def interrupt(share):
        if share >= 0.5:
            raise Stop

    with pytest.raises(Stop):
        likelihood.evaluate(model, images, resume_file=file, progress=interrupt, **arguments)
    assert file.exists()
    shares = []
    resumed = likelihood.evaluate(
        model, images, resume_file=file, progress=shares.append, **arguments
    )
    assert resumed == whole and shares == [0.75, 1.0] and not file.exists()


def test_partial_results_of_other_settings_are_not_mixed_in(linear_gaussian, tmp_path):
    model, images = linear_gaussian
    file = tmp_path / "partial.npz"

    def interrupt(share):
        raise Stop

    with pytest.raises(Stop):
        likelihood.evaluate(model, images, num_samples=8, resume_file=file, progress=interrupt)
    with pytest.warns(UserWarning, match="belongs to other"):
        other = likelihood.evaluate(model, images, num_samples=8, seed=1, resume_file=file)
    assert other == likelihood.evaluate(model, images, num_samples=8, seed=1)
    file.write_bytes(b"half a file")
    with pytest.warns(UserWarning, match="cannot be read"):
        assert likelihood.evaluate(model, images, num_samples=8, seed=1, resume_file=file) == other


def test_bits_per_dim_are_of_8_bit_images_alone(tiny, batch, evaluation):
    assert evaluation.bits_per_dim is None
    model = tiny("vae", likelihood="discretized_logistic")
    grey = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1)) / 255
    figures = likelihood.evaluate(model, grey, num_samples=2)
    assert figures.bits_per_dim == pytest.approx(figures.nll / (784 * math.log(2)))
    assert 5 < figures.bits_per_dim < 12  # noise of 8 bits, under an untrained model


def test_what_cannot_be_evaluated_is_refused(linear_gaussian):
    model, images = linear_gaussian
    for wrong, samples in ((images[:0], 5), (images[0], 5), (images, 0), (images[:, :1], 5)):
        with pytest.raises(vae_zoo.UserError):
            likelihood.evaluate(model, wrong, num_samples=samples)


# The latent space.


def test_dead_units_are_not_active(linear_gaussian, factor_images):
    model = LinearGaussianVAE(factor_images.shape[1:], latent_size=3)
    kernel = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)
    kernel[:, [1, 2]] = 0, 0
    kernel[0, 2] = 1e-2  # moves with the images, but by less than the threshold
    model.posterior_head.set_weights([kernel, np.array([0, 0.7, 0, 0, 0, 0], np.float32)])
    found = latent_space.statistics(model, factor_images)
    assert found.active_units == 1 and found.active_threshold == 0.01
    means = factor_images.reshape(256, 6) @ kernel[:, :3]
    np.testing.assert_allclose(found.variances[0], means.var(0), rtol=1e-3, atol=1e-7)
    assert 0 < found.variances[0][2] < 0.01 and found.variances[0][1] == pytest.approx(0, abs=1e-9)
    assert len(found.rate_per_dimension) == 3


def test_continuity_of_a_linear_decoder_is_its_ratio(orthogonal):
    found = latent_space.continuity(orthogonal, count=20, steps=5)
    assert found["median"] == pytest.approx(3, rel=1e-4)
    assert found["p95"] == pytest.approx(3, rel=1e-4)
    assert (found["num_paths"], found["num_steps"]) == (20, 5)


def test_continuity_is_undefined_where_images_do_not_change(orthogonal, tiny):
    """A constant decoder has no jumps, nor has one that draws by the label alone."""
    orthogonal.set_exact(1e-4 * orthogonal.decoder.get_weights()[0].T, np.full(6, 0.5))
    found = latent_space.continuity(orthogonal, count=20, steps=5)
    assert found["median"] is None and found["p95"] is None
    assert found["reason"] == "undefined: the images do not change"
    conditional = tiny("cvae")
    conditional.decode = lambda z, label: np.tile(label[:, None, None, None] / 9, (1, 28, 28, 1))
    found = latent_space.continuity(conditional, count=20, steps=5)
    assert found["median"] is None


def test_paths_are_straight_and_end_at_prior_draws(orthogonal):
    paths = latent_space.interpolations(orthogonal, seed=5, count=4, steps=7)
    assert paths.shape == (4, 7, 2, 3, 1)
    np.testing.assert_allclose(np.diff(paths, n=2, axis=1), 0, atol=1e-4)
    draws = orthogonal.generate(vae_zoo.noise.rows(5, 8))
    np.testing.assert_allclose(paths[:, 0], draws[:4], atol=1e-5)
    np.testing.assert_allclose(paths[:, -1], draws[4:], atol=1e-5)


def test_a_traversal_moves_one_dimension(orthogonal):
    rows = latent_space.traversals(orthogonal, steps=5)
    assert rows.shape == (2, 5, 2, 3, 1)
    loading = orthogonal.decoder.get_weights()[0]  # [D, P]
    for dimension in range(2):
        moved = (rows[dimension, -1] - rows[dimension, 0]).ravel()
        np.testing.assert_allclose(moved, 6 * loading[dimension], atol=1e-4)


# Samples.


@pytest.fixture(scope="module")
def reference(digits):
    """Images and labels of training, then of test: what completeness rests on."""
    return (
        digits.raw("train") / np.float32(255),
        digits.labels("train"),
        digits.raw("test") / np.float32(255),
        digits.labels("test"),
    )


@pytest.fixture(scope="module")
def digit_classifier(reference):
    """The classifier of those images, fitted once."""
    return classifier.fit_classifier(*reference[:2])


def test_a_seed_below_zero_is_one_too(reference):
    images, labels = reference[0][:300], reference[1][:300]
    figures = sample_quality.completeness(Generator(images), images, labels, seed=-1, num=20)
    assert 0 <= figures["share"] <= 1


def test_completeness_of_real_digits_is_high_and_of_noise_zero(reference):
    noise = np.random.default_rng(2).random((50, 28, 28, 1), np.float32)
    real = sample_quality.completeness(Generator(reference[2]), *reference, reconstructions=noise)
    assert real["reconstruction_share"] == 0.0
    assert real["share"] > 0.8 and real["classes_seen"] == real["classes"] == 10
    assert real["test_accuracy"] > 0.95 and real["share"] == pytest.approx(
        real["test_share"], abs=0.03
    )


@pytest.mark.parametrize("kind", ["uniform", "speckles", "grey", "mean", "pixels of many"])
def test_completeness_of_what_is_no_digit_is_zero(kind, reference, digit_classifier):
    rng = np.random.default_rng(1)
    shape = (200, 28, 28, 1)
    images = {
        "uniform": rng.random(shape),
        "speckles": rng.random(shape) < 0.2,
        "grey": np.full(shape, 0.5),
        "mean": np.tile(reference[0].mean(0), (200, 1, 1, 1)),
        "pixels of many": rng.permuted(reference[0], axis=0)[:200],
    }
    model = Generator(images[kind].astype(np.float32))
    found = sample_quality.completeness(model, *reference[:2], classifier=digit_classifier)
    assert found["share"] < 0.05 and found["num_samples"] == 200


def test_a_model_that_knows_one_digit_shows_one_class(reference, digit_classifier):
    ones = reference[2][reference[3] == 1]
    found = sample_quality.completeness(
        Generator(ones), *reference[:2], classifier=digit_classifier
    )
    assert found["classes_seen"] == 1 and found["share"] > 0.7
    assert "test_accuracy" not in found


def test_images_known_by_heart_are_complete_and_not_diverse(reference):
    """Ten memorised images reach the completeness of real ones."""
    images, labels = reference[:2]
    real = sample_quality.completeness(Generator(reference[2]), *reference)
    assert 0.9 < real["diversity"] < 1.1
    first, second = (np.array([np.flatnonzero(labels == n)[i] for n in range(10)]) for i in (0, 1))
    for chosen, most in ((first, 0.01), (np.append(first[:5], second[:5]), 0.6)):
        known = sample_quality.completeness(Generator(images[chosen]), *reference)
        assert known["share"] >= 0.6 and known["diversity"] < most


def test_diversity_is_the_ratio_of_mean_distances_within_classes():
    images = np.array([0, 2, 10, 14, 90], np.float32).reshape(-1, 1, 1, 1)
    labels = np.array([0, 0, 1, 1, 2])
    samples = np.array([5, 6, 7, 2, 2, 50], np.float32).reshape(-1, 1, 1, 1)
    classes = np.array([0, 0, 0, 1, 1, 2])  # distances 4/3 of 2, 0 of 4, none
    found = diversity.within_classes(samples, classes, images, labels)
    assert found == pytest.approx((3 * (4 / 3 / 2) + 2 * 0) / 5)
    assert diversity.within_classes(samples[-1:], classes[-1:], images, labels) is None
    bytes_ = images.astype(np.uint8)
    again = diversity.within_classes(samples / 255, classes, bytes_, labels)
    assert again == pytest.approx(found)


def test_without_labels_completeness_is_absent_and_says_so(reference):
    images = reference[0]
    found = sample_quality.completeness(Generator(images), images, None)
    assert found == {"reason": "the data set has no labels"}
    one = sample_quality.completeness(Generator(images), images, np.zeros(len(images), np.int32))
    assert "single class" in one["reason"]
    few = np.append(np.zeros(len(images) - 2, np.int32), (1, 1))
    found = sample_quality.completeness(Generator(images), images, few)
    assert "fewer than 3" in found["reason"]
    many = np.arange(len(images)) % 200
    found = sample_quality.completeness(Generator(images), images, many)
    assert "more than 100 classes" in found["reason"]


class Halves:
    """Reconstructs each image as itself plus a constant."""

    needs_labels = False

    def reconstruct(self, image, label=None):
        return np.asarray(image) + 0.1


def test_psnr_is_that_of_the_error_and_of_the_mean_colour():
    images = np.zeros((100, 4, 4, 3), np.float32)
    images[:, :2] = 0.5  # half of it: 0.25 from the mean everywhere
    found = reconstruction.peak_signal_to_noise(Halves(), images)
    np.testing.assert_allclose(found["psnr"], 20.0, atol=1e-5)
    np.testing.assert_allclose(found["psnr_mean_colour"], -20 * np.log10(0.25), atol=1e-5)
    assert reconstruction.peak_signal_to_noise(Halves(), images * 0)["psnr_mean_colour"] is None
