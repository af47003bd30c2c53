"""The samplers for phones: their names, used through the C API that lies under Android's Kotlin."""

import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from export import tflite
from vae_zoo.probability import noise

MOBILE = ROOT / "export" / "mobile"
SAMPLERS = {
    "android": MOBILE / "android/app/src/main/kotlin/zoo/vae/sampler/Sampler.kt",
    "ios": MOBILE / "ios/Sampler/Sampler.swift",
}


@pytest.fixture(scope="module")
def sampled(tiny, tmp_path_factory):
    """A model, and a function that runs a signature of its TFLite file by the C API."""
    model = tiny("conv_vae")
    directory = tmp_path_factory.mktemp("mobile")
    names = ("decode", "sample")
    path = tflite.export_tflite(model, directory, quantize=(), names=names)[tflite.FLOAT32]

    def sample(signature, seed_name, rows):
        np.save(directory / "rows.npy", rows)
        command = [sys.executable, ROOT / "tests" / "litert_c.py", path, signature, seed_name]
        command += [directory / "rows.npy", directory / "result.npz"]
        result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return dict(np.load(directory / "result.npz"))

    return model, sample


def constants(platform):
    """Returns {name: text or number} of the constants in a sampler's source."""
    source = SAMPLERS[platform].read_text(encoding="utf-8")
    found = re.findall(r'(?:const val|static let) (\w+) = (?:"(\w+)"|(\d+))', source)
    return {name.lower(): text or int(number) for name, text, number in found}


@pytest.mark.parametrize("platform", SAMPLERS)
def test_sampler_names_give_keras_images_through_the_c_api(platform, sampled):
    model, sample = sampled
    names = constants(platform)
    rows = noise.rows(7, names["batch"])
    results = sample(names["signature"], names["seed"], rows)
    shape = (names["batch"], names["height"], names["width"], names["channels"])
    image, z = model.sample(rows)
    np.testing.assert_allclose(results[names["image"]].reshape(shape), image, atol=1e-5)
    np.testing.assert_allclose(results["z"].reshape(z.shape), z, atol=1e-5)
    if platform == "android":  # its run by names wants a buffer for each output
        assert set(results) == {names["image"], names["latent"]}
