"""Runs: a run's directory, its files, its report and every picture."""

from vae_zoo.runs.directory import (
    CHECKPOINTS,
    CONFIG,
    METRICS,
    MODEL,
    REPORT,
    TENSORBOARD,
    begun_without,
    describe,
    draws_differ,
    fresh_copy,
    is_started,
    load_run,
    load_splits,
    open_run,
    read_config,
    read_report,
    save_model,
)
from vae_zoo.runs.files import atomic, read_rows, rows_text, write_json, write_rows
from vae_zoo.runs.locks import held
from vae_zoo.runs.provenance import git_commit, versions

__all__ = [
    "CHECKPOINTS",
    "CONFIG",
    "METRICS",
    "MODEL",
    "REPORT",
    "TENSORBOARD",
    "atomic",
    "begun_without",
    "describe",
    "draws_differ",
    "fresh_copy",
    "git_commit",
    "held",
    "is_started",
    "load_run",
    "load_splits",
    "open_run",
    "read_config",
    "read_report",
    "read_rows",
    "rows_text",
    "save_model",
    "versions",
    "write_json",
    "write_rows",
]
