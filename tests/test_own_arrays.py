"""Arrays as people have them: the names of keras and scikit-learn, splits, words, 16 bits."""

import json
import os

import numpy as np
import pytest
from conftest import run_here

import vae_zoo
from vae_zoo import datasets, train

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 6, 5), dtype=np.uint8)
LABELS = np.arange(40) % 4


@pytest.mark.parametrize("image, label", [("images", "labels"), ("arr_0", "arr_1"), ("X", "y")])
def test_usual_names_are_understood_and_said(image, label, npz):
    splits = datasets.load(npz(**{image: IMAGES, label: LABELS}), batch_size=8)
    assert splits.num_classes == 4 and splits.image_shape == (6, 5, 1)
    assert any(f"took {image}, {label}" in note for note in splits.notes)


def test_other_arrays_of_a_file_are_not_read(npz):
    path = npz(imgs=IMAGES, metadata=np.array({"title": "pickled"}))
    assert datasets.load(path, batch_size=8).num_train == 32


def test_splits_of_a_file_are_kept(npz):
    path = npz(x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:12] // 2, y_test=LABELS[:12])
    splits = datasets.load(path, batch_size=8)
    assert (splits.num_train, splits.num_validation, splits.num_test) == (36, 4, 12)
    np.testing.assert_array_equal(splits.raw("test")[..., 0], IMAGES[:12] // 2)
    np.testing.assert_array_equal(splits.labels("test"), LABELS[:12])
    assert any("no validation split" in note for note in splits.notes)


@pytest.mark.parametrize(
    "label, names",
    [
        (np.eye(4)[LABELS], ["0", "1", "2", "3"]),
        (LABELS[:, np.newaxis], ["0", "1", "2", "3"]),
        (np.array(["ant", "bee", "cat", "dog"])[LABELS], ["ant", "bee", "cat", "dog"]),
        (np.array([2, 3, 5, 70])[LABELS], ["2", "3", "5", "70"]),
    ],
)
def test_labels_keep_their_names(label, names, npz):
    splits = datasets.load(npz(image=IMAGES, label=label), batch_size=8)
    assert splits.label_names == names and splits.num_classes == 4
    rows = {image.tobytes(): number for image, number in zip(IMAGES, LABELS, strict=True)}
    expected = [rows[image.tobytes()] for image in splits.raw("train")]
    assert splits.labels("train").tolist() == expected


def test_sixteen_bits_are_scaled_and_it_is_said(npz):
    wide = IMAGES.astype(np.uint16) * 257
    splits = datasets.load(npz(image=wide), batch_size=8)
    assert sorted(i.tobytes() for s in ("train", "validation", "test") for i in splits.raw(s)) == (
        sorted(i.tobytes() for i in IMAGES)
    )
    assert any("16-bit values were scaled" in note for note in splits.notes)


def test_all_splits_are_scaled_alike(npz):
    wide = IMAGES.astype(np.uint16) * 257
    splits = datasets.load(npz(x_train=wide, x_test=np.minimum(wide, 200)), batch_size=8)
    assert splits.raw("test").max() == 1
    with pytest.raises(vae_zoo.UserError, match="one shape and one dtype"):
        datasets.load(npz(x_train=wide, x_test=IMAGES), batch_size=8)


def test_transparent_arrays_lie_over_white(npz):
    image = np.zeros((20, 4, 4, 4), np.uint8)
    image[:, :2, :, 0], image[:, :2, :, 3] = 200, 255
    splits = datasets.load(npz(image=image), batch_size=4)
    assert (splits.raw("train")[:, :2] == (200, 0, 0)).all()
    assert (splits.raw("train")[:, 2:] == 255).all()
    assert any("over white" in note for note in splits.notes)


def test_a_npy_file_is_images_alone(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES / np.float32(255))
    splits = datasets.load(str(tmp_path / "images.npy"))
    assert splits.num_train == 32 and splits.num_classes is None
    assert any("rounded to 8 bits" in note for note in splits.notes)


def test_few_images_lower_the_batch_unless_it_was_given(npz):
    path = npz(image=IMAGES[:12])
    splits = datasets.load(path)
    assert splits.batch_size == 2 and splits.steps_per_epoch == 5
    assert any("batches of 2 instead of 128" in note for note in splits.notes)
    with pytest.raises(vae_zoo.UserError, match="--batch_size=64 is larger.*leave the flag out"):
        datasets.load(path, batch_size=64)


def test_a_pipe_is_not_waited_for(tmp_path):
    for name in ("pipe.npz", "pipe.zip"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(vae_zoo.UserError, match="no regular file"):
            datasets.load(str(tmp_path / name))


@pytest.mark.parametrize(
    "name, words",
    [
        ("gs://bucket/images", "addresses are not supported"),
        ("photos/of_cats", "no such folder or file"),
        ("imagewange", "no such folder or file.*Did you mean 'imagewang"),
        ("./photos.zip", "no such folder or file"),
    ],
)
def test_what_is_not_there_is_said_to_be_not_there(name, words, tmp_path):
    with pytest.raises(vae_zoo.UserError, match=words):
        datasets.load(name, data_dir=tmp_path)


def test_what_pictures_are_decides_how_they_are_modelled(npz, tmp_path):
    """Colours that go together; principal components, which binary pixels have no place for."""
    rng = np.random.default_rng(0)
    grey = rng.integers(30, 220, (60, 8, 8, 1))
    apart = rng.integers(0, 256, (60, 8, 8, 3))
    together = np.clip(grey + rng.integers(-20, 20, (60, 8, 8, 3)), 0, 255)
    found = {}
    binary = 255 * (grey > 120)
    for name, images in (("together", together), ("apart", apart), ("binary", binary)):
        run_here(
            train.train,
            train.FLAGS,
            *("--model=conv_vae", "--epochs=1", "--set=hidden=(4,4)", "--report_samples=2"),
            f"--dataset={npz(f'{name}.npz', image=images.astype(np.uint8))}",
            f"--output_dir={tmp_path / name}",
        )
        config = json.loads((tmp_path / name / "config.json").read_text(encoding="utf-8"))
        found[name] = [config["arguments"].get(key) for key in ("channels", "principal")]
    assert found == {"together": ["linear", True], "apart": [None, True], "binary": [None, None]}
