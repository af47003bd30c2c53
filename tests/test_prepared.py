"""Data sets of tensorflow-datasets that are not there: what is said, and how soon."""

import resource
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest

import vae_zoo
from vae_zoo import datasets
from vae_zoo.datasets import prepared


@pytest.mark.parametrize(
    "name, words",
    [
        ("digit", "Did you mean 'digits'"),
        ("mnits", "Did you mean 'mnist'"),
        ("sprites/tiny", "sprites/tiny"),
    ],
)
def test_unknown_names_are_refused(name, words, tmp_path):
    with pytest.raises(vae_zoo.UserError, match=words):
        datasets.load(name, data_dir=tmp_path)


def test_offline_and_unprepared_says_where_it_looked_and_what_to_do(monkeypatch, tmp_path):
    def no_route(*arguments, **options):
        raise OSError("Network is unreachable")

    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "create_connection", no_route)
    with pytest.raises(vae_zoo.UserError) as error:
        datasets.load("mnist", data_dir=tmp_path)
    for words in ("mnist is not prepared", str(tmp_path), "--data_dir", "--manual_dir", "network"):
        assert words in str(error.value)


def test_a_name_server_that_does_not_answer_is_not_waited_for(monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    over = threading.Event()

    def silent(*arguments, **options):
        over.wait(60)
        raise OSError("Temporary failure in name resolution")

    monkeypatch.setattr(socket, "create_connection", silent)
    started = time.monotonic()
    reachable = prepared._reachable()
    assert not reachable and time.monotonic() - started < 20  # 1.5 s on an idle machine
    over.set()


def without_network():
    """Returns the words that start a command without a network; empty where that is not allowed."""
    words = ["unshare", "--net"]
    allowed = shutil.which("unshare") and not subprocess.call([*words, "true"], stderr=-3)
    return words if allowed else []


def test_a_real_process_without_a_network_fails_at_once(tmp_path):
    words = without_network()
    if not words:
        pytest.skip("this machine does not let a process give up its network")
    flags = ["--model=vae", "--dataset=mnist", f"--data_dir={tmp_path}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    result = subprocess.run(
        [*words, sys.executable, "-m", "vae_zoo.train", *flags],
        capture_output=True,
        text=True,
        timeout=100,  # two seconds on an idle machine; 205 if it let TFDS try
    )
    assert result.returncode == 2 and result.stderr.startswith("error: data set mnist")
    assert len(result.stderr.splitlines()) == 1
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 2
