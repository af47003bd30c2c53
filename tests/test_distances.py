"""Frechet and kernel distances: closed forms, no bias, intervals that hold the true value."""

import numpy as np
import pytest

from vae_zoo.metrics import classifier, distances, sample_quality


def normals(count, seed, shift=0.0, scale=1.0):
    return shift + scale * np.random.default_rng(seed).normal(size=(count, 4))


def test_the_frechet_distance_of_normals_is_known():
    """|m|^2 + sum_d (s_d - 1)^2 for independent dimensions."""
    scale = np.array([1.0, 2.0, 0.5, 1.0])
    found = distances.frechet(normals(50_000, 0), normals(50_000, 1, 0.5, scale))
    assert found == pytest.approx(4 * 0.25 + 1.0 + 0.25, abs=0.05)
    assert distances.frechet(normals(99, 0), normals(99, 0)) == pytest.approx(0, abs=1e-9)


def test_the_frechet_distance_does_not_mind_a_rotation():
    rng = np.random.default_rng(2)
    turn, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    one, other = normals(500, 0), normals(500, 1, 0.3, np.array([1.0, 2.0, 0.5, 3.0]))
    turned = distances.frechet(one @ turn, other @ turn)
    assert turned == pytest.approx(distances.frechet(one, other), rel=1e-9)


def test_the_kernel_distance_is_the_sum_over_pairs():
    one, other = normals(5, 0), normals(6, 1, 0.5)
    k = lambda x, y: (x @ y / 4 + 1) ** 3  # noqa: E731
    within = [
        np.mean([k(a, b) for i, a in enumerate(part) for j, b in enumerate(part) if i != j])
        for part in (one, other)
    ]
    between = np.mean([k(a, b) for a in one for b in other])
    assert distances.kernel(one, other) == pytest.approx(sum(within) - 2 * between, rel=1e-9)


def test_the_kernel_distance_has_no_bias():
    found = [distances.kernel(normals(20, i), normals(20, 1000 + i)) for i in range(300)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(300)


def test_intervals_hold_the_known_value():
    """About as often as they say; the value is that of two large sets."""
    shift = 0.8
    large = distances.kernel(normals(2000, 0), normals(2000, 1, shift))
    inside = 0
    for i in range(20):
        found = distances.distances(normals(80, 2 * i + 9), normals(80, 2 * i + 10, shift), i)
        inside += found["kernel"]["low"] <= large <= found["kernel"]["high"]
    assert inside >= 16


def test_a_classifier_s_features_are_what_its_probabilities_are_made_of(digits):
    images, labels = digits.raw("train")[:600], digits.labels("train", 600)
    found = classifier.fit_classifier(images, labels)
    features = found.features(images[:200])
    assert features.shape == (200, 55)  # margins of 11 classes, that of no class among them
    centres = np.stack([features[labels[:200] == label].mean(0) for label in range(10)])
    test = found.features(digits.raw("test")[:100])
    nearest = np.linalg.norm(test[:, np.newaxis] - centres, axis=-1).argmin(1)
    assert (nearest == digits.labels("test", 100)).mean() > 0.9


def test_real_images_are_nearer_than_noise_with_labels_and_without(digits, monkeypatch):
    monkeypatch.setattr(distances, "_DRAWS", 20)
    train, test = digits.raw("train")[:300], digits.raw("test")[:100]
    noise = np.random.default_rng(0).random((100, *train.shape[1:]), np.float32)
    for labels in (digits.labels("train", 300), None):
        found = sample_quality.distances(noise, (train, labels), test)
        for name in ("frechet", "kernel"):
            assert found["samples"][name]["low"] > found["real"][name]["high"]
    same = sample_quality.distances(test / np.float32(255), (train, None), test)
    assert same["samples"]["frechet"]["value"] == pytest.approx(
        same["real"]["frechet"]["value"], rel=1e-4
    )
