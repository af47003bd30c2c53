"""A run's directory: what is one, what --overwrite may delete, what a config.json must be."""

import json
import pathlib

import pytest

import vae_zoo
from vae_zoo import datasets, runs
from vae_zoo.runs import directory

CONFIG = {
    "model": "vae",
    "arguments": {"image_shape": [8, 8, 1]},
    "dataset": {"name": "digits"},
    "training": {"seed": 0},
    "data_checksum": "abc",
}


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        None,
        7,
        {"name": "of another program", "version": 2},
        *({k: v for k, v in CONFIG.items() if k != name} for name in list(CONFIG)[:4]),
        {**CONFIG, "model": ["vae"]},
        {**CONFIG, "arguments": {"image_shape": "8x8"}},
        {**CONFIG, "dataset": {"name": 3}},
        {**CONFIG, "training": {"seed": "0"}},
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_config_of_another_shape_is_refused_and_nothing_is_deleted(content, overwrite, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(content))
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "main.c").write_text("int main;")
    with pytest.raises(vae_zoo.UserError, match="is not a run's"):
        runs.open_run(tmp_path, CONFIG, overwrite=overwrite)
    with pytest.raises(vae_zoo.UserError, match="is not a run's"):
        vae_zoo.load_run(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == content
    assert (tmp_path / "source" / "main.c").exists()


def test_a_deeply_nested_config_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(vae_zoo.UserError, match="cannot be read"):
        runs.read_config(tmp_path)


def test_overwrite_deletes_what_a_run_is_and_nothing_else(tmp_path):
    runs.open_run(tmp_path, CONFIG)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "tensorboard" / "samples").mkdir(parents=True)
    events = "events.out.tfevents.1.v2"
    written = ("checkpoints/step-1.index", "model.keras", "samples.png", f"tensorboard/{events}")
    kept = ("checkpoints/mine.txt", "notes.txt", "prior-notes.npz")
    written += ("prior-gmm.npz", "samples-seed7-label3.png", "interpolate-seed0.png")
    for name in (*written, f"tensorboard/samples/{events}", *kept):
        (tmp_path / name).write_text("x")
    changed = {**CONFIG, "training": {"seed": 1}}
    assert runs.open_run(tmp_path, changed, overwrite=True) is False
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == sorted(["checkpoints", "config.json", *kept])
    assert runs.read_config(tmp_path) == changed


def test_a_killed_overwrite_goes_on_with_the_same_command(tmp_path, monkeypatch):
    runs.open_run(tmp_path, CONFIG)
    for name in ("model.keras", "report.json", "samples.png"):
        (tmp_path / name).write_text("x")
    deleted, delete = [], directory._delete

    def killed(path):
        if len(deleted) == 2:
            raise KeyboardInterrupt
        deleted.append(path.name)
        delete(path)

    monkeypatch.setattr(directory, "_delete", killed)
    with pytest.raises(KeyboardInterrupt):
        runs.open_run(tmp_path, CONFIG, overwrite=True)
    monkeypatch.setattr(directory, "_delete", delete)
    assert runs.open_run(tmp_path, CONFIG, overwrite=True) is False
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


# The data of a run.


@pytest.fixture
def run_on(npz, grey, tmp_path):
    """A run, its config.json alone, on arrays of grey images; and their path."""
    place = npz(**grey)
    config = {**CONFIG, "arguments": {"image_shape": [12, 12, 1]}, "binarization": "dynamic"}
    config["dataset"] = {"name": place, "binarization": "dynamic", "batch_size": 100, "crop": 12}
    config["data_checksum"] = datasets.load(place, binarization="dynamic").checksum
    runs.open_run(tmp_path / "run", config)
    return tmp_path / "run", place


def test_own_images_that_have_changed_since_the_training_are_refused(run_on, grey, npz):
    run, place = run_on
    assert runs.load_splits(run).num_train == 160
    npz(image=grey["image"][:199], label=grey["label"][:199])
    with pytest.raises(vae_zoo.UserError, match="added, removed or changed"):
        runs.load_splits(run)


def test_another_spelling_of_a_path_is_the_same_data(run_on, monkeypatch):
    run, place = run_on
    monkeypatch.chdir(pathlib.Path(place).parent)
    splits = runs.load_splits(run, name="./images.npz")
    assert splits.checksum == runs.read_config(run)["data_checksum"]


@pytest.mark.parametrize(
    ("of_the_run", "grey_becomes", "binary_becomes"),
    [
        ("dynamic", "dynamic", "static"),
        ("static", "threshold", "static"),
        ("threshold", "threshold", "static"),
        ("none", "none", "static"),
    ],
)
def test_other_data_is_seen_under_the_policy_of_the_run(
    of_the_run, grey_becomes, binary_becomes, run_on, grey, npz
):
    run, _ = run_on
    runs.write_json(run / "config.json", {**runs.read_config(run), "binarization": of_the_run})
    images = grey["image"][:60]  # fewer than a batch of the run
    for kind, policy in ((images, grey_becomes), (255 * (images > 127), binary_becomes)):
        other = npz("other.npz", image=kind.astype("uint8"))
        assert runs.load_splits(run, name=other).binarization == policy
