"""A training that starts from the weights of another one."""

import shutil

import numpy as np
import pytest

import vae_zoo
from vae_zoo import registry, runs
from vae_zoo.runs import initial


def build(image_shape=(28, 28, 1), name="vae", hidden=(32,), latent_size=4, seed=1):
    return registry.create_model(
        name, image_shape=image_shape, hidden=hidden, latent_size=latent_size, seed=seed
    )


def test_the_same_model_starts_with_all_weights(trained):
    model, source = build(), vae_zoo.load_run(trained)
    note = initial.copy_weights(model, trained)
    for ours, theirs in zip(model.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert "anew" not in note


def test_what_does_not_fit_starts_anew_and_is_named(trained):
    model, source = build(latent_size=7), vae_zoo.load_run(trained)
    fresh = build(latent_size=7).get_weights()
    note = initial.copy_weights(model, trained)
    assert "5 of 8 weights" in note and "layers/dense/vars/0" in note
    np.testing.assert_array_equal(model.encoder.get_weights()[0], source.encoder.get_weights()[0])
    head = [weight for weight in model.posterior_head.get_weights()]
    assert any(np.array_equal(head[0], weight) for weight in fresh)


def test_what_fits_nowhere_is_refused(trained):
    with pytest.raises(vae_zoo.UserError, match="none of the weights"):
        initial.copy_weights(build((12, 12, 1), "resnet_vae", (8, 8), 3), trained)


def test_a_training_starts_from_a_run(trained, data_dir, tmp_path, capsys):
    run = vae_zoo.train(
        "vae",
        output_dir=tmp_path / "run",
        arguments={"hidden": (32,), "latent_size": 4},
        init_from=trained,
        data_dir=data_dir,
        **{"epochs": 1, "learning_rate": 1e-9, "report_samples": 2},
    )
    assert "note: started from" in capsys.readouterr().out
    pairs = zip(
        runs.load_run(run).get_weights(),
        runs.load_run(trained).get_weights(),
        strict=True,
    )
    assert all(np.abs(one - two).max() < 1e-4 for one, two in pairs)


def test_overwrite_begins_from_the_very_run_that_it_deletes(trained, data_dir, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    before = runs.load_run(run).get_weights()
    settings = {"epochs": 1, "learning_rate": 1e-9, "report_samples": 2, "data_dir": data_dir}
    settings |= {"arguments": {"hidden": (32,), "latent_size": 4}, "overwrite": True}
    with pytest.raises(vae_zoo.UserError, match="Unknown preset"):
        vae_zoo.train("vae", output_dir=run, init_from="not-there", **settings)
    assert (run / "model.keras").exists() and (run / "checkpoints").exists()
    vae_zoo.train("vae", output_dir=run, init_from=run, **settings)
    pairs = zip(before, runs.load_run(run).get_weights(), strict=True)
    assert all(np.abs(one - two).max() < 1e-4 for one, two in pairs)
