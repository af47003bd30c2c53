"""The page of a run: self-contained, true to its numbers, without an error in a browser."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from conftest import run_here

import vae_zoo
from vae_zoo import report
from vae_zoo.metrics import codes, latent_space
from vae_zoo.probability import sphere
from vae_zoo.runs import examination, page


@pytest.fixture(scope="module")
def written(trained, data_dir, tmp_path_factory):
    """The page of a trained run and its numbers."""
    output = tmp_path_factory.mktemp("page") / "page.html"
    run_here(
        report.report,
        report.FLAGS,
        f"--run={trained}",
        f"--compare={trained}",
        f"--data_dir={data_dir}",
        f"--output={output}",
        *("--num_images=60", "--num=60", "--ood=shapes"),
    )
    return output, json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))


def test_a_page_asks_no_other_place(written):
    text = written[0].read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(?!data:)", text) and "url(" not in text
    assert "<script" not in text and text.count("<img") >= 6


def test_a_page_s_numbers_are_those_of_the_model(written, trained, data_dir):
    figures = written[1]
    model = vae_zoo.load_run(trained)
    images = vae_zoo.runs.load_splits(trained, data_dir=data_dir).images("test", 60)
    posterior = model.posterior(images)
    aggregate = figures["aggregate_posterior"]
    mean = np.asarray(posterior.mean(), np.float64)
    np.testing.assert_allclose(aggregate["mean"], mean.mean(0), atol=1e-5)
    variance = np.asarray(posterior.variance(), np.float64).mean(0) + mean.var(0)
    np.testing.assert_allclose(aggregate["deviation"], np.sqrt(variance), rtol=1e-4)
    total = figures["elbo"]["mean"] + figures["rate"]["mean"] + figures["distortion"]["mean"]
    assert total == pytest.approx(0, abs=1e-2)
    assert figures["samples"]["real"]["coverage"] > 0.5
    assert list(figures["reports"]) == [str(trained)]  # the same one, compared with itself


def test_a_page_in_a_run_leaves_the_run_s_own_report(trained, data_dir, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    before = (run / "report.json").read_bytes()
    flags = (f"--data_dir={data_dir}", f"--output={run}/../run/report.html", "--num_images=20")
    run_here(report.report, report.FLAGS, f"--run={trained}", *flags, "--num=20")
    assert (run / "report.json").read_bytes() == before
    assert (run / "report_page.json").exists()


def test_a_page_compares_samples_paths_and_other_data(written):
    figures = written[1]
    # Two epochs on digits: samples are far from good, and coloured shapes are told from digits.
    distances = figures["distances"]
    assert "support vector machine" in distances["features"]
    assert distances["samples"]["frechet"]["low"] > distances["real"]["frechet"]["value"]
    assert figures["other"]["dataset"] == "shapes" and figures["other"]["num_images"] == 60
    assert figures["other"]["auroc"]["negative_elbo"] > 0.9
    split = figures["rate_split"]
    parts = [split[k] for k in ("mutual_information", "total_correlation", "dimension_wise_kl")]
    low, high = (sum(part[end] for part in parts) for end in ("low", "high"))
    assert low - 3 < split["rate"] < high + 3  # a sample of each of 60 images
    lengths = figures["geometry"]["lengths"]
    shorter = np.array(lengths["geodesic"]) <= np.array(lengths["straight"]) + 1e-4
    assert shorter.all() and len(figures["geometry"]["singular_values"]) == 4
    text = written[0].read_text(encoding="utf-8")
    for words in ("Frechet distance", "geodesic", "another data set", "total correlation"):
        assert words in text


def test_a_browser_shows_a_page_without_an_error(written):
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs chromium on the PATH")
    shown = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
        + ["--window-size=390,800", "--dump-dom", written[0].as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "<h2>Completeness</h2>" in shown.stdout
    assert "CONSOLE" not in shown.stderr


def test_text_is_escaped_and_odd_numbers_make_no_odd_drawing(tmp_path):
    path = tmp_path / "page.html"
    parts = [
        page.paragraph("<b>&"),
        page.histogram({"one": [1.0, 1.0], "none": [np.nan]}, "c", "u"),
        page.lines({"a": [(1, 2.0)], "b": [(1, float("inf"))]}, "c", "x", "y"),
        page.bars([0.0, float("nan")], "c", "x", "y"),
        page.histogram({"none": [np.nan]}, "nothing", "u"),
    ]
    page.write(path, "<title>", parts)
    text = path.read_text(encoding="utf-8")
    assert "<b>" not in text and "&lt;b&gt;&amp;" in text
    assert "nan" not in text and "inf" not in text and "no finite number" in text


def test_a_linear_probe_reads_what_is_there():
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 4
    mean = rng.normal(size=(400, 6))
    nothing = codes.Codes(None, None, None, mean, np.ones_like(mean))
    assert codes.linear_probe(nothing, labels)["accuracy"] < 0.45
    told = codes.Codes(None, None, None, mean + 10 * np.eye(6)[labels], np.ones_like(mean))
    assert codes.linear_probe(told, labels)["accuracy"] > 0.98


@pytest.mark.parametrize(
    "flag", ["--output=page.txt", "--num=0", "--compare=nothing", "--ood=nothing"]
)
def test_what_makes_no_page_is_refused(flag, trained, data_dir, one_line):
    given = [f"--run={trained}", f"--data_dir={data_dir}", flag]
    line = one_line(report.report, report.FLAGS, given)
    assert flag.partition("=")[2] in line


@pytest.mark.parametrize("name, arguments", [("poincare_vae", {}), ("vae", {"posterior": "iaf"})])
def test_codes_without_a_closed_form_are_moments_of_samples(name, arguments, tiny, batch):
    model = tiny(name, latent_size=3, **arguments)
    found = codes.of_images(model, batch["image"])
    samples = np.asarray(model.posterior(batch["image"]).sample(4000, seed=1))
    error = samples.std(0) / np.sqrt(256)
    assert (np.abs(found.mean - samples.mean(0)) < 5 * error).all()
    np.testing.assert_allclose(found.deviation, samples.std(0), rtol=0.3)
    assert found.mean.std(0).min() > 0  # an image's own


def test_a_sphere_s_aggregate_posterior_has_its_deviation():
    directions = np.random.default_rng(0).normal(size=(4000, 10))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    law = sphere.VonMisesFisher(directions.astype(np.float32), np.full(4000, 5, "f4"))
    mean, deviation = latent_space.moments(law, np.zeros((4000, 2), np.int32))
    given = codes.Codes(None, None, None, np.asarray(mean), np.asarray(deviation))
    np.testing.assert_allclose(codes.aggregate(given)[1], 1 / np.sqrt(10), rtol=0.03)


def test_only_a_standard_prior_is_compared_with_the_aggregate_posterior(tiny, digits):
    given = {"num_images": 20, "num": 20}
    figures = examination.examine(tiny("vae", prior="mixture"), digits, **given).figures
    assert "aggregate_posterior" not in figures and "rate_split" not in figures
