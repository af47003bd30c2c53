"""Large images: latents that grow, batches that shrink, reports within time and memory."""

import types

import numpy as np
import pytest

import vae_zoo
from vae_zoo import datasets, memory, registry, train, train_request
from vae_zoo.metrics import classifier, latent_space, likelihood, sample_quality
from vae_zoo.runs import report


def test_fewer_large_images_are_computed_at_once():
    small, large = (28, 28, 1), (256, 256, 3)
    assert memory.images_at_once(small, 250) == 250
    assert memory.images_at_once(large, 250) == 16
    assert memory.images_at_once((2048, 2048, 3), 250) == 1


def test_batches_are_joined_in_their_order():
    seen = []

    def double(rows, labels):
        seen.append(len(rows))
        assert labels is None
        return 2 * rows

    rows = np.arange(35)
    doubled = memory.in_batches(double, rows, None, image_shape=(256, 256, 3))
    np.testing.assert_array_equal(doubled, 2 * rows)
    assert seen == [16, 16, 3]


@pytest.mark.parametrize(
    "name, shape, wished",
    [
        ("conv_vae", (28, 28, 1), 32),
        ("conv_vae", (32, 32, 1), 32),
        ("conv_vae", (64, 64, 3), 112),
        ("conv_vae", (256, 256, 3), 440),
        ("ladder_vae", (64, 64, 3), 112),
        ("vae", (28, 28, 1), 40),
        ("beta_vae", (64, 64, 3), None),
        ("factor_vae", (64, 64, 3), None),
        ("vq_vae", (64, 64, 3), None),
        ("spatial_vae", (64, 64, 3), None),
        ("vdm", (64, 64, 3), None),
    ],
)
def test_latents_grow_with_the_image(name, shape, wished):
    assert registry.latent_size(name, shape) == wished


def test_own_data_decides_the_latents_unless_they_are_given(npz):
    images = np.random.default_rng(0).integers(0, 256, (60, 40, 50, 3), dtype=np.uint8)
    path = npz(image=images)
    splits = datasets.load(path)
    train.FLAGS(["train", "--model=conv_vae", f"--dataset={path}"])
    try:
        spec = registry.spec("conv_vae")
        model = train_request.model_of_flags(spec, splits, {})()
        assert model.latent_size == registry.latent_size("conv_vae", (40, 50, 3)) == 80
        model = train_request.model_of_flags(spec, splits, {"latent_size": 7})()
        assert model.latent_size == 7
    finally:
        train.FLAGS.unparse_flags()


def test_the_default_batch_follows_the_image(npz):
    path = npz(image=np.zeros((160, 128, 160), np.uint8))
    splits = datasets.load(path)
    assert splits.batch_size == 51
    assert "batches of 51 instead of 128: images are 128 x 160" in splits.notes
    assert datasets.load(path, batch_size=64).batch_size == 64


def test_a_dense_layer_of_hundreds_of_millions_is_refused():
    with pytest.raises(vae_zoo.UserError, match="conv_vae"):
        vae_zoo.create_model("vae", image_shape=(400, 400, 3))


def test_figures_do_not_need_all_images_at_once(tiny, monkeypatch):
    """With two images at a time they are those of all at once, but for rounding."""
    model = tiny("conv_vae")
    whole = [latent_space.continuity(model, count=6), latent_space.interpolations(model, count=3)]
    monkeypatch.setattr(memory, "_PIXELS", 2 * 28 * 28)
    parts = [latent_space.continuity(model, count=6), latent_space.interpolations(model, count=3)]
    assert parts[0] == pytest.approx(whole[0], rel=1e-4)
    np.testing.assert_allclose(parts[1], whole[1], atol=1e-5)


def test_importance_samples_are_decoded_within_memory():
    plan = likelihood._plan(200, (1000, 256, 256, 3))
    assert plan.images * plan.samples <= 16 and plan.samples * plan.chunks >= 200
    assert likelihood._plan(200, (1000, 28, 28, 1)).images > 1


def test_the_classifier_sees_large_images_shrunk():
    """Bright left or right half, 130 x 70: eight-bit images and their floats give the same."""
    labels = np.arange(60) % 2
    images = np.random.default_rng(0).integers(0, 60, (60, 130, 70, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 35 * label : 35 * (label + 1)] += 180
    generator = types.SimpleNamespace(
        needs_labels=False, generate=lambda rows, labels: images[rows[:, 1] % 60] / np.float32(255)
    )
    found = sample_quality.completeness(generator, images, labels, images, labels, num=20)
    again = sample_quality.completeness(generator, images / np.float32(255), labels, num=20)
    assert found["test_accuracy"] == 1.0 and found["share"] > 0.9 and found["classes_seen"] == 2
    assert found["share"] == again["share"]
    assert max(classifier.shrunk(images).shape[1:3]) == 32


def test_a_report_takes_fewer_samples_where_it_would_take_too_long(tiny, digits, monkeypatch):
    model = tiny("vae")
    count = digits.num_test
    assert report.affordable(model, digits, 1000, 200, 0.0) == (1000, 200)
    monkeypatch.setattr(likelihood, "estimate_seconds", lambda *a, **k: 600.0)
    assert report.affordable(model, digits, 1000, 200, 1500.0) == (count, 100)
    assert report.affordable(model, digits, 1000, 200, 3000.0) == (1000, 200)
    monkeypatch.setattr(likelihood, "estimate_seconds", lambda *a, **k: 60_000.0)
    assert report.affordable(model, digits, 1000, 200, 0.0) == (64, 10)
