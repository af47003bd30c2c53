"""A finished training: how it is known, and what the command says when it is given again.

No TensorFlow: the answer comes at once.
"""

import logging
import pathlib
import shlex

from vae_zoo import errors
from vae_zoo.runs.directory import (
    CONFIG,
    METRICS,
    MODEL,
    REPORT,
    is_started,
    read_config,
    read_report,
)
from vae_zoo.runs.files import is_whole, read_rows

# Flags that say nothing of what is trained.
_ASIDE = ("--output_dir=", "--data_dir=", "--manual_dir=", "--memory_budget_mb=")
_ASIDE += ("--max_minutes=", "--keep=")
_ONCE = ("--resume", "--overwrite")  # of one call, not of the training


def report_of(directory, max_minutes=None):
    """Returns the report of a training that is done, or None where it has to go on.

    Args:
        directory: of the run.
        max_minutes: that the training may take; one that was out of time goes on with more.
    """
    directory = pathlib.Path(directory)
    if not (directory / REPORT).exists() or not is_whole(directory / MODEL):
        return None
    try:
        report = read_report(directory)
    except errors.UserError as error:
        logging.warning("%s The run is evaluated again.", error)
        return None
    if not _has_rows(directory / METRICS, report["epochs"]):
        if is_started(directory):
            return None  # training says that it writes them anew
        logging.warning(
            "%s is damaged or gone, and no checkpoint is left that holds its rows. All else of "
            "the run is there.",
            directory / METRICS,
        )
    more_time = max_minutes is None or max_minutes > report["minutes"]
    return None if report.get("ended") == "time" and more_time else report


def _has_rows(path, epochs):
    try:
        return len(read_rows(path)) == epochs
    except errors.UserError:
        return False


def report_of_command(directory, arguments, max_minutes=None):
    """Returns the same, for the very command that the run was started with; None for another.

    Args:
        directory: of the run.
        arguments: of the command line, the program's name left out.
        max_minutes: as above.

    Raises:
        UserError: where its config.json is damaged.
    """
    if not (pathlib.Path(directory) / CONFIG).exists():
        return None
    config = read_config(directory)
    try:
        there = shlex.split(config.get("command", ""))[3:]
    except ValueError:  # no command line
        return None
    if _telling(there) != _telling(arguments):
        return None
    return report_of(directory, max_minutes)


def recipe_of(command):
    """Returns the command of a training without where it read and wrote, for other machines."""
    try:
        parts = shlex.split(command)
    except ValueError:  # no command line
        return command
    return shlex.join(part for part in lasting(parts) if not part.startswith(_ASIDE))


def lasting(arguments):
    """Returns the arguments of a command line that goes on with its training when given again."""
    return [each for each in arguments if each.partition("=")[0] not in _ONCE]


def text(directory, report):
    """Returns lines for a user who gives the command of a finished training again."""
    bound = report.get("elbo", report.get("negative_bce_less_rate"))
    lines = [
        f"{directory} is done: {report['model']} on {report['dataset']}, {report['epochs']} epochs "
        f"in {report['minutes']:.1f} min, {chosen(report)}"
        + (f", ELBO {bound:.2f} nats. " if isinstance(bound, float) else ". ")
        + f"Its model, figures ({REPORT}) and pictures are there.",
        *next_steps(directory),
    ]
    if report.get("ended") == "time":
        lines.append("  the same command with more --max_minutes goes on")
    lines.append("  the same command with --overwrite trains anew")
    return "\n".join(lines)


def chosen(report):
    """Returns which epoch's weights the model has, as words."""
    if not report["best_epoch"]:
        return "out of time within the first: the last weights"
    return f"best epoch {report['best_epoch']}"


def next_steps(directory):
    """Returns lines: the commands that follow a training."""
    run = f"--run={shlex.quote(str(directory))}"
    export = shlex.quote(f"{directory}-export")
    return [
        "Next, one of:",
        f"  python -m vae_zoo.evaluate {run}",
        f"  python -m vae_zoo.sample {run}",
        f"  python -m export {run} --output_dir={export}",
    ]


def _telling(arguments):
    return sorted(a for a in lasting(arguments) if not a.startswith(_ASIDE))
