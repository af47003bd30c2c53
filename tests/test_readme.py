"""The commands of README and of docs, in their order, in one folder; long ones are cut short.

A bash block after a comment `<!-- not run: reason -->` is left out, and so is what makes the
environment.
"""

import configparser
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from export import extras

_BLOCK = re.compile(
    r"(?:<!-- (?P<not_run>not run: [^\n]+) -->\n)?```bash\n(?P<text>.*?)```", re.DOTALL
)
_GPU = "gpu.md"  # its commands are for another machine
_PAGES = ["README.md", *sorted(
    f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md") if page.name != _GPU
)]  # fmt: skip
_PHONE = re.compile(r"<!-- phone -->\n```python\n(.*?)```", re.DOTALL)
# Runs lists [module, flag, ...] one after the other, as `python -m` does: TensorFlow starts once.
# No flag of one command is left to the next.
_IN_ONE_PROCESS = """
import json, runpy, sys
for module, *flags in json.loads(sys.argv.pop()):
    for name, values in list(sys.modules.items()):
        if values and name.startswith(("vae_zoo.", "export.")) and "FLAGS" in vars(values):
            for flag in values.FLAGS:
                values.FLAGS[flag].unparse()
    sys.argv[1:] = flags
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            sys.exit(f"{module} {flags} ended with {end.code}")
"""
# No finder finds them. As None in sys.modules they would be there for who looks whether they are.
_HIDE = """
import importlib.machinery
finder = importlib.machinery.PathFinder
find = finder.find_spec
hidden = frozenset({})
finder.find_spec = lambda name, *given: None if name in hidden else find(name, *given)
"""
_EXTRAS = "pip install '.[export,serving]'"  # README's commands before it need none
_ENVIRONMENT = ("-m venv", "pip install")
_SHORTER = {
    "vae_zoo.train": ["--epochs=1", "--report_images=20", "--report_samples=2"],
    "vae_zoo.evaluate": ["--num_images=20", "--num_samples=20"],
}


def commands(text):
    """Returns a page's commands, [program, "-m", module, flag, ...] each, in their order."""
    found = []
    for block in _BLOCK.finditer(text):
        if block["not_run"]:
            continue
        lines = block["text"].replace("\\\n", " ").splitlines()
        parts = [part for line in lines for part in line.split("&&")]
        found += [
            shlex.split(part, comments=True)
            for part in parts
            if not any(word in part for word in _ENVIRONMENT)
        ]
    return [command for command in found if command]


@pytest.fixture
def folder(tmp_path):
    """A folder with the own pictures that README speaks of."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 28, 28, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", image=images, label=np.arange(40) % 2)
    for row, image in enumerate(images):
        place = tmp_path / "path" / "to" / "folder" / f"class{row % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{row}.png")
    return tmp_path


def test_commands_are_found_and_markers_are_heeded():
    text = (
        "```bash\npython3 -m venv v && v/bin/pip install . && v/bin/python -m a --b='c d'\n```\n"
        "<!-- not run: it takes hours -->\n```bash\npython -m b\n```\n"
        "```bash\npython -m c \\\n  --d  # words\n# words\n```\n```python\nimport a\n```\n"
    )
    assert commands(text) == [
        ["v/bin/python", "-m", "a", "--b=c d"],
        ["python", "-m", "c", "--d"],
    ]


def base_install():
    """Returns the distributions that `pip install .` brings: setup.cfg's, and what those need."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = setup["options"]["install_requires"].split()
    names, seen = {"vae-zoo", "pip"}, set()
    while wanted:
        requirement = Requirement(wanted.pop())
        name, chosen = canonicalize_name(requirement.name), ("", *sorted(requirement.extras))
        if (name, chosen) in seen:
            continue
        seen.add((name, chosen))
        names.add(name)
        for line in importlib.metadata.requires(name) or ():
            marker = Requirement(line).marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in chosen):
                wanted.append(line)
    return names


@pytest.fixture(scope="module")
def without_extras(tmp_path_factory):
    """A folder for PYTHONPATH: with it, Python has what the base install brings, and no more."""
    names = base_install()
    beyond = [
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if not names & set(map(canonicalize_name, owners))
        and module not in sys.stdlib_module_names  # pythae brings a backport of dataclasses
    ]
    assert {"ai_edge_litert", "ai_edge_quantizer", "tensorflow_serving", "pytest"} <= {*beyond}
    assert not {"numpy", "tensorflow", "keras", "matplotlib", "vae_zoo", "export"} & {*beyond}
    path = tmp_path_factory.mktemp("without_extras")
    (path / "sitecustomize.py").write_text(_HIDE.format(beyond), encoding="utf-8")
    return path


def test_extras_are_looked_for_under_the_names_that_setup_gives_them():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    for extra, packages in extras._NEEDED.values():
        wanted = setup["options.extras_require"][extra].split()
        assert wanted == [extras._NAMES.get(name, name.replace("_", "-")) for name in packages]


@pytest.mark.slow
def test_the_commands_of_readme_and_docs_work_one_after_the_other(
    folder, data_dir, without_extras
):
    """Those of README before the extras after the base install alone; a process for each part."""
    readme, *others = [(ROOT / page).read_text(encoding="utf-8") for page in _PAGES]
    before, after = readme.split(_EXTRAS)
    first, then = commands(before), commands(after)
    of_docs = [command for page in others for command in commands(page)]
    assert len(first) > 10 and len(first + then + of_docs) > 20
    assert {command[1] for command in first + then + of_docs} == {"-m"} and then[0][2] == "export"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TFDS_DATA_DIR": str(data_dir)}
    base = {**env, "PYTHONPATH": f"{without_extras}:{ROOT}"}

    def shorter(command):
        _, _, module, *flags = command
        return [module, *flags, *_SHORTER.get(module, [])]

    def run(*given, env):
        given = [sys.executable, *given]
        return subprocess.run(given, cwd=folder, env=env, capture_output=True, text=True)

    def run_all(commands, env):
        done = run("-c", _IN_ONE_PROCESS, json.dumps(list(map(shorter, commands))), env=env)
        assert done.returncode == 0, done.stderr[-2000:]

    run_all(first, base)
    told = run("-m", *shorter(then[0]), env=base)
    assert told.returncode == 2 and told.stderr.count("\n") == 1, told.stderr
    assert "pip install 'vae_zoo[serving,export]'" in told.stderr
    run_all(then + of_docs, env)
    [phone] = _PHONE.findall(after)
    check = "assert image.shape == (1, 28, 28, 1) and 0 <= image.min() < image.max() <= 1"
    code = f"import numpy as np\n{phone}{check}"
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, check=True)


def test_links_between_pages_lead_to_files():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for link in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            assert "://" in link or (page.parent / link).exists(), f"{page.name}: {link}"
