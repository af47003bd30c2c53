"""A run's directory: what is one, what --overwrite may delete, what a config.json must be."""

import json

import pytest

import vae_zoo
from vae_zoo import runs
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
    for name in (*written, f"tensorboard/samples/{events}", "prior-gmm.npz", *kept):
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
        if len(deleted) == 4:
            raise KeyboardInterrupt
        deleted.append(path.name)
        delete(path)

    monkeypatch.setattr(directory, "_delete", killed)
    with pytest.raises(KeyboardInterrupt):
        runs.open_run(tmp_path, CONFIG, overwrite=True)
    monkeypatch.setattr(directory, "_delete", delete)
    assert runs.open_run(tmp_path, CONFIG, overwrite=True) is False
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
