"""The command that draws: pixels, the user's pictures, names of files, mistakes."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import vae_zoo
from vae_zoo import cli, noise, runs, sample
from vae_zoo.probability import diffusion, likelihoods


@pytest.fixture(scope="module")
def conditional(trained, tiny, tmp_path_factory):
    """A run of an untrained cvae of ten classes."""
    directory = tmp_path_factory.mktemp("runs") / "cvae"
    directory.mkdir()
    model = tiny("cvae")
    runs.save_model(model, directory / runs.MODEL)
    config = json.loads((trained / runs.CONFIG).read_text())
    config |= {"model": "cvae", "arguments": model.get_config()}
    runs.write_json(directory / runs.CONFIG, config)
    return directory


def run(*given):
    """Runs the command in this process."""
    for flag in sample.FLAGS:
        sample.FLAGS[flag].unparse()
    cli.run(sample.sample, sample.FLAGS, ["sample", *map(str, given)])


def pixels_of(name, copies=1, **arguments):
    """Returns a likelihood over one row of four pixels, batch [copies]."""
    if name == "quantized":
        location = tf.repeat([[[[-1.0], [-0.3], [0.2], [0.99]]]], copies, axis=0)
        return diffusion.tfd.Independent(diffusion.QuantizedPixel(location, 0.01), 3)
    part = likelihoods.build(name, (1, 4, 1), **arguments)
    parameters = np.random.default_rng(0).normal(size=(1, 1, 4, part.outputs))
    return part.distribution(np.repeat(parameters.astype(np.float32), copies, axis=0))


MIXTURE = {"scale": "pixel", "mixture_components": 3}


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("bernoulli", {}),
        ("discretized_logistic", {}),
        ("discretized_logistic", MIXTURE),
        ("quantized", {}),
    ],
)
def test_drawn_pixels_have_the_likelihoods_frequencies(name, arguments):
    likelihood = pixels_of(name, **arguments)
    seeds = noise.rows(0, 20_000)
    drawn = np.asarray(likelihoods.draw(likelihood, seeds))[:, 0, :, 0]  # [N, 4]
    levels = np.array([0, 1]) if name == "bernoulli" else np.arange(256) / 255
    pixels = np.tile(levels.astype(np.float32)[:, None, None, None], (1, 1, 4, 1))
    log_prob = pixels_of(name, len(levels), **arguments).distribution.log_prob(pixels)
    probability = np.exp(np.asarray(log_prob))[:, 0, :, 0]  # [levels, 4]
    counts = (drawn[None] == levels[:, None, None].astype(np.float32)).mean(1)
    assert counts.sum(0) == pytest.approx(1)
    error = np.sqrt(probability * (1 - probability) / len(drawn))
    assert (np.abs(counts - probability) < 5 * error + 2e-4).all()
    few = np.asarray(likelihoods.draw(likelihood, seeds[7:9]))[:, 0, :, 0]
    np.testing.assert_array_equal(few, drawn[7:9])  # an image is a function of its row


@pytest.mark.parametrize("name", ["normal", "continuous_bernoulli"])
def test_pixels_drawn_of_a_density_have_its_centre(name):
    likelihood = pixels_of(name)
    drawn = np.asarray(likelihoods.draw(likelihood, noise.rows(0, 20_000)))
    assert 0 <= drawn.min() and drawn.max() <= 1
    assert len(np.unique(drawn)) > 10_000
    centre = np.median(drawn, 0) if name == "normal" else drawn.mean(0)  # its tails are clipped
    np.testing.assert_allclose(centre, likelihood.mean()[0], atol=0.01)


@pytest.mark.parametrize("name", ["vae", "ladder_vae", "vq_vae", "vdm"])
def test_every_kind_of_model_draws_pixels(name, tiny):
    model, seeds = tiny(name), noise.rows(0, 3)
    likelihood, z = model.sample_likelihood(seeds)
    mean, again = model.sample(seeds)
    np.testing.assert_allclose(likelihood.mean(), mean, atol=1e-5)
    np.testing.assert_allclose(z, again, atol=1e-5)
    assert set(np.unique(likelihoods.draw(likelihood, seeds))) == {0, 1}


def test_the_command_draws_pixels_and_says_so(trained, tmp_path, capsys):
    output = tmp_path / "a.npz"
    flags = (f"--run={trained}", "--num=3", "--format=npz", f"--output={output}")
    run(*flags, "--draw=pixels")
    assert "drawn from the likelihood" in capsys.readouterr().out
    assert set(np.unique(np.load(output)["image"])) == {0, 1}
    run(*flags)
    assert "the means of the likelihood" in capsys.readouterr().out
    assert len(np.unique(np.load(output)["image"])) > 100


def test_many_images_are_drawn_in_batches(trained, tmp_path):
    output = tmp_path / "a.npz"
    run(f"--run={trained}", "--num=300", "--format=npz", f"--output={output}")
    found = np.load(output)
    assert len(found["image"]) == len(found["z"]) == 300
    ours = vae_zoo.load_run(trained).generate(noise.rows(0, 4, start=255))
    np.testing.assert_allclose(found["image"][255:259], ours, atol=1e-6)


def test_files_are_named_by_seed_class_and_kind(conditional):
    for flags, name in {
        ("--label=7",): "samples-seed0-label7.png",
        ("--draw=pixels", "--seed=2"): "samples-seed2-pixels.png",
        ("--interpolate", "--label=1"): "interpolate-seed0-label1.png",
    }.items():
        run(f"--run={conditional}", "--num=10", *flags)
        with Image.open(conditional / name) as picture:
            assert picture.format == "PNG"


def test_the_users_pictures_are_reconstructed(conditional, digits, tmp_path):
    for i, image in enumerate(digits.raw("test")[:3]):
        (tmp_path / "pictures" / str(i)).mkdir(parents=True)
        Image.fromarray(image[..., 0]).save(tmp_path / "pictures" / str(i) / "one.png")
    output = tmp_path / "again.npz"
    flags = ("--reconstruct", f"--images={tmp_path / 'pictures'}", "--format=npz")
    run(f"--run={conditional}", *flags, f"--output={output}")
    found = np.load(output)
    model = vae_zoo.load_run(conditional)
    ours = model.reconstruct(found["image"], np.arange(3, dtype=np.int32))
    assert found["image"].shape == (3, 28, 28, 1)
    np.testing.assert_allclose(found["reconstruction"], ours, atol=1e-6)


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--num=1000000000"], "at most 2,500 images. --format=npz takes more"),
        (["--num=1000000000", "--format=npz"], "at most 342,392 images"),
        (["--num=0"], "at least 1"),
        (["--images=/tmp"], "goes with --reconstruct"),
        (["--reconstruct", "--images=/no/such"], "no such folder"),
        (["--reconstruct", "--draw=pixels"], "draws means"),
        (["--output=/no/such/a.png"], "cannot be written"),
        (["--output=a.jpg"], "ends in .png"),
        (["--seed=4294967296"], "int32"),
        (["--label=3"], "not conditional"),
    ],
)
def test_mistakes_end_with_one_line(flags, words, trained, one_line):
    assert words in one_line(sample.sample, sample.FLAGS, [f"--run={trained}", *flags])
