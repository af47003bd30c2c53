"""What users bring: arrays and folders of images, and which of them are refused."""

import numpy as np
import pytest
from PIL import Image

import vae_zoo
from vae_zoo import datasets
from vae_zoo.datasets.stored import SPLITS


def test_npz_without_splits_is_cut_deterministically_and_says_so(npz, grey):
    path = npz(**grey)
    one, two = (datasets.load(path, batch_size=8) for _ in range(2))
    assert (one.num_train, one.num_validation, one.num_test) == (160, 20, 20)
    parts = np.concatenate([one.raw(split) for split in SPLITS])
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
        "17 bits": ({"image": (image * 90000).astype(np.int32)}, "int32"),
        "-1 to 1": ({"image": image * 2 - 1}, r"store \(image \+ 1\) / 2"),
        "channels first": ({"image": np.stack([image] * 3, 1)}, "transpose"),
        "complex": ({"image": image.astype(np.complex64)}, "complex64"),
        "rank 2": ({"image": image.reshape(40, -1)}, r"\(40, 36\)"),
        "rank 5": ({"image": image[..., None, None]}, r"\(40, 6, 6, 1, 1\)"),
        "2 channels": ({"image": np.stack([image, image], -1)}, "1 or 3 channels"),
        "no images": ({"image": image[:0]}, r"\(0, 6, 6, 1\)"),
        "few images": ({"image": image[:9]}, "at least 10"),
        "another name": ({"pictures": image}, "no array `image`.*has pictures"),
        "no training images": ({"x_test": image}, "no array `image`.*x_test"),
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
    assert {image.tobytes() for split in SPLITS for image in splits.raw(split)} == pixels


def test_a_folder_for_each_class(grey, tmp_path):
    for name, value in (("cat", 10), ("dog", 200)):
        save_images(tmp_path / "pets" / name, np.full((20, 12, 12, 3), value, np.uint8))
    splits = datasets.load(str(tmp_path / "pets"), batch_size=8)
    assert splits.label_names == ["cat", "dog"] and splits.image_shape == (12, 12, 3)
    for split in SPLITS:
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
    with pytest.raises(vae_zoo.UserError, match="one size: give.* such as --image_size=8"):
        datasets.load(str(tmp_path / "mixed"), batch_size=4).raw("train")
