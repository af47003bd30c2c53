"""The one-way rules, the imports that must stay cheap, and what the text may not say."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# What a part may not know, by the names of modules.
MODELS = ("vae_zoo.vae", "vae_zoo.models", "vae_zoo.registry", "vae_zoo.model_table")
_ON_RUNS = ("evaluate", "sample", "encode", "score", "per_image", "report", "publish", "sweep")
_ON_RUNS += ("fit_prior", "aggregate")
COMMANDS = tuple(f"vae_zoo.{name}" for name in ("train", "train_flags", "train_request", *_ON_RUNS))
FORBIDDEN = {
    "vae_zoo/errors.py": ("vae_zoo",),
    "vae_zoo/memory.py": ("vae_zoo",),
    "vae_zoo/replicas.py": ("vae_zoo",),
    "vae_zoo/checks.py": MODELS,
    "vae_zoo/probability": (
        *MODELS,
        *COMMANDS,
        *("vae_zoo.networks", "vae_zoo.training", "vae_zoo.datasets", "vae_zoo.runs"),
    ),
    "vae_zoo/networks": (
        *MODELS,
        *COMMANDS,
        *("vae_zoo.probability", "vae_zoo.training", "vae_zoo.datasets", "vae_zoo.runs"),
    ),
    "vae_zoo/datasets": (
        *MODELS,
        *COMMANDS,
        *("vae_zoo.networks", "vae_zoo.training", "vae_zoo.runs"),
    ),
    "vae_zoo/training/loop.py": ("vae_zoo",),
    "vae_zoo/training": (*MODELS, *COMMANDS, "vae_zoo.networks", "vae_zoo.metrics"),
    "vae_zoo/base": (*MODELS, "vae_zoo.runs", "vae_zoo.datasets", "vae_zoo.metrics", *COMMANDS),
    "vae_zoo/vae.py": ("vae_zoo.models", "vae_zoo.registry", "vae_zoo.runs", *COMMANDS),
    "vae_zoo/models": ("vae_zoo.registry", "vae_zoo.runs", "vae_zoo.training.session", *COMMANDS),
    "vae_zoo/metrics": (
        "vae_zoo.models",
        *("vae_zoo.runs.directory", "vae_zoo.runs.report", "vae_zoo.training.session"),
        *COMMANDS,
    ),
    "vae_zoo/runs": ("vae_zoo.vae", "vae_zoo.models", "vae_zoo.training.session", *COMMANDS),
    "vae_zoo": ("export", "benchmarks"),
    "export": ("benchmarks",),
    # What runs where nothing of ours is installed.
    "export/stablehlo_reader.py": ("vae_zoo", "export", "tensorflow"),
    "benchmarks/device": ("vae_zoo", "export", "benchmarks", "tensorflow"),
}


def modules_imported(path):
    """Returns the full names of what a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("part", FORBIDDEN)
def test_imports_go_one_way(part):
    path = ROOT / part
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    assert files
    for file in files:
        for name in modules_imported(file):
            for forbidden in FORBIDDEN[part]:
                wrong = name == forbidden or name.startswith(forbidden + ".")
                assert not wrong, f"{file.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize(
    "code",
    [
        "import vae_zoo",
        "import vae_zoo.registry; vae_zoo.model_names()",
        "from vae_zoo import train, train_lists; [each() for each in train_lists.LISTS.values()]",
        "import vae_zoo.evaluate, vae_zoo.sample, vae_zoo.encode, vae_zoo.score",
        "import vae_zoo.report, vae_zoo.publish, vae_zoo.fit_prior, vae_zoo.sweep",
        "import vae_zoo.presets; vae_zoo.presets.table()",
        "import vae_zoo.datasets",
        "import export.demo.__main__",
    ],
)
def test_what_lists_or_helps_imports_no_tensorflow(code):
    slow = "('tensorflow', 'keras', 'matplotlib', 'sklearn', 'tensorflow_datasets')"
    check = f"import sys; {code}; print([name for name in {slow} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_another_keras_backend_is_refused_at_import():
    code = "import os; os.environ['KERAS_BACKEND'] = 'jax'; import vae_zoo"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode and "Unset KERAS_BACKEND" in result.stderr


@pytest.mark.parametrize("module", ["vae_zoo.train", "export.verify", "benchmarks"])
def test_a_command_on_another_keras_backend_ends_with_one_line(module, command):
    result = command(module, env={"KERAS_BACKEND": "jax"})
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


def test_every_public_name_is_there():
    import vae_zoo

    for name in vae_zoo.__all__:
        assert getattr(vae_zoo, name) is not None
    with pytest.raises(AttributeError):
        vae_zoo.no_such_name  # noqa: B018
