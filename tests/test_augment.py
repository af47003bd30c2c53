"""Augmentation: functions of (seed, step), of training images alone."""

import json

import numpy as np
import pytest
from conftest import run_here

import vae_zoo
from vae_zoo import datasets, evaluate
from vae_zoo.datasets import augment

ALL = ("flip", "shift", "crop", "colour")
RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (40, 16, 24, 3), dtype=np.uint8)


def take(data, count):
    return [{name: value.numpy() for name, value in batch.items()} for batch in data.take(count)]


def changed(name, image, step=0, seed=0):
    import tensorflow as tf

    return augment.apply((name,), tf.constant(image), seed, tf.constant(step, tf.int64)).numpy()


@pytest.mark.parametrize("binarization", ["none", "dynamic"])
def test_augmented_batches_are_functions_of_the_step(binarization, npz):
    path = npz(image=COLOUR, label=np.arange(40) % 4)
    splits = datasets.load(path, batch_size=8, augment=ALL, binarization=binarization)
    whole = take(splits.train_from(0), 9)  # over the end of two epochs
    for start in (1, 3, 4, 7):
        for ours, theirs in zip(whole[start:], take(splits.train_from(start), 9), strict=False):
            np.testing.assert_array_equal(ours["image"], theirs["image"])
            np.testing.assert_array_equal(ours["label"], theirs["label"])


@pytest.mark.parametrize("binarization", ["none", "dynamic"])
def test_the_shares_of_a_batch_are_its_rows(binarization, npz):
    """Of three workers, one with two devices: they read and draw their own images alone."""
    path = npz(image=COLOUR[:, :15, :13], label=np.arange(40) % 4)  # an odd number of pixels
    splits = datasets.load(path, batch_size=9, augment=ALL, binarization=binarization)
    whole = take(splits.train_from(2), 3)
    first = take(splits.train_from(2, 3, range(1)), 3)
    others = take(splits.train_from(2, 3, range(1, 3)), 6)  # step by step, one after the other
    for step, batch in enumerate(whole):
        shares = [first[step], *others[2 * step : 2 * step + 2]]
        for name, values in batch.items():
            np.testing.assert_array_equal(values, np.concatenate([s[name] for s in shares]))


def test_labels_and_what_is_not_trained_on_stay(npz):
    path = npz(image=COLOUR, label=np.arange(40) % 4)
    plain, other = (datasets.load(path, batch_size=8, augment=names) for names in ((), ALL))
    ours, theirs = take(plain.train_from(2), 1)[0], take(other.train_from(2), 1)[0]
    np.testing.assert_array_equal(ours["label"], theirs["label"])
    assert (ours["image"] != theirs["image"]).any()
    for split in ("validation", "test"):
        np.testing.assert_array_equal(plain.images(split), other.images(split))
        ours, theirs = (take(getattr(splits, split), 1)[0] for splits in (plain, other))
        np.testing.assert_array_equal(ours["image"], theirs["image"])


def test_a_flip_mirrors_about_half_of_the_images():
    image = np.tile(COLOUR, (5, 1, 1, 1))
    out = changed("flip", image)
    mirrored = (out == image[:, :, ::-1]).all((1, 2, 3))
    assert (mirrored | (out == image).all((1, 2, 3))).all()
    assert 70 < mirrored.sum() < 130
    assert (changed("flip", image, step=1) != out).any()
    assert (changed("flip", image, seed=1) != out).any()


def test_a_shift_moves_by_up_to_an_eighth_and_repeats_the_edge():
    out, found = changed("shift", COLOUR), set()
    padded = np.pad(COLOUR, ((0, 0), (2, 2), (3, 3), (0, 0)), "edge")
    for image, wide in zip(out, padded, strict=True):
        places = [
            (y, x)
            for y in range(5)
            for x in range(7)
            if (wide[y : y + 16, x : x + 24] == image).all()
        ]
        assert len(places) == 1
        found |= set(places)
    assert len(found) > 10


def test_a_crop_shows_a_part_and_fills_the_frame():
    ramp = np.broadcast_to(np.linspace(0, 255, 24).astype(np.uint8)[:, None], (40, 16, 24, 1))
    out = changed("crop", ramp)[:, 0, :, 0].astype(int)
    spread = out[:, -1] - out[:, 0]
    assert out.shape == (40, 24) and (np.diff(out, axis=1) >= 0).all()
    assert spread.min() >= 0.78 * 255 and spread.max() <= 255 and len(set(spread)) > 10


def test_colour_changes_keep_the_order_of_grey_values():
    ramp = np.broadcast_to(np.linspace(60, 180, 24).astype(np.uint8)[:, None], (40, 16, 24, 1))
    out = changed("colour", ramp).astype(int)
    assert (np.diff(out[:, 0, :, 0], axis=1) >= 0).all()
    ratio = out.mean((1, 2, 3)) / ramp.mean((1, 2, 3))
    assert 0.79 < ratio.min() < 0.9 and 1.1 < ratio.max() < 1.21
    assert (changed("colour", COLOUR) != COLOUR).any()


def test_what_makes_no_sense_is_refused(npz):
    with pytest.raises(vae_zoo.UserError, match="Unknown augmentation 'flop'. Did you mean 'flip'"):
        datasets.load(npz(image=COLOUR), augment=["flop"])
    with pytest.raises(vae_zoo.UserError, match="--augment=colour: .* binary"):
        datasets.load(npz(image=COLOUR[..., 0] > 127), augment=["colour"])


def test_a_run_records_how_its_data_was_read(npz, tmp_path):
    path, how = npz(image=COLOUR[:20]), {"augment": ["shift", "flip"], "image_size": "12x9"}
    short = {"arguments": {"hidden": (8,)}, "epochs": 1, "report_samples": 2}
    run = vae_zoo.train("vae", path, tmp_path / "run", **short, **how)
    config = json.loads((run / "config.json").read_text())
    assert config["dataset"]["augment"] == ["shift", "flip"]
    assert config["dataset"]["image_size"] == "12x9" and config["dataset"]["batch_size"] == 4
    assert config["arguments"]["image_shape"] == [12, 9, 3]
    run_here(evaluate.evaluate, evaluate.FLAGS, f"--run={run}", "--num_samples=2")
