"""Every page of the tutorial runs from top to bottom, and what it claims holds."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

TUTORIAL = ROOT / "docs" / "tutorial"
PAGES = sorted(TUTORIAL.glob("[0-9]*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_runs_and_its_checks_hold(page):
    if page.stem.endswith("deployment"):
        pytest.importorskip("ai_edge_litert", reason="the extra `export` is not installed")
        pytest.importorskip("tensorflow_serving", reason="the extra `serving` is not installed")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, page.name], cwd=TUTORIAL, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_has_a_title_and_ends_with_checks(page):
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# %% [markdown]\n# # " + str(int(page.stem[:2])) + ". ")
    assert "assert" in text.rpartition("# %%\n")[2]
