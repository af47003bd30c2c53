"""`--help` of every command: each flag with its default, in lines that fit a terminal."""

import importlib

import pytest

from benchmarks.__main__ import BENCHMARKS, COMMANDS
from vae_zoo import cli

_COMMANDS = {
    "vae_zoo.train": "train",
    "vae_zoo.evaluate": "evaluate",
    "vae_zoo.sample": "sample",
    "vae_zoo.encode": "encode",
    "vae_zoo.score": "score",
    "vae_zoo.report": "report",
    "vae_zoo.sweep": "sweep",
    "vae_zoo.publish": "publish",
    "vae_zoo.fit_prior": "fit_prior",
    "export.__main__": "export_run",
    "export.verify": "verify",
    "export.client": "call",
    "export.demo.__main__": "serve_demo",
    **{f"benchmarks.{name}": "run" for name in (*BENCHMARKS, *COMMANDS)},
}


@pytest.mark.parametrize("module", _COMMANDS)
def test_help_says_each_default_in_short_lines(module):
    command = importlib.import_module(module)
    text = cli.usage(getattr(command, _COMMANDS[module]), command.FLAGS)
    assert max(map(len, text.splitlines())) <= 100
    for left_over in ("Args:", "repeat this option", "<float32|", "['"):  # of Python, and of absl
        assert left_over not in text
    entries = {entry.split("=")[0].split("\n")[0]: entry for entry in text.split("\n  --")[1:]}
    for name, entry in entries.items():
        default = command.FLAGS[name].default
        if default not in (None, []) and default is not False:
            assert "(default:" in entry
