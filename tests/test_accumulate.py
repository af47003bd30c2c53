"""Batches computed in parts: the step of the whole batch, or a clear refusal."""

import keras
import numpy as np
import pytest

from vae_zoo import datasets, errors, train, training


@pytest.fixture(scope="module")
def splits(data_dir):
    return datasets.load("digits", batch_size=24, data_dir=data_dir)


def trained(model, splits, accumulate):
    """Returns the weights after three steps, and the figures of them."""
    model.compile(keras.optimizers.SGD(1e-3))
    model.accumulate = accumulate
    fitted = model.fit(splits.train_from(0), steps_per_epoch=3, verbose=0, shuffle=False)
    return model.get_weights(), fitted.history


@pytest.mark.parametrize(
    "name", ["iwae", *(pytest.param(n, marks=pytest.mark.slow) for n in ("vae", "ladder_vae"))]
)
def test_parts_of_a_batch_train_what_the_whole_of_it_does(name, splits, tiny):
    start = tiny(name).get_weights()
    whole, parts = (trained(tiny(name), splits, count) for count in (1, 3))
    for one, other in zip(whole[0], parts[0], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert any((one != first).any() for one, first in zip(whole[0], start, strict=True))
    for figure, values in whole[1].items():
        assert parts[1][figure] == pytest.approx(values, rel=1e-5), figure


@pytest.mark.parametrize(
    "name, arguments, why",
    [
        ("beta_tc_vae", {}, "compares the images"),
        ("vae", {"free_bits": 0.5}, "compares the images"),
        ("vq_vae", {}, "a training step of its own"),
    ],
)
def test_what_looks_at_the_whole_batch_is_refused_in_parts(name, arguments, why, tiny):
    settings = training.Settings(epochs=1, accumulate=2)
    with pytest.raises(errors.UserError, match=why):
        training.compile_model(tiny(name, **arguments), settings, 3)


def test_parts_that_do_not_come_out_even_are_refused_in_one_line(one_line, data_dir, tmp_path):
    flags = ["--model=vae", "--batch_size=64", "--accumulate=3", f"--data_dir={data_dir}"]
    line = one_line(train.train, train.FLAGS, [*flags, f"--output_dir={tmp_path / 'run'}"])
    assert "--accumulate" in line and "such as --batch_size=63" in line
    assert not (tmp_path / "run").exists()
