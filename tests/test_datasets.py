"""Data: what ships, what users bring, what is refused, and that batches are functions of a step."""

import resource
import shutil
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

import vae_zoo
from vae_zoo import datasets
from vae_zoo.datasets import sources, sprites

WHAT = ("train", "validation", "test")


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


@pytest.fixture(scope="module")
def grey():
    """200 grey images with labels of ten classes."""
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (200, 12, 12), dtype=np.uint8),
        "label": np.arange(200) % 10,
    }


@pytest.fixture
def npz(tmp_path):
    """A function that writes arrays and returns the path."""

    def write(name="images.npz", **arrays):
        np.savez(tmp_path / name, **arrays)
        return str(tmp_path / name)

    return write


# What ships.


def test_digits_are_those_of_scikit_learn_in_a_stratified_split(digits):
    from sklearn.datasets import load_digits

    labels = [digits.labels(split) for split in WHAT]
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
    factors = np.concatenate([small_sprites.factors(split) for split in WHAT])
    sizes = (3, 4, 5, 8, 8)
    assert small_sprites.factor_names == sprites.FACTORS
    assert tuple(small_sprites.factor_sizes) == sizes and len(factors) == np.prod(sizes)
    assert len(np.unique(factors, axis=0)) == len(factors)
    assert (factors.max(0) == np.array(sizes) - 1).all() and (factors.min(0) == 0).all()
    for split in WHAT:
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


# What users bring.


def test_npz_without_splits_is_cut_deterministically_and_says_so(npz, grey):
    path = npz(**grey)
    one, two = (datasets.load(path, batch_size=8) for _ in range(2))
    assert (one.num_train, one.num_validation, one.num_test) == (160, 20, 20)
    parts = np.concatenate([one.raw(split) for split in WHAT])
    assert len(np.unique(parts, axis=0)) == 200  # no image twice
    np.testing.assert_array_equal(one.raw("test"), two.raw("test"))
    assert any("20 images each serve" in note for note in one.notes)
    rows = {image.tobytes(): label for image, label in zip(*grey.values(), strict=True)}
    for image, label in zip(one.raw("test"), one.labels("test"), strict=True):
        assert rows[image.tobytes()] == label


def bad_arrays():
    rng = np.random.default_rng(0)
    image = rng.random((40, 6, 6)).astype(np.float32)
    spoilt = {}
    for value in (np.nan, np.inf, -0.1, 1.5):
        spoilt[value] = image.copy()
        spoilt[value][3, 2, 1] = value
    return {
        "NaN": ({"image": spoilt[np.nan]}, "NaN, infinite or outside"),
        "nothing but NaN": ({"image": np.full_like(image, np.nan)}, "NaN, infinite or outside"),
        "infinite": ({"image": spoilt[np.inf]}, "NaN, infinite or outside"),
        "negative": ({"image": spoilt[-0.1]}, "from -0.1"),
        "above one": ({"image": spoilt[1.5]}, "to 1.5"),
        "16 bits": ({"image": (image * 60000).astype(np.uint16)}, "uint16"),
        "complex": ({"image": image.astype(np.complex64)}, "complex64"),
        "rank 2": ({"image": image.reshape(40, -1)}, r"\(40, 36\)"),
        "rank 5": ({"image": image[..., None, None]}, r"\(40, 6, 6, 1, 1\)"),
        "2 channels": ({"image": np.stack([image, image], -1)}, "1 or 3 channels"),
        "no images": ({"image": image[:0]}, r"\(0, 6, 6, 1\)"),
        "few images": ({"image": image[:9]}, "at least 10"),
        "another name": ({"images": image}, "no array `image`.*has images"),
        "pickled": ({"image": np.array([{}] * 20, object)}, "pickled"),
        "fewer labels": ({"image": image, "label": np.arange(9)}, "label has shape"),
        "negative labels": ({"image": image, "label": np.arange(40) - 1}, "from 0"),
        "huge labels": ({"image": image, "label": np.arange(40) + 10**9}, "label"),
        "real labels": ({"image": image, "label": image[:, 0, 0]}, "float32"),
    }


@pytest.mark.parametrize("kind", bad_arrays())
def test_bad_arrays_are_refused(kind, npz):
    arrays, words = bad_arrays()[kind]
    path = npz("bad.npz", **arrays)
    with pytest.raises(vae_zoo.UserError, match=f"(?s)bad.npz.*{words}"):
        datasets.load(path, batch_size=8)


def test_corrupt_and_missing_files_are_named(npz, grey, tmp_path):
    whole = (tmp_path / npz(**grey)).read_bytes()
    for name, content in (("cut.npz", whole[:999]), ("empty.npz", b""), ("text.npz", b"hello")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(vae_zoo.UserError, match=f"{name} cannot be read"):
            datasets.load(str(tmp_path / name))
    for name in ("nowhere.npz", "no_folder"):
        with pytest.raises(vae_zoo.UserError, match=f"{name}: no such"):
            datasets.load(str(tmp_path / name))


def save_images(folder, images):
    folder.mkdir(parents=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i:03}.png")


def test_a_folder_of_images(grey, tmp_path):
    save_images(tmp_path / "plain", grey["image"][:30])
    splits = datasets.load(str(tmp_path / "plain"), batch_size=8)
    assert splits.num_train + splits.num_validation + splits.num_test == 30
    assert splits.num_classes is None and splits.labels("train") is None
    pixels = {image.tobytes() for image in grey["image"][:30]}
    assert {image.tobytes() for split in WHAT for image in splits.raw(split)} == pixels


def test_a_folder_for_each_class(grey, tmp_path):
    for name, value in (("cat", 10), ("dog", 200)):
        save_images(tmp_path / "pets" / name, np.full((20, 12, 12, 3), value, np.uint8))
    splits = datasets.load(str(tmp_path / "pets"), batch_size=8)
    assert splits.label_names == ["cat", "dog"] and splits.image_shape == (12, 12, 3)
    for split in WHAT:
        bright = splits.raw(split).mean((1, 2, 3)) > 100
        np.testing.assert_array_equal(splits.labels(split), bright)


def test_a_folder_for_each_split_is_never_cut_across(tmp_path):
    for split, value, count in (("train", 10, 24), ("val", 90, 6), ("test", 200, 8)):
        for name in ("a", "b"):
            save_images(tmp_path / "set" / split / name, np.full((count, 8, 8), value, np.uint8))
    splits = datasets.load(str(tmp_path / "set"), batch_size=8)
    assert (splits.num_train, splits.num_validation, splits.num_test) == (48, 12, 16)
    for split, value in (("train", 10), ("validation", 90), ("test", 200)):
        assert (splits.raw(split) == value).all()


def test_bad_folders_are_refused(grey, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(vae_zoo.UserError, match="holds no images"):
        datasets.load(str(tmp_path / "empty"))
    save_images(tmp_path / "broken", grey["image"][:20])
    broken = tmp_path / "broken" / "007.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(vae_zoo.UserError, match="007.png is not an image"):
        datasets.load(str(tmp_path / "broken"), batch_size=4).raw("train")
    save_images(tmp_path / "mixed", [image[: 8 + i % 2] for i, image in enumerate(grey["image"])])
    with pytest.raises(vae_zoo.UserError, match="Expected one size: give --image_size"):
        datasets.load(str(tmp_path / "mixed"), batch_size=4).raw("train")


def test_a_batch_larger_than_the_data_is_refused(npz, grey):
    with pytest.raises(vae_zoo.UserError, match="batch_size=161 is larger.*160 images"):
        datasets.load(npz(**grey), batch_size=161)


# Names that are not there.


@pytest.mark.parametrize(
    "name, words",
    [
        ("digit", "Did you mean 'digits'"),
        ("mnits", "Did you mean 'mnist'"),
        ("sprites/tiny", "sprites/tiny"),
    ],
)
def test_unknown_names_are_refused(name, words, tmp_path):
    with pytest.raises(vae_zoo.UserError, match=words):
        datasets.load(name, data_dir=tmp_path)


def test_offline_and_unprepared_says_where_it_looked_and_what_to_do(monkeypatch, tmp_path):
    def no_route(*arguments, **options):
        raise OSError("Network is unreachable")

    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "create_connection", no_route)
    with pytest.raises(vae_zoo.UserError) as error:
        datasets.load("mnist", data_dir=tmp_path)
    for words in ("mnist is not prepared", str(tmp_path), "--data_dir", "--manual_dir", "network"):
        assert words in str(error.value)


def test_a_name_server_that_does_not_answer_is_not_waited_for(monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    over = threading.Event()

    def silent(*arguments, **options):
        over.wait(60)
        raise OSError("Temporary failure in name resolution")

    monkeypatch.setattr(socket, "create_connection", silent)
    started = time.monotonic()
    reachable = sources._reachable()
    assert not reachable and time.monotonic() - started < 20  # 1.5 s on an idle machine
    over.set()


def without_network():
    """Returns the words that start a command without a network; empty where that is not allowed."""
    words = ["unshare", "--net"]
    allowed = shutil.which("unshare") and not subprocess.call([*words, "true"], stderr=-3)
    return words if allowed else []


def test_a_real_process_without_a_network_fails_at_once(tmp_path):
    words = without_network()
    if not words:
        pytest.skip("this machine does not let a process give up its network")
    flags = ["--model=vae", "--dataset=mnist", f"--data_dir={tmp_path}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    result = subprocess.run(
        [*words, sys.executable, "-m", "vae_zoo.train", *flags],
        capture_output=True,
        text=True,
        timeout=100,  # two seconds on an idle machine; 205 if it let TFDS try
    )
    assert result.returncode == 2 and result.stderr.startswith("error: data set mnist")
    assert len(result.stderr.splitlines()) == 1
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 2
