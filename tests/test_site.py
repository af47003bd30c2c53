"""The site of docs/ builds with no warning; its tutorial pages are run by test_tutorial."""

import importlib.util
import os
import subprocess
import sys

import pytest
from conftest import ROOT

NEEDED = ("mkdocs", "mkdocs_jupyter", "mkdocstrings", "material")


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path):
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the extra `docs` is not installed: no {', '.join(missing)}")
    env = {**os.environ, "DOCS_EXECUTE": "false", "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    bound = (tmp_path / "api" / "probability" / "index.html").read_text(encoding="utf-8")
    assert "importance_weighted_bound" in bound and "Burda" in bound
