"""Presets: small folders of trained models that are checked, shared and read as runs are."""

import io
import json
import pathlib
import shutil
import zipfile

import keras
import numpy as np
import pytest
from conftest import run_here

import vae_zoo
from vae_zoo import presets, publish, runs, sample
from vae_zoo.probability import noise


@pytest.fixture(scope="module")
def published(trained, tmp_path_factory):
    """A preset made of a trained run."""
    folder = tmp_path_factory.mktemp("published") / "preset"
    flags = ("--num_images=20", "--num_samples=5", "--name=mine/digits")
    run_here(publish.publish, publish.FLAGS, f"--run={trained}", f"--output={folder}", *flags)
    return folder


def test_a_published_run_is_its_model_in_half_the_bytes(trained, published):
    ours, theirs = vae_zoo.load_run(trained), vae_zoo.from_preset(str(published))
    for one, two in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert two.dtype == np.float32
        np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-6)
    sizes = [(folder / "model.keras").stat().st_size for folder in (trained, published)]
    assert sizes[1] < 0.6 * sizes[0]
    rows = noise.rows(7, 4)
    np.testing.assert_allclose(theirs.generate(rows), ours.generate(rows), atol=0.02)


def test_a_card_says_what_a_reader_must_know(published):
    card = (published / "README.md").read_text(encoding="utf-8")
    report = json.loads((published / "report.json").read_text(encoding="utf-8"))
    assert card.startswith("---\nlibrary_name: keras\n")
    for words in (f"{report['nll']:.2f}", "CC BY 4.0", "samples.png", "python -m vae_zoo.train"):
        assert words in card
    assert report["num_images"] == 20 and report["num_samples"] == 5


def test_a_preset_does_not_say_where_it_was_trained(trained, published):
    for name in ("README.md", "config.json", "report.json"):
        assert str(trained.parent) not in (published / name).read_text(encoding="utf-8")
    config = runs.read_config(published)
    assert config["dataset"]["data_dir"] is None
    assert config["command"].startswith("python -m vae_zoo.train --model=vae --epochs=2")


def test_a_damaged_preset_is_refused_by_its_checksum(published, tmp_path):
    copy = shutil.copytree(published, tmp_path / "copy")
    content = bytearray((copy / "model.keras").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "model.keras").write_bytes(content)
    with pytest.raises(vae_zoo.UserError, match=r"model\.keras is damaged"):
        vae_zoo.from_preset(str(copy))


def test_a_zip_is_unpacked_once_and_its_checksum_is_verified(published, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "preset.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in published.iterdir():
            archive.write(file, f"folder/{file.name}")
    whole = presets.sha256_of(path)
    folder = presets.find(str(path), whole)
    assert (folder / "model.keras").read_bytes() == (published / "model.keras").read_bytes()
    assert presets.find(str(path)) == folder
    with pytest.raises(vae_zoo.UserError, match="SHA-256"):
        presets.find(str(path), "0" * 64)


@pytest.mark.parametrize("kind", ["text", "folder", "zip", "mark", "outside"])
def test_what_is_no_preset_is_refused(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    given = tmp_path / "given"
    if kind == "text":
        given.write_text("x")
    elif kind in ("zip", "outside"):
        with zipfile.ZipFile(given, "w") as archive:
            archive.writestr("../../a.txt" if kind == "outside" else "a.txt", "x")
    else:
        given.mkdir()
        (given / "preset.json").write_text("[]" if kind == "mark" else '{"sha256": 3}')
    with pytest.raises(vae_zoo.UserError, match="preset"):
        presets.find(str(given))
    assert not list(tmp_path.parent.glob("a.txt"))


class _Answer(io.BytesIO):
    """What an https address answers."""

    def __init__(self, content, length):
        super().__init__(content)
        self.headers = {"Content-Length": str(length)}


def test_a_bad_download_is_not_kept(published, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    made = shutil.make_archive(str(tmp_path / "whole"), "zip", published)
    whole = pathlib.Path(made).read_bytes()
    answers = [(whole[:300], len(whole)), (b"<html>Please log in</html>", 26), (whole, len(whole))]
    opened = (_Answer(*answer) for answer in answers)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: next(opened))
    for words in ("broke off after 300", "cannot be unpacked"):
        with pytest.raises(vae_zoo.UserError, match=words):
            presets.find("https://example.org/preset.zip")
    for _ in range(2):  # the second time from the cache
        assert (presets.find("https://example.org/preset.zip") / "model.keras").exists()


def test_an_interrupted_publish_leaves_nothing_and_goes_on(trained, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    flags = (f"--run={trained}", f"--output={tmp_path / 'preset'}", "--num_images=4")
    with monkeypatch.context() as patched:
        patched.setattr("vae_zoo.runs.card.draw", interrupted)
        with pytest.raises(SystemExit):
            run_here(publish.publish, publish.FLAGS, *flags, "--num_samples=2")
    assert [path.name for path in tmp_path.rglob("*")] == ["preset"]
    run_here(publish.publish, publish.FLAGS, *flags, "--num_samples=2")
    assert presets.find(str(tmp_path / "preset"))


def test_an_unknown_name_and_a_run_with_a_preset_are_refused_in_one_line(one_line, trained):
    assert "conv_vea/mnist" in one_line(sample.sample, sample.FLAGS, ["--preset=conv_vea/mnist"])
    both = one_line(sample.sample, sample.FLAGS, ["--preset=x", f"--run={trained}"])
    assert "expected one of the two" in both


def test_publish_without_a_run_is_refused_in_one_line(command):
    result = command("vae_zoo.publish")
    assert result.returncode == 2 and result.stderr.startswith("error: --run is missing")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_that_ships_loads_and_draws(name):
    model = vae_zoo.from_preset(name)
    label = np.zeros(2, np.int32) if model.needs_labels else None
    images = np.asarray(model.generate(noise.rows(0, 2), label))
    assert images.shape == (2, *model.image_shape) and np.isfinite(images).all()
    folder = presets.HERE / name
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2.5e6
    assert runs.read_report(folder)["num_images"] >= 100


def test_presets_write_next_to_the_user_not_into_the_package(published, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_here(sample.sample, sample.FLAGS, f"--preset={published}", "--num=4")
    assert (tmp_path / "runs/preset-preset/samples-seed0.png").exists()
    assert not list(published.glob("samples-seed*"))


def test_keras_alone_reads_the_weights(published):
    model = keras.saving.load_model(published / "model.keras", compile=False)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
