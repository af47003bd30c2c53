"""StableHLO programs: JAX gives what Keras gives; and what is said where there is no JAX."""

import importlib.util
import json
import re
import subprocess
import sys

import numpy as np
import pytest

import export
import vae_zoo
from export import agreement, checks, layout, signatures, stablehlo, verify
from vae_zoo import registry

needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="needs JAX, of the extra `accelerator`"
)


@pytest.fixture(scope="module")
def programs(tiny, tmp_path_factory):
    """An export of a small conditional model: StableHLO alone."""
    directory = tmp_path_factory.mktemp("stablehlo") / "export"
    export.export_model(tiny("cvae"), directory, name="digits", formats=("stablehlo",))
    return directory


def test_an_export_holds_a_program_for_each_signature_and_batch_size(programs):
    manifest = layout.read_manifest(programs)
    found = manifest["stablehlo"]["signatures"]
    wanted = {f"{name}_{size}" for name in stablehlo.NAMES for size in (1, 16)}
    assert set(found) == wanted and "saved_model" not in manifest
    for figures in found.values():
        artifact = (programs / figures["path"]).read_bytes()
        assert artifact.startswith(b"ML\xefR\x01StableHLO_v") and len(artifact) == figures["bytes"]
    described = json.loads((programs / "stablehlo/digits.json").read_text())["signatures"]
    decode = described["decode_16"]
    assert [(each["name"], each["shape"][0]) for each in decode["inputs"]] == [
        ("z", 16),
        ("label", 16),
    ]
    assert [each["name"] for each in decode["outputs"]] == ["image", "logits"]


def test_an_export_is_renewed_as_a_whole(programs, tiny):
    with pytest.raises(vae_zoo.UserError, match="holds stablehlo too"):
        export.export_model(tiny("cvae"), programs, name="digits", formats=("saved_model",))
    before = set(programs.rglob("*"))
    export.export_model(tiny("cvae"), programs, name="digits", formats=("stablehlo",))
    assert set(programs.rglob("*")) == before


def _checked(directory):
    return {each.check: each for each in verify.verify_export(directory)}["StableHLO"]


def test_without_jax_nothing_is_checked_and_verify_says_so(programs, monkeypatch):
    monkeypatch.setattr(checks, "_has_jax", lambda: False)
    result = _checked(programs)
    assert result.status == verify.NOT_RUN and "jax is not installed" in result.detail


def test_a_changed_program_is_refused(programs, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(programs, copy)
    path = copy / "stablehlo/digits-decode_1.stablehlo"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(vae_zoo.UserError, match="is not the file that was exported"):
        checks.read(copy)
    path.unlink()
    with pytest.raises(vae_zoo.UserError, match="is missing"):
        checks.read(copy)


@needs_jax
def test_verify_runs_the_programs_in_jax(programs):
    result = _checked(programs)
    assert result.status == verify.OK and "6 programs in JAX" in result.detail


@needs_jax
def test_the_readmes_lines_run_where_there_is_nothing_of_ours(programs):
    [lines] = re.findall(r"```python\n(.*?)```", (programs / "README.md").read_text(), re.DOTALL)
    lines += "\nassert image.shape == (1, 28, 28, 1)\nassert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-I", "-c", lines], cwd=programs, check=True, timeout=300)


@needs_jax
@pytest.mark.parametrize(
    "name",
    [
        name if name in ("conv_vae", "vq_vae") else pytest.param(name, marks=pytest.mark.slow)
        for name in vae_zoo.model_names()
    ],
)
def test_jax_gives_what_keras_gives(name, tiny, tmp_path):
    from export import stablehlo_reader

    smaller = {"image_shape": (14, 14, 1)} if "deep" in registry.spec(name).tags else {}
    model = tiny(name, **smaller)
    section = stablehlo.export_stablehlo(model, tmp_path, batches=(3,))
    found = signatures.signatures(model, stablehlo.NAMES)
    assert set(section["signatures"]) == {f"{key}_3" for key in found}
    programs = stablehlo_reader.load(tmp_path / section["path"])
    for key, inputs in signatures.examples(model, found, 3).items():
        differences = agreement.row_differences(
            programs[f"{key}_3"](**inputs), signatures.run(found[key], inputs)
        )
        assert agreement.agrees(differences, agreement.tolerance(model)), (key, differences)
    with pytest.raises(ValueError, match="expected"):
        programs["sample_3"](*(np.zeros([2, 2]) for _ in found["sample"].inputs))
