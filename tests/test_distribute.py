"""Two real processes train as one: the same weights, noise included."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from vae_zoo import runs

ROOT = pathlib.Path(__file__).parent.parent
FLAGS = ("--epochs=2", "--batch_size=64", "--set=latent_size=4", "--report_samples=2")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


# Sums of half a batch and of a whole one in the same order: oneDNN cuts them by the batch's size,
# and Adam makes 1e-4 of a weight of it in these steps.
PLAIN = {"TF_ENABLE_ONEDNN_OPTS": "0"}


def start_workers(flags, directory, log):
    """Starts two workers of a cluster, as a cluster manager does: with TF_CONFIG."""
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = []
    for index in range(2):
        cluster = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "vae_zoo.train", *flags, "--strategy=multi_worker"]
                + [f"--output_dir={directory}"],
                env={**os.environ, **PLAIN, "TF_CONFIG": json.dumps(cluster)},
                cwd=ROOT,
                stdout=open(log / f"worker-{index}.log", "w"),
                stderr=subprocess.STDOUT,
            )
        )
    return processes


@pytest.mark.parametrize("name, hidden", [("vae", "(32,)"), ("conv_vae", "(4, 8)")])
def test_two_processes_train_as_one(name, hidden, command, data_dir, tmp_path):
    flags = [f"--model={name}", f"--set=hidden={hidden}", f"--data_dir={data_dir}", *FLAGS]
    processes = start_workers(flags, tmp_path / "two", tmp_path)
    for index, process in enumerate(processes):
        process.wait(timeout=240)
        log = (tmp_path / f"worker-{index}.log").read_text()
        assert process.returncode == 0, log[-2000:]
    command("vae_zoo.train", *flags, f"--output_dir={tmp_path / 'one'}", env=PLAIN, check=True)
    rows = [runs.read_rows(tmp_path / part / "metrics.csv") for part in ("one", "two")]
    for one, two in zip(*rows, strict=True):
        for term in ("loss", "elbo", "rate", "distortion", "val_elbo"):
            assert two[term] == pytest.approx(one[term], rel=1e-4, abs=1e-4), term
    models = [runs.load_run(tmp_path / part) for part in ("one", "two")]
    one, two = (np.concatenate([np.ravel(w) for w in model.weights]) for model in models)
    # Other noise moves them by percents. Rounding, by where Adam's gradients are next to zero.
    assert np.linalg.norm(one - two) < 1e-3 * np.linalg.norm(one)


_OF_THE_WHOLE_BATCH = [
    pytest.param(name, marks=pytest.mark.slow) for name in ("beta_tc_vae", "info_vae", "vq_vae")
]


@pytest.mark.parametrize("name", ["vae", *_OF_THE_WHOLE_BATCH])
def test_mirrored_strategy_trains_as_one(name, tmp_path, data_dir):
    """Two logical devices of this machine; the code runs on GPUs alike."""
    code = f"""
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import sys
from vae_zoo import datasets, registry, training
splits = datasets.load("digits", batch_size=64, data_dir={str(data_dir)!r})
sums = []
for strategy in (tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), training.make_strategy("one")):
    settings = training.Settings(epochs=1)
    with strategy.scope():
        model = registry.create_model({name!r}, tiny=True, image_shape=(28, 28, 1))
        training.compile_model(model, settings, splits.steps_per_epoch)
    directory = {str(tmp_path)!r} + f"/{{strategy.num_replicas_in_sync}}"
    training.train(model, splits, directory, settings, strategy=strategy)
    sums.append([float(tf.reduce_sum(tf.abs(w))) for w in model.weights])
for one, two in zip(*sums, strict=True):
    assert abs(one - two) < 1e-3 * max(1.0, abs(one)), sums
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stderr[-2000:]
