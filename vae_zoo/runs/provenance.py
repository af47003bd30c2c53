"""What a figure depends on, apart from the settings: versions and the commit of the source."""

import contextlib
import functools
import pathlib
import platform
import subprocess
from importlib import metadata

import vae_zoo

_PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "tensorflow-datasets", "numpy")


def versions(others=()):
    """Returns the versions of everything that a figure depends on, and of other packages."""
    found = {"python": platform.python_version(), "vae_zoo": vae_zoo.__version__}
    for package in (*_PACKAGES, *others):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


@functools.cache  # what is running, whatever becomes of the tree meanwhile
def git_commit():
    """Returns the commit of the source tree that is running, with "+" if changed, or None."""
    source = pathlib.Path(__file__).parent
    command = ["git", "-C", str(source), "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        tracked = ["git", "-C", str(source), "ls-files", "--error-unmatch", __file__]
        subprocess.run(tracked, capture_output=True, check=True, timeout=5)
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=5
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
