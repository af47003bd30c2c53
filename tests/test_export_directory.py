"""An export's directory: what lies in it, versions, sizes, what a mistake or a failure leaves."""

import json
import re
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from conftest import ROOT

import export
import vae_zoo
from export import (
    agreement,
    bundle,
    flatbuffer,
    layout,
    nats,
    quality,
    saved_model,
    serving,
    staging,
    tflite,
)


def export_again(tiny, directory, **arguments):
    arguments = {"formats": ("saved_model",), **arguments}
    return export.export_model(tiny("vae"), directory, **arguments)


def tree(directory):
    """Returns the content of every file below a directory."""
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_everything_is_there_and_figures_are_recorded(exported):
    manifest = layout.read_manifest(exported)
    place = exported / manifest["saved_model"]["path"]
    assert place == exported / "saved_model/vae/1" and (place / "saved_model.pb").is_file()
    assert (place / serving.WARMUP).stat().st_size > 0
    assert set(manifest["tflite"]) == {*tflite.FORMATS, tflite.DYNAMIC}
    for kind in tflite.FORMATS:
        figures = manifest["tflite"][kind]
        path = exported / figures["path"]
        assert figures["bytes"] == path.stat().st_size
        assert figures["weight_bytes"] + figures["graph_bytes"] == figures["bytes"]
        assert figures["operators"] and set(figures["latency_ms"]) >= {"decode_1", "decode_16"}
    assert manifest["tflite"]["float32"]["max_difference"] <= 1e-5
    assert not list(exported.glob(".*"))  # nothing half-written


def test_metadata_names_the_classes(exported):
    path = exported / "tflite/vae-float32.tflite"
    metadata = json.loads(flatbuffer.read_metadata(path, tflite.METADATA))
    assert metadata["label_names"] == [str(digit) for digit in range(10)]
    assert metadata["latent_size"] == 4
    assert layout.read_manifest(exported)["label_names"] == metadata["label_names"]
    assert "0 is 0, 1 is 1, 2 is 2" in (exported / "README.md").read_text()


def test_readme_has_a_curl_line_of_the_right_shape_for_each_signature(exported):
    text = (exported / "README.md").read_text()
    described = saved_model.read_signatures(exported / "saved_model/vae/1")
    for name, signature in described.items():
        command = re.search(rf"### {name}: .*?```bash\n(.*?)```", text, re.DOTALL).group(1)
        if command.startswith("curl"):
            body = command.split("-d '")[1].rstrip().rstrip("'")
        else:
            script = command.split("|")[0]
            body = subprocess.run(script, shell=True, capture_output=True, text=True).stdout
        body = json.loads(body)
        assert body["signature_name"] == name
        for key, tensor in signature["inputs"].items():
            assert list(np.shape(body["instances"][0][key])) == tensor["shape"][1:]


def test_readme_calls_the_files_from_python(exported, trained, tmp_path):
    text = (exported / "README.md").read_text()
    scripts = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(scripts) == 2
    expected = vae_zoo.load_run(trained).generate(np.int32([[7, 0]]))
    for script in scripts:
        program = f"{script}\nimport numpy\nnumpy.save(r'{tmp_path}/image.npy', image)"
        subprocess.run([sys.executable, "-c", program], cwd=exported, check=True)
        np.testing.assert_allclose(np.load(tmp_path / "image.npy"), expected, atol=1e-5)


def test_configurations_are_what_tf_serving_reads(exported):
    models, batching, monitoring = serving.read_configuration(exported)
    assert models.model_config_list.config[0].base_path == "/models/vae"
    assert list(batching.allowed_batch_sizes) == [1, 2, 4, 8, 16, 32, 64]
    assert batching.max_batch_size.value == 64 and monitoring.prometheus_config.enable
    with pytest.raises(Exception, match="no field named"):
        serving.protofile.parse_text("max_batchsize { value: 3 }", type(batching)())


def test_quantised_files_are_small_close_and_keep_the_sampler(exported):
    files = layout.read_manifest(exported)["tflite"]
    weights = {kind: figures["weight_bytes"] for kind, figures in files.items()}
    assert weights["float16"] <= 0.52 * weights["float32"]
    for kind in ("float16", "int8"):
        assert files[kind]["z_max_difference"] <= 1e-5
        assert files[kind]["psnr_db"] >= tflite.LEAST_PSNR_DB[kind]
    assert set(files["full_int8"]["signatures"]) == {"decode_1", "decode_16"}
    assert files["full_int8"]["psnr_db"] >= tflite.LEAST_PSNR_DB["full_int8"]


def test_conv_vae_weights_take_the_share_that_their_bits_do(tmp_path):
    model = vae_zoo.create_model("conv_vae", image_shape=(28, 28, 1))
    names = ("decode", "sample")
    paths = tflite.export_tflite(model, tmp_path, names=names)
    weights = {kind: flatbuffer.read(path).weight_bytes for kind, path in paths.items()}
    assert weights["float16"] <= 0.52 * weights["float32"]
    assert weights["int8"] <= 0.30 * weights["float32"]
    place = saved_model.export_saved_model(model, tmp_path / "conv_vae")
    parameters = sum(weight.numpy().nbytes for weight in model.weights)
    assert saved_model.variable_bytes(place) <= 1.2 * parameters


def test_dynamic_batch_takes_any_batch(exported, trained):
    model = vae_zoo.load_run(trained)
    seed = vae_zoo.noise.rows(7, 5)
    path = exported / "tflite/vae-dynamic-float32.tflite"
    outputs = Interpreter(model_path=str(path)).get_signature_runner("sample")(seed=seed)
    np.testing.assert_allclose(outputs["image"], model.generate(seed), atol=1e-5)


def test_what_quantisation_costs_is_paired_and_small(exported, trained, data_dir):
    model = vae_zoo.load_run(trained)
    splits = vae_zoo.runs.load_splits(trained, data_dir=data_dir)
    paths = {kind: exported / f"tflite/vae-{kind}.tflite" for kind in ("float32", "int8")}
    figures = nats.measure_nats(model, paths, splits, num_images=16, num_samples=10)
    assert figures["float32"]["nll_minus_float32"] == 0
    assert 0 < abs(figures["int8"]["nll_minus_float32"]) < 0.5
    image = {"image": splits.images("test", 16)}
    terms = [model.terms(image, num_samples=100, seed=(0, i)) for i in range(3)]
    keras_elbo = np.mean([vae_zoo.probability.elbo.elbo(each) for each in terms])
    assert abs(figures["float32"]["elbo"] - keras_elbo) < 2  # nats; 10 samples against 300


def test_a_second_export_is_the_next_version_and_a_failed_one_nothing(tiny, tmp_path, monkeypatch):
    directory = tmp_path / "deep" / "export"

    def full(*args):
        raise OSError(28, "No space left on device", "warmup")

    with monkeypatch.context() as patch:
        patch.setattr(serving, "write_warmup", full)
        with pytest.raises(OSError, match="No space left"):
            export_again(tiny, directory)
        assert not (tmp_path / "deep").exists()
    assert export_again(tiny, directory)["saved_model"]["version"] == 1
    before = tree(directory)
    with monkeypatch.context() as patch:
        patch.setattr(bundle, "_record", full)
        with pytest.raises(OSError, match="No space left"):
            export_again(tiny, directory)
        assert tree(directory) == before
    assert export_again(tiny, directory)["saved_model"]["version"] == 2
    assert {path.name for path in (directory / "saved_model/vae").iterdir()} == {"1", "2"}
    with pytest.raises(vae_zoo.UserError, match="holds the export of vae, not of other"):
        export_again(tiny, directory, name="other")
    with pytest.raises(vae_zoo.UserError, match="Expected a new version"):
        saved_model.export_saved_model(tiny("vae"), directory / "saved_model/vae", version=2)


class Overflowing(vae_zoo.VAE):
    """Its images come of log(1 + exp(x)), which LiteRT computes as it stands here."""

    def likelihood(self, z, label=None):
        likelihood = super().likelihood(z, label)
        likelihood.mean = lambda: self.squashed(likelihood.distribution.logits)
        return likelihood

    def squashed(self, logits):
        return tf.nn.softplus(1000 * logits) - tf.nn.softplus(1000 * logits - 1)


@pytest.mark.parametrize("formats", [("saved_model", "tflite"), ("tflite",)])
def test_a_file_that_is_far_from_keras_is_no_export(formats, tiny, tmp_path):
    options = {"formats": formats, "name": "vae", "quantize": ()}
    export_again(tiny, tmp_path / "export", **options)
    before = tree(tmp_path / "export")
    model = Overflowing((28, 28, 1), 3, hidden=(16,))
    with pytest.raises(vae_zoo.UserError, match="tflite/vae-float32.tflite does not give"):
        export.export_model(model, tmp_path / "export", **options)
    assert tree(tmp_path / "export") == before


def test_a_quantised_file_below_its_limit_is_no_export(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(tflite.LEAST_PSNR_DB, "int8", 1000.0)
    with pytest.raises(vae_zoo.UserError, match="vae-int8.tflite .* PSNR of .* Leave this format"):
        export_again(tiny, tmp_path / "export", formats=("tflite",), quantize=("int8",))
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize(
    "packages, flag, words",
    [
        (["ai_edge_litert"], [], "ai-edge-litert .*'vae_zoo.export.', or take --formats=saved_mod"),
        (["tensorflow_serving"], ["--formats=saved_model"], "-serving-api .*'vae_zoo.serving.'.$"),
        (["ai_edge_quantizer", "tensorflow_serving"], [], "pip install 'vae_zoo.serving,export.'"),
    ],
)
def test_missing_extras_are_told_before_tensorflow_is_imported(
    packages, flag, words, command, trained, tmp_path
):
    hidden = ["tensorflow", *packages]
    program = f"import sys; sys.modules.update(dict.fromkeys({hidden}))"
    (tmp_path / "sitecustomize.py").write_text(program)
    paths = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    given = [f"--run={trained}", f"--output_dir={tmp_path / 'new'}", *flag]
    done = command("export", *given, env=paths)
    assert done.returncode == 2 and re.search(words, done.stderr.strip()), done.stderr
    assert done.stderr.count("\n") == 1 and not (tmp_path / "new").exists()


def test_saved_model_alone_needs_nothing_of_tflite(tiny, tmp_path, monkeypatch):
    for package in ("ai_edge_litert", "ai_edge_quantizer"):
        monkeypatch.setitem(sys.modules, package, None)
    assert export_again(tiny, tmp_path / "export")["saved_model"]["version"] == 1


def test_what_a_killed_export_left_is_removed_and_what_runs_is_kept(tmp_path):
    killed = tmp_path / ".export-killed"
    (killed / "tflite").mkdir(parents=True)
    with staging.folder(tmp_path, ".export-") as running:
        assert not killed.exists()
        with staging.folder(tmp_path, ".export-") as other:
            assert running.is_dir() and other.is_dir()
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_run_is_no_export(tmp_path):
    (tmp_path / "vae-int8.tflite").write_bytes(b"TFL3")
    with pytest.raises(vae_zoo.UserError, match="vae-int8.tflite cannot be run .* of --quantize"):
        quality._runners(tmp_path / "vae-int8.tflite", [])


def mistakes(run, exported, directory):
    """Flags of the command that nothing can come of, and what the one line must say."""
    (directory / "foreign").mkdir()
    (directory / "foreign" / "thesis.tex").write_text("do not delete")
    (directory / "file").write_text("")
    unfinished = directory / "unfinished"
    unfinished.mkdir()
    shutil.copy(run / "config.json", unfinished)
    plain = shutil.copytree(unfinished, directory / "plain")
    keras.Sequential([keras.layers.Input([3]), keras.layers.Dense(1)]).save(plain / "model.keras")
    given, new = f"--run={run}", f"--output_dir={directory / 'new'}"
    there = f"--output_dir={exported}"
    return [
        ([given, there, "--formats=saved_model"], "would not renew"),
        ([given, there, "--formats=tflite", "--quantize=none"], "saved_model, float16, int8"),
        ([f"--run={run / 'model.keras'}", new], "is not a run"),
        ([given, new, "--quantize=none,int8"], "Unknown quantised format 'none'"),
        ([given, new, "--formats=saved_model", "--quality"], "expected tflite in --formats"),
        ([given, new, "--name="], "no name for a served model"),
        ([new], "--run is missing"),
        ([given], "--output_dir is missing"),
        ([f"--run={directory / 'nowhere'}", new], "is not a run"),
        ([f"--run={unfinished}", new], "has not finished"),
        ([f"--run={plain}", new], "holds a model sequential"),
        ([given, new, "--formats=onnx"], "Unknown format 'onnx'"),
        ([given, new, "--formats="], "no format"),
        ([given, new, "--quantize=int4"], "Did you mean 'int8'"),
        ([given, new, "--max_batch_size=0"], "max_batch_size=0"),
        ([given, new, "--name=a/b"], "no name for a served model"),
        ([given, new, "--formats=tflite", "--tflite_signatures=decoder"], "Did you mean 'decode'"),
        ([given, new, "--formats=tflite", "--tflite_signatures=encode"], "decode or sample"),
        ([given, f"--output_dir={directory / 'foreign'}"], "is not an export"),
        ([given, f"--output_dir={directory / 'file'}"], "is a file"),
        ([given, f"--output_dir={directory / 'file' / 'below'}"], "cannot be written"),
    ]


def test_mistakes_get_one_line_and_leave_nothing(trained, exported, tmp_path, one_line):
    from export import __main__ as main

    before = tree(exported)
    for given, words in mistakes(trained, exported, tmp_path):
        assert words in one_line(main.export_run, main.FLAGS, given), given
    assert tree(exported) == before
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "foreign" / "thesis.tex").read_text() == "do not delete"


def test_a_full_disk_gets_one_line(trained, tmp_path, one_line, monkeypatch):
    from export import __main__ as main

    def full(*args, **kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(saved_model, "write_archive", full)
    given = [f"--run={trained}", f"--output_dir={tmp_path / 'new'}"]
    for formats in bundle.DEFAULT_FORMATS:
        line = one_line(main.export_run, main.FLAGS, [*given, f"--formats={formats}"])
        assert "no space left" in line
    assert not list(tmp_path.iterdir())


def test_differences_are_told_for_each_row():
    expected = {"image": np.zeros([2, 3]), "elbo": np.array([-500.0, 1.0])}
    outputs = {"image": np.array([[0, 0, 1e-3], [0, 0, 0]]), "elbo": np.array([-501.0, np.nan])}
    differences = agreement.row_differences(outputs, expected)
    np.testing.assert_allclose(differences, [2e-3, np.inf])
    assert agreement.agrees(differences, agreement.Tolerance(difference=0.01, rows=0.5))
    assert not agreement.agrees(differences, agreement.Tolerance(difference=0.01))


def test_latents_of_a_prior_s_network_may_differ_in_quantised_files_alone(tiny):
    flow, plain = tiny("vae", prior="realnvp"), tiny("vae")
    assert agreement.tolerance(plain).quantized_latents is None
    allowed = agreement.tolerance(flow)
    assert allowed.quantized_latents == 0.2 and allowed.difference == 1e-5
