"""Inputs that mean no good and once did harm: each is one clear line, or a clear result.

They were found by python -m tests.hostile; tests/hostile_inputs/ makes such inputs.
"""

import io
import json
import os
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest
from PIL import Image

from export import checks, flatbuffer, layout
from vae_zoo import cli, datasets, errors, presets, registry, train_flags
from vae_zoo.datasets import fitting, listed, policies

TREATMENT = listed.Treatment((8, 8, 1), fitting.Fit("images", (8, 8), None, 1), "none")


def bytes_of(image, kind):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["EPS", "TIFF", "PPM", "TGA", "ICO"])
def test_a_file_is_opened_as_what_its_folder_may_hold_alone(kind, tmp_path, monkeypatch):
    """Pillow would run Ghostscript on PostScript, whatever a file's name says."""
    monkeypatch.setattr("subprocess.Popen", lambda *args, **kwargs: pytest.fail("a process ran"))
    for name in range(12):
        content = bytes_of(Image.fromarray(IMAGES[name]).convert("RGB"), kind)
        (tmp_path / f"{name}.png").write_bytes(content)
    with pytest.raises(errors.UserError, match="is not an image that can be read"):
        datasets.load(str(tmp_path))


def test_names_that_are_no_text_are_names(tmp_path):
    folder = tmp_path / "\udcff images"
    folder.mkdir()
    for name, image in enumerate(IMAGES):
        Image.fromarray(image).save(os.fsencode(folder / f"{name:02}\udcfe.png"), "PNG")
    splits = datasets.load(str(folder), memory_budget_mb=0, cache_dir=tmp_path / "cache")
    assert splits.num_train + splits.num_validation + splits.num_test == 12
    images = listed.open_images(str(folder), TREATMENT)
    assert len(images.read(range(12)).image) == 12


def test_a_line_about_such_a_name_is_printed(capfd, tmp_path):
    def command():
        """Says a name."""
        print("written to \udcff.npz")

    cli.run(command, train_flags.flags.FlagValues(), ["command"])
    assert capfd.readouterr().out == "written to \\udcff.npz\n"


@pytest.mark.parametrize(
    "members",
    [
        {"image.npy": npy(IMAGES), "factors.npy": b"\x93NUMPY\x01\0\x0a\0{{{{{{{{{\n"},
        {"image.npy": b"no array"},
        {"image.npy": npy(IMAGES), "label.npy": b"no array"},
        {"image.npy": npy(np.uint8(3)), "factors.npy": npy(np.zeros((12, 2), int))},
        {"image.npy": npy(IMAGES), "factors": b"no array"},
        {"image.npy": npy(IMAGES), "label.npy": npy(np.zeros((12, 2), [("a", "u1")]))},
        {"image.npy": npy(IMAGES), "label.npy": npy(np.zeros((12, 2), "V5"))},
    ],
)
def test_members_of_an_npz_file_that_are_no_arrays(members, tmp_path):
    with zipfile.ZipFile(tmp_path / "images.npz", "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    if {"factors.npy", "factors"} & members.keys() and len(members["image.npy"]) > 500:
        splits = datasets.load(str(tmp_path / "images.npz"))
        assert splits.factors("train") is None
        assert any("factors is left out" in note for note in splits.notes)
        return
    with pytest.raises(errors.UserError, match="images.npz"):
        datasets.load(str(tmp_path / "images.npz"))


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_damaged_archives_of_every_packing_are_one_line(kind, tmp_path):
    content = bytes_of(Image.fromarray(IMAGES[0]), "PNG") * 40
    file = io.BytesIO()
    if isinstance(kind, int):
        path = tmp_path / "images.zip"
        with zipfile.ZipFile(file, "w", kind) as archive:
            for name in range(12):
                archive.writestr(f"{name}.png", content)
    else:
        path = tmp_path / f"images.tar.{kind}"
        with tarfile.open(fileobj=file, mode=f"w:{kind}") as archive:
            for name in range(12):
                info = tarfile.TarInfo(f"{name}.png")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    whole = file.getvalue()
    for place in range(40, len(whole) - 100, len(whole) // 9):
        spoilt = bytearray(whole)
        spoilt[place : place + 30] = bytes(255 - byte for byte in spoilt[place : place + 30])
        path.write_bytes(spoilt)
        try:
            datasets.load(str(path))
        except errors.UserError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize("text", ["{[]: 1}", "-" * 9000 + "1", "(" * 9000, "[" * 300])
def test_settings_that_are_no_literal_are_texts(text):
    assert registry.parse_settings([f"hidden={text}"]) == {"hidden": text}


def test_an_encoder_that_is_a_text_is_refused_where_none_is_taken(tiny):
    with pytest.raises(errors.UserError, match="encoder='conv': .* builds networks of its own"):
        tiny("ladder_vae", encoder="conv")


@pytest.mark.parametrize("decay", ["much", 1j, None, [0.5], 1.0, 0])
def test_a_decay_that_is_no_share_is_one_line(decay, tiny):
    with pytest.raises(errors.UserError, match="decay=.*: expected a number"):
        tiny("vq_vae", decay=decay)


@pytest.mark.parametrize(
    "name, argument",
    [("ladder_vae", "num_layers"), ("vq_vae", "prior_depth"), ("iaf_vae", "flow_steps")],
)
def test_a_depth_that_nobody_could_wait_for_is_refused(name, argument, tiny):
    with pytest.raises(errors.UserError, match=f"{argument}=65536: expected at most"):
        tiny(name, **{argument: 65536})


def test_a_size_beyond_every_number_is_one_line(tiny):
    with pytest.raises(errors.UserError, match="latent_size=1e.308: expected at most"):
        tiny("ladder_vae", latent_size=1e308)


def test_what_large_images_hold_is_found_in_little_memory():
    raw = np.zeros((40, 300, 300, 3), np.uint8)
    tracemalloc.start()
    try:
        assert policies.all_binary(raw)
        assert tracemalloc.get_traced_memory()[1] < 4 * raw[0].size
    finally:
        tracemalloc.stop()
    raw[-1, -1, -1, -1] = 7
    assert not policies.all_binary(raw)


@pytest.mark.parametrize(
    "name, argument",
    [("rae", "regularizer"), ("vdvae", "size"), ("dip_vae", "kind"), ("info_vae", "kernel")],
)
def test_a_list_is_no_name(name, argument, tiny):
    with pytest.raises(errors.UserError, match=r"Unknown .*\[1\]"):
        tiny(name, **{argument: [1]})


@pytest.mark.parametrize("name", ["args", "kwargs", "self"])
def test_what_stands_for_more_arguments_is_none(name):
    for model in registry.model_names():
        assert name not in registry.constructor_arguments(registry.model_class(model))


def test_a_flag_of_any_length_is_one_line():
    for length in (50, 5000):
        with pytest.raises(errors.UserError, match="--help lists the flags"):
            cli.parse(train_flags.FLAGS, ["train", f"--{'a' * length}=1"])


@pytest.mark.parametrize(
    "spoil", [lambda b: b[: len(b) // 2], lambda b: b.replace(b"PK", b"PX", 3)]
)
def test_a_damaged_zip_of_a_preset_is_one_line(spoil, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with zipfile.ZipFile(tmp_path / "whole.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(presets.MARK, json.dumps({"sha256": {}}))
        file.writestr("model.keras", bytes(5000))
    (tmp_path / "p.zip").write_bytes(spoil((tmp_path / "whole.zip").read_bytes()))
    with pytest.raises(errors.UserError, match="preset"):
        presets.find(str(tmp_path / "p.zip"))


@pytest.mark.parametrize("name", ["..", "a/..", "a" * 5000, "a\0b"])
def test_names_in_a_preset_that_are_no_files(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / presets.MARK).write_text(json.dumps({"sha256": {name: "0"}}))
    with pytest.raises(errors.UserError, match="is damaged"):
        presets.find(str(tmp_path))
    if "\0" in name:  # zip files end a name there
        return
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as file:
        file.writestr(presets.MARK, json.dumps({"sha256": {}}))
        file.writestr(name, b"x")
    with pytest.raises(errors.UserError, match="preset"):
        presets.find(str(tmp_path / "p.zip"))


@pytest.mark.parametrize("path", ["/dev/zero", "../other/m.tflite", "tflite/../../m", "a\0b", 7])
def test_an_export_names_no_file_outside_of_it(path, tmp_path):
    made = {"name": "vae", "unsupported": {}, "tolerance": {}}
    made["tflite"] = {"float32": {"path": path}}
    (tmp_path / layout.MANIFEST).write_text(json.dumps(made))
    with pytest.raises(errors.UserError, match="export.json cannot be read"):
        checks.read(tmp_path)


@pytest.mark.parametrize("kinds", [7, "float32", [1, 2], None])
def test_a_manifest_of_other_types_is_one_line(kinds, tmp_path):
    made = {"name": "vae", "unsupported": {}, "tolerance": {}, "tflite": kinds}
    (tmp_path / layout.MANIFEST).write_text(json.dumps(made))
    with pytest.raises(errors.UserError, match="export.json cannot be read"):
        layout.check_output(tmp_path, "vae", [])


def test_a_manifest_without_an_end_is_one_line(tmp_path):
    (tmp_path / layout.MANIFEST).write_text("[" * 100_000)
    with pytest.raises(errors.UserError, match="export.json cannot be read"):
        layout.read_manifest(tmp_path)


def test_a_tflite_file_whose_parts_are_not_there_is_one_line(tmp_path):
    pytest.importorskip("ai_edge_litert")
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    for number in (0, 9):  # a buffer without data, and one that is not there
        model, builder = schema.ModelT(), flatbuffers.Builder(64)
        model.buffers, entry = [schema.BufferT()], schema.MetadataT()
        entry.name, entry.buffer = "vae_zoo", number
        model.metadata, model.subgraphs = [entry], []
        builder.Finish(model.Pack(builder), b"TFL3")
        (tmp_path / "m.tflite").write_bytes(bytes(builder.Output()))
        with pytest.raises(errors.UserError, match="no readable TFLite file"):
            flatbuffer.read_metadata(tmp_path / "m.tflite", "vae_zoo")
