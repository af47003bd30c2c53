"""Lets the kernels that run the tutorial's pages for the site import lesson.py; see mkdocs.yml."""

import os
import pathlib


def on_startup(**kwargs):
    """Puts this folder on the path of what mkdocs starts."""
    paths = [str(pathlib.Path(__file__).parent.resolve()), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
