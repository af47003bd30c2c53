"""Runs that an earlier version wrote still load, and give the pictures that they gave then."""

import json
import pathlib
import shutil

import numpy as np
import pytest

import vae_zoo
from vae_zoo import errors, runs
from vae_zoo.probability import noise

RUNS = pathlib.Path(__file__).parent / "runs"
NAMES = sorted(path.name for path in RUNS.iterdir() if path.is_dir())


def test_there_is_a_stored_run_of_each_model_of_then():
    assert len(NAMES) == 15 and set(NAMES) <= set(vae_zoo.model_names())


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_run_loads_and_generates_what_it_did(name):
    model = vae_zoo.load_run(RUNS / name)
    then = np.load(RUNS / name / "then.npz")
    label = then["label"] if model.needs_labels else None
    images = np.asarray(model.generate(noise.rows(7, 2), label))
    np.testing.assert_allclose(images, then["images"], atol=1e-5)
    terms = model.terms({"image": then["input"], "label": label}, seed=noise.rows(7, 2))
    np.testing.assert_allclose(np.asarray(terms.loss), then["loss"], rtol=1e-4)


def test_a_run_of_a_later_format_is_refused_by_name(tmp_path):
    copy = shutil.copytree(RUNS / "vae", tmp_path / "run")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "format": 99}))
    with pytest.raises(errors.UserError, match="format 99.*A newer version"):
        runs.load_run(copy)
