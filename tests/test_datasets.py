"""Data: what ships, which policies are refused, and that batches are functions of a step."""

import time

import numpy as np
import pytest
from PIL import Image

import vae_zoo
from vae_zoo import datasets
from vae_zoo.datasets import outlines, shapes, sprites
from vae_zoo.datasets.stored import SPLITS


def take(data, count):
    return [{name: value.numpy() for name, value in batch.items()} for batch in data.take(count)]


def assert_same(one, two):
    for ours, theirs in zip(one, two, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name])


@pytest.fixture(scope="module")
def small_sprites(data_dir):
    return datasets.load("sprites/small", data_dir=data_dir)


# What ships.


def test_digits_are_those_of_scikit_learn_in_a_stratified_split(digits):
    from sklearn.datasets import load_digits

    labels = [digits.labels(split) for split in SPLITS]
    assert [len(part) for part in labels] == [1439, 179, 179]
    counts = np.stack([np.bincount(part, minlength=10) for part in labels])  # [3, 10]
    np.testing.assert_array_equal(counts.sum(0), np.bincount(load_digits().target))
    np.testing.assert_allclose(counts[2] / counts.sum(0), 0.1, atol=0.005)
    np.testing.assert_allclose(counts[1] / counts.sum(0), 0.1, atol=0.005)
    assert digits.num_classes == 10 and digits.label_names == list("0123456789")
    assert digits.image_shape == (28, 28, 1) and digits.likelihood == "bernoulli"
    assert any("no published figure" in note for note in digits.notes)


def test_digits_carry_their_own_labels_and_their_own_pixels(digits):
    """A label is that of the original image of which ours is a smooth enlargement."""
    from sklearn.datasets import load_digits

    originals = load_digits()
    raw = digits.raw("test")[..., 0].astype(np.float32)
    for image, label in zip(raw[:20], digits.labels("test"), strict=False):
        small = np.asarray(Image.fromarray(image).resize((8, 8), Image.Resampling.BOX))
        distance = np.abs(originals.images * (255 / 16) - small).mean((1, 2))
        assert originals.target[distance.argmin()] == label and distance.min() < 20


def test_sprites_are_a_full_grid_with_the_factors_of_every_image(small_sprites):
    factors = np.concatenate([small_sprites.factors(split) for split in SPLITS])
    sizes = (3, 4, 5, 8, 8)
    assert small_sprites.factor_names == sprites.FACTORS
    assert tuple(small_sprites.factor_sizes) == sizes and len(factors) == np.prod(sizes)
    assert len(np.unique(factors, axis=0)) == len(factors)
    assert (factors.max(0) == np.array(sizes) - 1).all() and (factors.min(0) == 0).all()
    for split in SPLITS:
        some = slice(0, 64)
        drawn = sprites.draw(small_sprites.factors(split)[some], sizes)
        np.testing.assert_array_equal(small_sprites.raw(split)[some], drawn)


def test_sprites_are_anti_aliased_and_move_with_their_factors():
    sizes = (3, 4, 5, 8, 8)
    left, right = (sprites.draw(np.array([[1, 2, 1, x, 3]]), sizes)[0, ..., 0] for x in (0, 7))
    assert 20 < len(np.unique(left))  # edges have grey values
    assert left.max() == 255 and left.min() == 0
    columns = np.arange(64)
    centres = [(image.sum(0) * columns).sum() / image.sum() for image in (left, right)]
    assert centres[1] - centres[0] == pytest.approx(33, abs=0.5)
    small, large = (sprites.draw(np.array([[0, s, 0, 4, 4]]), sizes).sum() for s in (0, 3))
    assert large / small == pytest.approx(4, rel=0.05)  # twice the side
    half = sprites.draw(np.array([[0, 0, 0, 0, 0]]), sizes)[0, ..., 0]
    assert half.sum() / 255 == pytest.approx(10 * 10, rel=0.02)  # its area


def test_every_shape_stays_inside_however_turned_and_placed():
    sizes = sprites.Sprites.BUILDER_CONFIGS[0].sizes
    corners = np.array(
        [(s, 5, o, x, y) for s in range(3) for o in range(10) for x in (0, 15) for y in (0, 15)]
    )
    images = sprites.draw(corners, sizes)[..., 0]
    edge = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], 1)
    assert edge.max() == 0


# Batches are functions of seed, epoch and step.


def test_a_stream_from_any_step_is_the_one_from_zero(digits):
    step = digits.steps_per_epoch - 2  # over the end of an epoch
    whole = take(digits.train_from(0).skip(step), 4)
    assert_same(whole, take(digits.train_from(step), 4))
    started = time.process_time()
    take(digits.train_from(10_000_000), 1)
    assert time.process_time() - started < 5


def test_an_epoch_shows_each_image_once_and_the_next_one_in_another_order(data_dir):
    splits = datasets.load("digits", batch_size=1439, data_dir=data_dir, binarization="none")
    first, second = (batch["image"] for batch in take(splits.train_from(0), 2))
    raw = splits.images("train")
    for epoch in (first, second):
        order = [np.sort(part.sum((1, 2, 3))) for part in (epoch, raw)]
        np.testing.assert_allclose(*order, rtol=1e-6)
    assert (first != second).any()


def test_images_keep_their_labels_when_shuffled(data_dir):
    splits = datasets.load("digits", batch_size=64, data_dir=data_dir, binarization="none")
    by_pixels = {
        image.tobytes(): label
        for image, label in zip(splits.raw("train"), splits.labels("train"), strict=True)
    }
    (batch,) = take(splits.train_from(5), 1)
    raw = np.round(batch["image"] * 255).astype(np.uint8)
    assert [by_pixels[image.tobytes()] for image in raw] == batch["label"].tolist()


def test_train_is_finite_and_reshuffles(digits):
    first, second = list(digits.train), list(digits.train)
    assert len(first) == len(second) == digits.train.cardinality() == digits.steps_per_epoch
    data = digits.train
    labels = [np.concatenate([batch["label"] for batch in data]) for _ in range(2)]
    assert (labels[0] != labels[1]).any()


def test_seeds_give_other_orders_and_other_ink(digits, data_dir):
    other = datasets.load("digits", batch_size=64, data_dir=data_dir, seed=1)
    ours, theirs = (take(splits.train_from(0), 1)[0] for splits in (digits, other))
    assert (ours["label"] != theirs["label"]).any()
    assert (digits.images("test") != other.images("test")).any()
    assert digits.checksum == other.checksum


def test_validation_and_test_are_fixed_by_the_seed_and_in_order(digits):
    for split in ("validation", "test"):
        images = digits.images(split)
        assert set(np.unique(images)) == {0.0, 1.0}
        np.testing.assert_array_equal(images[:7], digits.images(split, 7))
        batches = list(getattr(digits, split))
        np.testing.assert_array_equal(np.concatenate([b["image"] for b in batches]), images)
        labels = np.concatenate([b["label"] for b in batches])
        np.testing.assert_array_equal(labels, digits.labels(split))
    assert (digits.images("test")[:100] != digits.images("validation")[:100]).any()


# Binarisation.


def test_dynamic_ink_is_drawn_anew_with_the_grey_value_as_its_probability(npz):
    image = np.zeros((20, 64, 64), np.uint8)
    image[:, :32], image[:, 32:48] = 64, 255
    path = npz(image=image)
    splits = datasets.load(path, batch_size=8, binarization="dynamic")
    first, second = (batch["image"] for batch in take(splits.train_from(0), 2))
    assert set(np.unique(first)) == {0.0, 1.0} and (first != second).any()
    for ink in (first, second, splits.images("test")):
        pixels = ink[:, :32].size
        spread = np.sqrt(0.251 * 0.749 / pixels)
        assert ink[:, :32].mean() == pytest.approx(64 / 255, abs=4 * spread)
        assert ink[:, 32:48].min() == 1 and ink[:, 48:].max() == 0


def test_a_threshold_is_at_one_half(npz):
    image = np.tile(np.array([[0, 127], [128, 255]], np.uint8), (20, 1, 1))
    splits = datasets.load(npz(image=image), batch_size=4, binarization="threshold")
    expected = np.array([[0.0, 0.0], [1.0, 1.0]])
    np.testing.assert_array_equal(splits.images("test")[0, ..., 0], expected)
    np.testing.assert_array_equal(take(splits.train_from(0), 1)[0]["image"][0, ..., 0], expected)


def test_grey_values_stay_eight_bits_under_no_policy(npz, grey):
    splits = datasets.load(npz(**grey), batch_size=8)
    assert splits.binarization == "none" and splits.likelihood == "discretized_logistic"
    (batch,) = take(splits.train_from(0), 1)
    np.testing.assert_allclose(batch["image"] * 255, np.round(batch["image"] * 255), atol=1e-4)
    np.testing.assert_allclose(splits.images("test") * 255, splits.raw("test"), atol=1e-4)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
def test_binary_images_are_static_in_whatever_form_they_come(dtype, npz):
    image = np.random.default_rng(0).random((30, 4, 4)) < 0.5
    splits = datasets.load(npz(image=image.astype(dtype)), batch_size=4)
    assert splits.binarization == "static" and splits.likelihood == "bernoulli"
    assert set(np.unique(splits.images("train"))) == {0.0, 1.0}
    assert splits.images("train").mean() == pytest.approx(image.mean(), abs=0.1)


def test_policies_that_do_not_fit_are_refused(npz, grey):
    binary = npz("binary.npz", image=(grey["image"] > 127))
    with pytest.raises(vae_zoo.UserError, match="grey values"):
        datasets.load(npz(**grey), batch_size=8, binarization="static")
    with pytest.raises(vae_zoo.UserError, match="binary already"):
        datasets.load(binary, batch_size=8, binarization="dynamic")
    with pytest.raises(vae_zoo.UserError, match="Did you mean 'dynamic'"):
        datasets.load(binary, batch_size=8, binarization="dynamik")


# Sizes, caches.


def test_a_file_on_disk_gives_the_same_batches_as_memory(digits, data_dir, tmp_path):
    arguments = {"batch_size": 64, "data_dir": data_dir, "cache_dir": tmp_path}
    mapped = datasets.load("digits", memory_budget_mb=0, **arguments)
    assert isinstance(mapped.raw("train"), np.memmap)
    assert any("budget of 0 MB" in note for note in mapped.notes)
    assert_same(take(mapped.train_from(3), 2), take(digits.train_from(3), 2))
    np.testing.assert_array_equal(mapped.images("test"), digits.images("test"))
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = datasets.load("digits", memory_budget_mb=0, **arguments)
    np.testing.assert_array_equal(again.raw("test"), digits.raw("test"))
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_images_are_cut_and_resized_only_when_asked(npz):
    image = np.zeros((20, 10, 16), np.uint8)
    image[:, 2:8, 5:11] = 200  # the central 6 x 6
    path = npz(image=image)
    assert datasets.load(path, batch_size=4).image_shape == (10, 16, 1)
    cut = datasets.load(path, batch_size=4, crop=6)
    assert cut.image_shape == (6, 6, 1) and (cut.raw("train") == 200).all()
    sized = datasets.load(path, batch_size=4, crop=6, image_size=12)
    assert sized.image_shape == (12, 12, 1) and (sized.raw("train") == 200).all()
    square = datasets.load(path, batch_size=4, image_size=5)
    assert square.image_shape == (5, 5, 1) and any("central square" in n for n in square.notes)
    with pytest.raises(vae_zoo.UserError, match="crop=11.*at most 10"):
        datasets.load(path, batch_size=4, crop=11)
    for wrong in ({"crop": 0}, {"image_size": -1}, {"image_size": 10**8}, {"batch_size": 0}):
        with pytest.raises(vae_zoo.UserError, match=next(iter(wrong))):
            datasets.load(path, **{"batch_size": 4, **wrong})


def test_a_batch_larger_than_the_data_is_refused(npz, grey):
    with pytest.raises(vae_zoo.UserError, match="batch_size=161 is larger.*160 images"):
        datasets.load(npz(**grey), batch_size=161)


def test_shapes_are_coloured_labelled_and_inside_the_image(data_dir):
    splits = datasets.load("shapes", data_dir=data_dir)
    assert splits.image_shape == (32, 32, 3) and splits.likelihood == "discretized_logistic"
    assert tuple(splits.label_names) == shapes.SHAPES
    labels = splits.labels("train")
    assert np.bincount(labels).tolist() == [6400] * 3
    images = splits.raw("train")
    assert images.shape == (19_200, 32, 32, 3) and images.std(axis=(0, 1, 2)).min() > 60
    # Of one colour from edge to edge is the ground alone: no shape touches two edges of an image.
    plain = np.abs(np.diff(images[:, 0].astype(int), axis=1)).max(axis=(1, 2)) < 25
    assert plain.mean() > 0.95


def test_drawn_shapes_are_a_function_of_the_seed():
    images = shapes.draw(np.arange(300) % 3, 64, seed=1)
    again = shapes.draw(np.arange(300) % 3, 64, seed=1)
    np.testing.assert_array_equal(images, again)
    assert not np.array_equal(images, shapes.draw(np.arange(300) % 3, 64, seed=2))


@pytest.mark.parametrize("name, area", [("disc", np.pi), ("square", 4.0), ("triangle", 1.87)])
def test_outlines_enclose_their_area(name, area):
    v, u = np.mgrid[-2:2:801j, -2:2:801j]
    inside = (getattr(outlines, name)(u, v) < 0).mean() * 16
    np.testing.assert_allclose(inside, area, rtol=0.02)
