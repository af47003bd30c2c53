"""What is installed with the package: bounds, agreement, licences, and no use of a network."""

import importlib.metadata
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

_NAME = re.compile(r"[A-Za-z0-9._-]+")
# What a user may do with a package under them: use, change and pass on, also in a product.
_ALLOWED = re.compile(
    r"apache|mit\b|bsd|isc\b|psf|python software foundation|mpl|mozilla|hpnd|zlib|unlicense|cc0"
    r"|public domain|nvidia",
    re.IGNORECASE,
)


def requirements(part, heading):
    """Returns the lines of a list in setup.cfg."""
    text = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    block = text.partition(f"\n[{part}]")[2].partition(f"\n{heading} =\n")[2]
    return [line.strip() for line in re.match(r"(?:    .*\n)*", block)[0].splitlines()]


def test_the_lowest_versions_are_the_bounds_of_setup_cfg():
    """`pip install -c tests/lowest.txt .` installs each package at its bound."""
    lines = (ROOT / "tests" / "lowest.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    bounds = {}
    for requirement in requirements("options", "install_requires"):
        name, bound = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", requirement).groups()
        bounds[name] = bound
    assert pinned.keys() == bounds.keys()
    for name, bound in bounds.items():
        assert (pinned[name] + ".0").startswith(bound + "."), name


def closure(names):
    """Returns the installed packages that some need, and theirs, by name."""
    found, todo = {}, [*names, "tf_keras"]  # of tensorflow-probability[tf]
    while todo:
        name = todo.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in found:
            continue
        try:
            found[key] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of another system or Python
        for requirement in found[key].requires or []:
            text, _, marker = requirement.partition(";")
            if "extra ==" not in marker:
                todo.append(_NAME.match(text)[0])
    return found


def licence(distribution):
    """Returns what a package says of its licence, as one text; or how its licence's file begins."""
    said = distribution.metadata
    named = [said.get("License-Expression") or "", (said.get("License") or "")[:200]]
    named += [name for name in said.get_all("Classifier") or [] if "License ::" in name]
    if any(named):
        return " ".join(named)
    files = [file for file in distribution.files or [] if file.name.startswith("LICENSE")]
    return files[0].read_text()[:300] if files else ""


def test_licences_allow_use_in_products():
    lines = requirements("options", "install_requires")
    for extra in ("export", "serving"):
        lines += requirements("options.extras_require", extra)
    names = [_NAME.match(line)[0] for line in lines]
    installed = closure(names)
    assert len(installed) > 30 and "tensorflow" in installed
    doubtful = {}
    for name, distribution in installed.items():
        said = licence(distribution)
        copyleft = re.search(r"\b(A?GPL|GNU (Affero )?General)", said) and "LGPL" not in said
        if copyleft or not _ALLOWED.search(said):
            doubtful[name] = said[:80]
    assert not doubtful


@pytest.mark.slow
def test_installed_packages_agree():
    result = subprocess.run(
        [sys.executable, "-m", "pip", "check", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout


_OFFLINE = """
import os, sys
def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        print("NETWORK", event, args[-1], flush=True)
        os._exit(3)
sys.addaudithook(refuse)
import vae_zoo
settings = {"epochs": 1, "report_images": 4, "report_samples": 2}
arguments = {"hidden": (8,), "latent_size": 2}
run = vae_zoo.train("vae", "images.npz", "run", arguments=arguments, **settings)
assert vae_zoo.load_run(run).generate(seed=0).shape == (64, 8, 8, 1)
from vae_zoo import evaluate
sys.argv = ["evaluate", "--run=run", "--num_samples=2", "--num_images=4"]
try:
    evaluate.main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""


@pytest.mark.slow
def test_neither_import_nor_a_run_opens_a_connection(tmp_path):
    image = np.random.default_rng(0).integers(0, 2, (40, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", image=image)
    result = subprocess.run(
        [sys.executable, "-c", _OFFLINE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-500:] + result.stderr[-2000:]
    assert "NETWORK" not in result.stdout and "ELBO" in result.stdout
