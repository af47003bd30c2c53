"""python -m export.verify: what holds passes, and each way of being wrong is found."""

import json
import shutil
import sys

import numpy as np
import pytest
import serving_stub
import tensorflow as tf

import vae_zoo
from export import (
    checks,
    client,
    flatbuffer,
    layout,
    saved_model,
    server_check,
    serving,
    signatures,
    verify,
)
from vae_zoo import cli

VERSION = "saved_model/vae/1"


@pytest.fixture
def copy(exported, tmp_path):
    """A copy of the export, to be damaged."""
    return shutil.copytree(exported, tmp_path / "export")


@pytest.fixture(scope="module")
def stub(exported):
    """The stub server with the export loaded: (model, REST address, gRPC address)."""
    model, rest, server, port = serving_stub.serve("vae", exported / "saved_model/vae")
    yield model, f"127.0.0.1:{rest.server_port}", f"127.0.0.1:{port}"
    rest.shutdown()
    rest.server_close()
    server.stop(None)


def test_an_export_holds_a_line_for_each_check(exported, command):
    path = {"PATH": "/usr/bin:/bin"}  # no server there
    done = command("export.verify", f"--export_dir={exported}", env=path)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split(": ")[1] for line in lines[:-1]] == ["ok"] * 10
    assert lines[-1] == "server: not run: no tensorflow_model_server here"
    assert "batch 1, 3 and 64" in lines[0] and "batch 1, 3 and 64" in lines[1]


def test_a_module_that_tracks_keras_variables_is_rejected(copy, trained):
    """It loads in Python with no difference, and in no C++ loader."""
    model = vae_zoo.load_run(trained)
    module = tf.Module()
    module.model = model
    module.functions = {
        name: tf.function(signature.function, input_signature=signatures.input_specs(signature))
        for name, signature in signatures.signatures(model).items()
    }
    named = {**module.functions, serving.DEFAULT: module.functions["decode"]}
    shutil.rmtree(copy / VERSION / "variables")
    concrete = {name: function.get_concrete_function() for name, function in named.items()}
    tf.saved_model.save(module, str(copy / VERSION), signatures=concrete)
    seed = tf.constant([[7, 0]])
    loaded = tf.saved_model.load(str(copy / VERSION)).signatures["sample"](seed=seed)
    np.testing.assert_allclose(loaded["image"], model.sample(seed)[0], atol=1e-5)
    export = checks.read(copy)
    for how in ("v1", "c_api"):
        with pytest.raises(checks.Failed, match="Could not find variable"):
            checks.loads(export, how)


def test_other_weights_fail_with_the_reason(copy, capsys, tiny):
    shutil.rmtree(copy / VERSION)
    model = tiny("vae", hidden=(32,), latent_size=4)
    saved_model.export_saved_model(model, copy / "saved_model/vae", version=1)
    with pytest.raises(SystemExit) as stop:
        cli.run(verify.verify, verify.FLAGS, ["verify", f"--export_dir={copy}"])
    lines = capsys.readouterr().out.splitlines()
    assert stop.value.code == 1
    assert lines[0].startswith("SavedModel by the v1 loader: FAILED: ")
    assert "from the recorded outputs, beyond 1.0e-05" in lines[0]
    assert lines[4].startswith("configurations: ok")


def test_a_changed_tflite_file_fails(copy):
    """A valid file with other weights, and a manifest that admits it."""
    path = copy / "tflite/vae-float32.tflite"
    content = bytearray(path.read_bytes())
    place = _largest_buffer(path)
    content[place : place + 400] = np.full(100, 0.25, np.float32).tobytes()
    path.write_bytes(content)
    with pytest.raises(vae_zoo.UserError, match="is not the file that was exported"):
        checks.read(copy)
    manifest = layout.read_manifest(copy)
    manifest["tflite"]["float32"]["sha256"] = flatbuffer.read(path).sha256
    (copy / layout.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(checks.Failed, match="from the recorded outputs"):
        checks.tflite_file(checks.read(copy), "float32")


def _largest_buffer(path):
    """Returns where the largest constant of a TFLite file begins."""
    from ai_edge_litert import schema_py_generated as schema

    content = path.read_bytes()
    buffers = schema.ModelT.InitFromPackedBuf(content, 0).buffers
    largest = max((b.data for b in buffers if b.data is not None), key=len)
    return content.index(np.asarray(largest, np.uint8).tobytes())


def test_lost_records_and_bad_configurations_fail(copy):
    export = checks.read(copy)
    (copy / "batching.config").write_text("max_batch_size { value: 8 }\nallowed_batch_sizes: 4")
    with pytest.raises(checks.Failed, match="allowed_batch_sizes"):
        checks.configuration(export)
    (copy / "models.config").write_text("model_config_list { konfig { } }")
    with pytest.raises(checks.Failed, match="konfig"):
        checks.configuration(export)
    records = copy / VERSION / serving.WARMUP
    records.write_bytes(records.read_bytes()[:1000])
    with pytest.raises(checks.Failed, match="cannot be read"):
        checks.warmup(export)
    records.write_bytes(b"")
    with pytest.raises(checks.Failed, match="decode at batch 1 is not among the records"):
        checks.warmup(export)


@tf.function(input_signature=[tf.TensorSpec([2], tf.int32, name="seed")], autograph=False)
def one_image(seed):
    """What batching cannot serve: a seed without a batch dimension."""
    return {"image": tf.zeros([28, 28, 1]) + tf.cast(seed[0], tf.float32)}


def test_signatures_that_are_missing_or_have_no_batch_fail(copy):
    export = checks.read(copy)
    module = tf.Module()
    module.sample = one_image
    tf.saved_model.save(module, str(copy / VERSION), signatures={"sample": module.sample})
    with pytest.raises(checks.Failed, match="leading batch dimension"):
        checks.rest_rules(export)
    with pytest.raises(checks.Failed, match="no signature decode"):
        checks.loads(export, "v1")


def test_each_check_gets_its_line_whatever_is_damaged(copy):
    """Also where what reads a file raises an error of its own."""
    (copy / VERSION / "saved_model.pb").write_bytes(b"\xff\xfe damaged")
    (copy / "models.config").write_bytes(b"\xff")
    (copy / VERSION / serving.WARMUP).write_bytes(b"")
    results = {each.check: each for each in verify.verify_export(copy)}
    failed = {name for name, each in results.items() if each.status == verify.FAILED}
    assert {"warm-up records", "REST shape rules", "configurations"} <= failed
    assert len(results) == 11 and results["TFLite int8"].status == verify.OK
    assert not any("\n" in each.detail for each in results.values())


def damages(directory):
    """What is done to an export, and what the one line must say."""
    tflite = directory / "tflite/vae-int8.tflite"
    return [
        (tflite.write_bytes, tflite.read_bytes()[:5000], "corrupt"),
        (tflite.write_bytes, b"not a flatbuffer", "is no readable TFLite file"),
        (tflite.unlink, None, "cannot be read"),
        ((directory / "recorded.npz").write_bytes, b"PK", "recorded.npz cannot be read"),
        ((directory / "export.json").write_text, "{", "export.json cannot be read"),
        (
            (directory / "export.json").write_text,
            '{"name": "vae", "unsupported": {}, "tolerance": {"x": 1}}',
            "export.json cannot be read (TypeError",
        ),
        ((directory / "export.json").unlink, None, "is not an export"),
    ]


def test_corrupt_files_get_one_line_and_exit_code_two(copy, one_line):
    for damage, value, words in damages(copy):
        damage() if value is None else damage(value)
        given = [f"--export_dir={copy}"]
        assert words in one_line(verify.verify, verify.FLAGS, given), words
    assert "--export_dir is missing" in one_line(verify.verify, verify.FLAGS, [])
    shutil.rmtree(copy)
    assert "is not an export" in one_line(verify.verify, verify.FLAGS, given)


def test_many_clients_get_the_recorded_outputs_from_the_stub(exported, stub):
    model, rest, grpc = stub
    before = model.served
    port = int(grpc.rpartition(":")[2])
    told = server_check.serves(checks.read(exported), rest, port)
    assert "8 clients at once, REST and gRPC, 6 signatures" in told
    assert model.served - before == 4 * 3 * 6 * 2


def test_a_server_on_the_path_is_started_and_asked(exported, tmp_path, monkeypatch):
    """The stub takes the real server's name and flags; one that ends at once is a failure."""
    executable = tmp_path / "tensorflow_model_server"
    executable.write_text(f'#!/bin/sh\nexec {sys.executable} {serving_stub.__file__} "$@"\n')
    executable.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    export = checks.read(exported)
    assert "6 signatures" in server_check.serves(export)
    executable.write_text("#!/bin/sh\necho no such flag; exit 3\n")
    with pytest.raises(checks.Failed, match="ended with 3: no such flag"):
        server_check.serves(export)


def test_another_model_at_the_server_fails(exported, stub, tiny):
    export = checks.read(exported)
    inputs, outputs = export.recorded["decode"]
    wrong = {**export.recorded, "decode": (inputs, {k: v + 0.5 for k, v in outputs.items()})}
    port = int(stub[2].rpartition(":")[2])
    with pytest.raises(checks.Failed, match="from the recorded outputs"):
        server_check.serves(export._replace(recorded=wrong), stub[1], port)
    with pytest.raises(checks.Failed, match="no server answers"):
        server_check.serves(export, "127.0.0.1:9", 9)


def clients(stub):
    return client.RestClient(stub[1], "vae"), client.GrpcClient(stub[2], "vae")


def test_clients_give_the_images_of_keras(stub, trained):
    model, seed = vae_zoo.load_run(trained), vae_zoo.noise.rows(7, 5)
    image, z = model.sample(seed)
    for each in clients(stub):
        outputs = each.predict("sample", seed=seed)
        np.testing.assert_allclose(outputs["image"], image, atol=1e-5)
        np.testing.assert_allclose(outputs["z"], z, atol=1e-5)
        again = each.predict("reconstruct", image=outputs["image"].round())
        assert again["image"].shape == (5, 28, 28, 1)


@pytest.mark.parametrize(
    "signature, inputs, words",
    [
        ("decode", {"z": np.zeros([2, 5])}, r"shape \[2, 5\]: expected \[N, 4\]"),
        ("decode", {"z": [[0.0, 1.0], [2.0]]}, r"float32 numbers of shape \[N, 4\]"),
        ("decode", {"z": [["a"] * 4]}, "float32 numbers"),
        ("decode", {"z": np.full([1, 4], np.nan)}, "from nan to nan"),
        ("decode", {}, "lacks z"),
        ("decode", {"zed": np.zeros([1, 4])}, "Unknown input of decode 'zed'"),
        ("sample", {"seed": [[2**31, 0]]}, "expected int32, from -2147483648 to 2147483647"),
        ("sample", {"seed": [[-(2**31) - 1, 0]]}, "expected int32"),
        ("sample", {"seed": [[2**70, 0]]}, "expected int32"),
        ("sample", {"seed": [[0.5, 0]]}, "expected int32 numbers"),
        ("sample", {"seed": [7, 0]}, r"shape \[2\]: expected \[N, 2\]"),
        ("sample", {"seed": np.zeros([0, 2], int)}, "at least 1"),
        ("sampel", {"seed": [[0, 0]]}, "Did you mean 'sample'"),
        ("elbo", {"image": np.zeros([2, 28, 28, 1]), "seed": [[0, 0]]}, "one number of rows"),
        ("sample", {"seed": np.zeros([65, 2], int)}, "refused: .*larger than maximum"),
    ],
)
def test_inputs_that_are_not_the_signatures_are_refused(signature, inputs, words, stub):
    for each in clients(stub):
        with pytest.raises(vae_zoo.UserError, match=words) as error:
            each.predict(signature, **inputs)
        assert "\n" not in str(error.value)


def test_the_client_command(stub, tmp_path, capsys, one_line):
    server, name = f"--server={stub[1]}", "--model=vae"
    given = ["client", server, name, '--inputs={"seed": [[7, 0], [7, 1]]}']
    cli.run(client.call, client.FLAGS, [*given, f"--output={tmp_path / 'out.npz'}"])
    assert "image float32 [2, 28, 28, 1]" in capsys.readouterr().out
    assert np.load(tmp_path / "out.npz")["z"].shape == (2, 4)
    for flags, words in [
        ([name], "--server is missing"),
        ([server], "--model is missing"),
        (["--server=localhost", name], "expected host:port"),
        (["--server=127.0.0.1:9", name], "no server answers at 127.0.0.1:9"),
        ([server, "--model=other"], "refused"),
        ([server, name, "--inputs=seed"], "expected JSON"),
        ([server, name, '--inputs={"seed": [[4294967296, 0]]}'], "expected int32"),
        ([server, name, "--signature=decode", '--inputs={"z": [[0.0]]}'], "expected [N, 4]"),
    ]:
        assert words in one_line(client.call, client.FLAGS, flags)
