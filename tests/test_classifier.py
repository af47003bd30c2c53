"""The classifier behind completeness, on pictures whose colours and places change."""

import numpy as np
import pytest

from vae_zoo.metrics import classifier

COUNT, FITTED = 600, 480


def drawn(count, seed):
    """Returns discs, squares and triangles of any colour on any ground, size and place at random.

    uint8 [count, 32, 32, 3], and labels 0 to 2.
    """
    rng, labels = np.random.default_rng(seed), np.arange(count) % 3
    row, column = np.mgrid[:32, :32]
    images = np.empty((count, 32, 32, 3), np.uint8)
    for image, label in zip(images, labels, strict=True):
        ground, colour = rng.integers(0, 256, (2, 3))
        radius = rng.integers(4, 9)
        down, right = (row, column) - rng.integers(radius, 32 - radius, (2, 1, 1))
        inside = [
            down**2 + right**2 <= radius**2,
            (np.abs(down) <= radius) & (np.abs(right) <= radius),
            (np.abs(down) <= radius) & (2 * np.abs(right) <= down + radius),
        ][label]
        image[:] = np.where(inside[..., np.newaxis], colour, ground)
    return images, labels


@pytest.fixture(scope="module")
def pictures():
    """600 of them."""
    return drawn(COUNT, seed=0)


@pytest.fixture(scope="module")
def fitted(pictures):
    """The classifier of the first 480."""
    return classifier.fit_classifier(pictures[0][:FITTED], pictures[1][:FITTED])


def test_it_is_right_on_pictures_in_colour(pictures, fitted):
    images, labels = (part[FITTED:] for part in pictures)
    found = fitted(images)
    assert found.shape == (COUNT - FITTED, 3)
    assert (found.argmax(1) == labels).mean() >= 0.9
    assert (found.max(1) >= 0.9).mean() >= 0.8  # and sure of it
    np.testing.assert_allclose(fitted(images / np.float32(255)), found, atol=1e-5)


@pytest.mark.parametrize("kind", ["noise", "grey", "scrambled", "blends"])
def test_it_is_sure_of_nothing_that_is_no_class(kind, pictures, fitted):
    rng, images = np.random.default_rng(5), pictures[0][FITTED:] / np.float32(255)
    made = {
        "noise": rng.random(images.shape),
        "grey": np.broadcast_to(rng.random((len(images), 1, 1, 1)), images.shape),
        "scrambled": rng.permuted(images, axis=0),
        "blends": 0.5 * (images + np.roll(images, 1, axis=0)),  # of two classes
    }[kind]
    # Some blends are fair images of a class: one shape is hardly seen, or covers the other.
    most = 0.25 if kind == "blends" else 0.1
    assert (fitted(made.astype(np.float32)).max(1) >= 0.9).mean() <= most


def test_the_same_seed_gives_the_same_classifier(pictures, monkeypatch):
    monkeypatch.setattr(classifier, "_STEPS", (3, 3))
    images, labels = (part[:90] for part in pictures)
    first, again, other = (
        classifier.fit_classifier(images, labels, seed)(images[:9]) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_digits_take_the_quick_machine(digits, monkeypatch):
    monkeypatch.setattr(classifier, "_fit_network", lambda *_: pytest.fail("not needed"))
    found = classifier.fit_classifier(digits.raw("train"), digits.labels("train"))
    right = found(digits.raw("test")).argmax(1) == digits.labels("test")
    assert right.mean() > 0.95


def test_large_images_are_made_small_in_blocks(monkeypatch):
    images = np.zeros((5, 218, 178, 3), np.uint8)
    images[:, :109] = 255
    monkeypatch.setattr(classifier, "_BLOCK", 2)
    small = classifier.shrunk(images)
    assert small.shape == (5, 32, 26, 3) and small.dtype == np.float32
    assert small[:, :16].min() > 0.99 and small[:, 16:].max() < 0.01
    assert classifier.shrunk(images[:, :28, :20]).shape == (5, 28, 20, 3)
