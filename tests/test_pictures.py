"""The pictures of a run, and those of TensorBoard."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from vae_zoo import training
from vae_zoo.runs import plots, report


@pytest.fixture
def texts(monkeypatch):
    """What was written next to the rows of each picture that was drawn since."""
    found, draw = [], plots._draw_tiles

    def drawn(path, *args, beside=None, **kwargs):
        found.append(beside)
        return draw(path, *args, beside=beside, **kwargs)

    monkeypatch.setattr(plots, "_draw_tiles", drawn)
    return found


class Conditional:
    """A model of three classes whose samples are as bright as their class's number."""

    needs_labels, num_classes, image_shape = True, 3, (4, 4, 1)

    def generate(self, seed, label=None):
        return np.ones((len(seed), 4, 4, 1), np.float32) * label[:, None, None, None] / 4


class Plain:
    """A model whose optimizer averages nothing, at some step."""

    needs_labels, optimizer, steps_made = False, None, 0

    def generate(self, seed, label=None):
        return np.full((len(seed), 4, 4, 1), 0.5, np.float32)


class Named:
    """Splits of which the names of the classes alone count."""

    label_names = ["disc", "square", "triangle"]


def test_reconstructions_of_binary_images_show_the_grey_ones_too(texts, tmp_path):
    images = np.random.default_rng(0).random((16, 8, 8, 1))
    binary, path = (images > 0.5) * 1.0, tmp_path / "picture.png"
    plots.reconstructions(path, binary, images, originals=images)
    assert texts[-1] == ["grey original", "drawn binary image", "reconstruction"] * 2
    plots.reconstructions(path, binary, images, originals=images, drawn=False)
    assert texts[-1][1] == "binary image"
    plots.reconstructions(path, images, images)
    assert texts[-1] == ["test image", "reconstruction"] * 2
    assert path.read_bytes().startswith(b"\x89PNG")


def test_originals_are_those_of_the_images(digits):
    grey, binary = report.grey_originals(digits, 50), digits.images("test", 50)
    assert ((binary == 0) | (binary == 1)).all() and 0 < grey.mean() < 1
    assert not binary[grey == 0].any() and binary[grey == 1].all()


def test_a_conditional_model_shows_a_row_for_each_class_with_its_name(texts, tmp_path):
    report._draw_samples(tmp_path / "samples.png", Conditional(), Named(), seed=0)
    assert texts[-1] == ["disc", "square", "triangle"]
    column = np.asarray(Image.open(tmp_path / "samples.png").convert("L"))[:, -5].astype(int)
    levels = column[column < 200]  # without the white between the rows
    assert len(np.unique(levels)) == 3 and (np.diff(levels) >= 0).all()


def test_tensorboard_gets_samples_ten_times_at_most(tmp_path, monkeypatch):
    monkeypatch.setattr(training.samples.optimizers, "averaged", lambda _: contextlib.nullcontext())
    callback = training.Samples(tmp_path, training.Settings(epochs=25))
    callback._model = Plain()
    for epoch in range(25):
        Plain.steps_made = 100 * (epoch + 1)
        callback.on_epoch_end(epoch)
    [file] = tmp_path.iterdir()
    steps = [
        event.step
        for event in tf.compat.v1.train.summary_iterator(str(file))
        if event.summary.value and event.summary.value[0].tag == "samples"
    ]
    assert steps == [300, 600, 900, 1200, 1500, 1800, 2100, 2400]
