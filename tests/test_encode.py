"""The command that encodes the user's own pictures: latents, formats, resuming, mistakes."""

import csv
import zipfile

import numpy as np
import pytest
from conftest import run_here
from PIL import Image

import vae_zoo
from vae_zoo import encode, errors
from vae_zoo.datasets import arrays, fitting, listed, policies
from vae_zoo.metrics import encodings


@pytest.fixture(scope="module")
def raw(digits):
    """Thirty 8-bit digits and their classes."""
    return digits.raw("test")[:30], digits.labels("test")[:30]


@pytest.fixture(scope="module")
def pictures(raw, tmp_path_factory):
    """The digits as a folder of class folders."""
    root = tmp_path_factory.mktemp("pictures")
    for i, (image, label) in enumerate(zip(*raw, strict=True)):
        (root / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(root / str(label) / f"{i:02}.png")
    return root


@pytest.fixture(scope="module")
def latents(trained, pictures, command, tmp_path_factory):
    """What a real process writes of the folder."""
    output = tmp_path_factory.mktemp("latents") / "latents.npz"
    flags = (f"--run={trained}", f"--images={pictures}", f"--output={output}", "--seed=5")
    command("vae_zoo.encode", *flags, check=True)
    return output


def run(*given):
    run_here(encode.encode, encode.FLAGS, *given)


def test_latents_are_the_posteriors_of_the_model(trained, raw, latents):
    with np.load(latents) as found:
        assert found.files == ["name", "label", "mean", "stddev"]
        order = np.array([int(file.split("/")[1].split(".")[0]) for file in found["name"]])
        assert [int(label) for label in found["label"]] == raw[1][order].tolist()
        mean, stddev = found["mean"], found["stddev"]
    image = raw[0][order]
    keys = listed.pixel_keys(image).astype(np.int64) & 0xFFFFFFFF
    posterior = vae_zoo.load_run(trained).posterior(policies.drawn_by_row(image, keys, 5, 3))
    np.testing.assert_allclose(mean, posterior.mean(), atol=1e-5)
    np.testing.assert_allclose(stddev, posterior.stddev(), atol=1e-5)


def test_a_table_holds_the_same_numbers(trained, pictures, latents, tmp_path):
    output = tmp_path / "latents.csv"
    run(f"--run={trained}", f"--images={pictures}", f"--output={output}", "--seed=5")
    with open(output, newline="") as file:
        rows = list(csv.DictReader(file))
    with np.load(latents) as found:
        assert [row["name"] for row in rows] == found["name"].tolist()
        assert [row["label"] for row in rows] == found["label"].tolist()
        for name in ("mean", "stddev"):
            table = [[float(row[f"{name}_{i}"]) for i in range(4)] for row in rows]
            np.testing.assert_allclose(table, found[name], rtol=1e-6)


@pytest.mark.parametrize("form", ["zip", "npz", "npy"])
def test_every_form_of_the_same_images_gives_the_same_latents(
    form, trained, raw, pictures, latents, tmp_path
):
    path = tmp_path / f"images.{form}"
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in pictures.rglob("*.png"):
                archive.write(file, file.relative_to(pictures))
    elif form == "npz":
        np.savez(path, image=raw[0], label=raw[1])
    else:
        np.save(path, raw[0])
    output = tmp_path / "latents.npz"
    run(f"--run={trained}", f"--images={path}", f"--output={output}", "--seed=5")
    with np.load(latents) as ours, np.load(output) as theirs:
        order = slice(None)
        if form != "zip":  # the rows of an array are in its own order
            order = [int(file.split("/")[1].split(".")[0]) for file in ours["name"]]
        np.testing.assert_allclose(theirs["mean"][order], ours["mean"], atol=1e-5)
        assert ("label" in theirs.files) == (form != "npy")


def test_one_picture_is_enough(trained, pictures, latents, tmp_path):
    with np.load(latents) as ours:
        first, mean = ours["name"][0], ours["mean"][0]
    output = tmp_path / "one.npz"
    flags = (f"--images={pictures / first}", f"--output={output}", "--seed=5")
    run(f"--run={trained}", *flags)
    with np.load(output) as found:
        np.testing.assert_allclose(found["mean"], [mean], atol=1e-5)


def test_an_interrupted_run_goes_on_to_the_same_bytes(trained, pictures, tmp_path, monkeypatch):
    flags = (f"--run={trained}", f"--images={pictures}", "--batch_size=7")
    run(*flags, f"--output={tmp_path / 'whole.npz'}")
    call, calls = encodings.Encoder.__call__, []

    def stopped(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return call(*arguments)

    monkeypatch.setattr(encodings.Encoder, "__call__", stopped)
    with pytest.raises(SystemExit):
        run(*flags, f"--output={tmp_path / 'parts.npz'}")
    run(*flags, f"--output={tmp_path / 'parts.npz'}")
    assert (tmp_path / "parts.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert len(calls) == 6  # five blocks, the third one twice


def test_bytes_of_a_npy_file_stay_on_disk(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((3, 4, 4, 1), np.uint8))
    pixels, labels, _ = arrays.read_rows(tmp_path / "images.npy")
    assert isinstance(pixels, np.memmap) and pixels.shape == (3, 4, 4, 1) and labels is None


def test_ones_of_an_array_are_ink(tmp_path):
    np.save(tmp_path / "images.npy", np.eye(4, dtype=np.uint8)[np.newaxis])
    treatment = listed.Treatment((4, 4, 1), None, "static")
    image = listed.open_images(str(tmp_path / "images.npy"), treatment).read([0]).image
    np.testing.assert_array_equal(image[0, ..., 0], np.eye(4))


def test_ones_of_a_file_are_ink_of_a_binary_model(tmp_path):
    Image.fromarray(np.eye(4, dtype=np.uint8)).save(tmp_path / "mask.png")
    for policy, ink in (("static", 1.0), ("none", 1 / 255)):
        treatment = listed.Treatment((4, 4, 1), None, policy)
        image = listed.open_images(str(tmp_path), treatment).read([0]).image
        np.testing.assert_allclose(image[0, ..., 0], ink * np.eye(4), rtol=1e-6)


def test_a_suffix_in_capitals_is_written_too(trained, pictures, tmp_path):
    flags = (f"--run={trained}", f"--images={pictures}", f"--output={tmp_path / 'A.NPZ'}")
    run_here(encode.encode, encode.FLAGS, *flags)
    assert [path.name for path in tmp_path.iterdir()] == ["A.NPZ"]
    assert len(np.load(tmp_path / "A.NPZ")["mean"]) == 30


def test_images_are_fitted_as_in_training(tmp_path):
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, 10:30] = (0, 255, 0)  # the central square, which is all that is kept
    fit = fitting.Fit("pictures", (8, 8), None, 1, invert=True)
    np.testing.assert_array_equal(fit(pixels), np.full((8, 8, 1), 255 - 150))


# What has no mean and deviation.


def encoded(model, batch):
    encoder = encodings.Encoder(model, batch_size=4)
    image, key = batch["image"], np.arange(8, dtype=np.int32)
    parts = [encoder(image[i : i + 3], key[i : i + 3]) for i in (0, 3, 6)]
    return np.concatenate(parts), encoder


def test_a_hierarchy_gives_its_top_layer_and_says_so(tiny, batch):
    model = tiny("hvae")
    values, encoder = encoded(model, batch)
    np.testing.assert_allclose(
        values[:, : model.latent_size], model.posterior(batch["image"]).mean(), atol=1e-5
    )
    assert "top layer" in encoder.notes[0]


def test_a_codebook_gives_its_codes(tiny, batch):
    model = tiny("vq_vae")
    values, encoder = encoded(model, batch)
    assert encoder.sizes == {"code": 49}
    codes = model.choose(model.features(batch["image"])).codes
    np.testing.assert_array_equal(values, codes)


def test_a_flow_gives_moments_of_samples(tiny, batch):
    model = tiny("vae", posterior="iaf", latent_size=3)
    values, encoder = encoded(model, batch)
    samples = np.asarray(model.posterior(batch["image"]).sample(4000, seed=1))
    error = samples.std(0) / np.sqrt(256)
    assert (np.abs(values[:, :3] - samples.mean(0)) < 5 * error).all()
    np.testing.assert_allclose(values[:, 3:], samples.std(0), rtol=0.3)
    assert "samples" in encoder.notes[0]


def test_diffusion_is_refused(tiny):
    with pytest.raises(errors.UserError, match="fixed and not learned"):
        encodings.Encoder(tiny("vdm"))


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--images=/no/such"], "no such folder"),
        (["--images=FILE"], "unknown kind"),
        (["--images=IMAGES", "--output=latents.json"], "ends in .npz or .csv"),
        (["--images=IMAGES", "--seed=-4294967296"], "int32"),
        (["--images=IMAGES", "--run=/no/such"], "is not a run"),
        (["--images=IMAGES", "--run="], "--run is missing"),
        (["--images=IMAGES", "--run=UNFINISHED"], "its training has not finished"),
        (["--images=ARRAY", "--output=ARRAY"], "is the images"),
    ],
)
def test_mistakes_end_with_one_line(flags, words, trained, pictures, tmp_path, one_line):
    names = {"FILE": tmp_path / "notes.txt", "ARRAY": tmp_path / "images.npz"}
    for path in names.values():
        path.write_text("no image")
    (tmp_path / "config.json").write_bytes((trained / "config.json").read_bytes())
    names |= {"IMAGES": pictures, "UNFINISHED": tmp_path}
    for name, path in names.items():
        flags = [flag.replace(name, str(path)) for flag in flags]
    given = [f"--run={trained}", f"--output={tmp_path / 'a.npz'}", *flags]
    assert words in one_line(encode.encode, encode.FLAGS, given)
