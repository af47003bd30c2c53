"""Several workers train as one does: the same weights, noise included, kills too."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from vae_zoo import runs, train

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


def start_workers(flags, directory, log, count=2):
    """Starts the workers of a cluster, as a cluster manager does: with TF_CONFIG."""
    workers = [f"127.0.0.1:{port}" for port in free_ports(count)]
    processes = []
    for index in range(count):
        cluster = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "vae_zoo.train", *flags, "--strategy=multi_worker"]
                + [f"--output_dir={directory}"],
                env={**os.environ, **PLAIN, "TF_CONFIG": json.dumps(cluster)},
                cwd=ROOT,
                stdout=open(log / f"worker-{index}.log", "a"),
                stderr=subprocess.STDOUT,
            )
        )
    return processes


def end_well(processes, log):
    for index, process in enumerate(processes):
        process.wait(timeout=240)
        text = (log / f"worker-{index}.log").read_text()
        assert process.returncode == 0, text[-2000:]


def flat_weights(run):
    return np.concatenate([np.ravel(w) for w in runs.load_run(run).weights])


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A .npz of 28 x 28 images without labels, of which a report trains no classifier."""
    path = tmp_path_factory.mktemp("data") / "images.npz"
    patches = np.random.default_rng(0).random((800, 7, 7)) < 0.4
    np.savez(path, image=255 * patches.repeat(4, 1).repeat(4, 2).astype(np.uint8))
    return path


def test_two_processes_train_as_one(images, command, tmp_path):
    """Convolutions and dense layers."""
    flags = ["--model=conv_vae", "--set=hidden=(4, 8)", f"--dataset={images}", *FLAGS]
    end_well(start_workers(flags, tmp_path / "two", tmp_path), tmp_path)
    command("vae_zoo.train", *flags, f"--output_dir={tmp_path / 'one'}", env=PLAIN, check=True)
    rows = [runs.read_rows(tmp_path / part / "metrics.csv") for part in ("one", "two")]
    for one, two in zip(*rows, strict=True):
        for term in ("loss", "elbo", "rate", "distortion", "val_elbo"):
            assert two[term] == pytest.approx(one[term], rel=1e-4, abs=1e-4), term
    one, two = (flat_weights(tmp_path / part) for part in ("one", "two"))
    # Other noise moves them by percents. Rounding, by where Adam's gradients are next to zero.
    assert np.linalg.norm(one - two) < 1e-3 * np.linalg.norm(one)
    # Each worker has computed a share of these.
    one, two = (runs.read_report(tmp_path / part) for part in ("one", "two"))
    for figure in ("nll", "elbo", "rate", "distortion", "num_images", "num_samples"):
        assert two[figure] == pytest.approx(one[figure], rel=1e-4), figure


def wait_for_step(directory, step, processes):
    """Waits until a job has saved the state after so many steps."""
    until = time.monotonic() + 240
    while not any(int(path.stem[5:]) >= step for path in directory.glob("step-*.index")):
        assert time.monotonic() < until and all(p.poll() is None for p in processes)
        time.sleep(0.02)


@pytest.mark.slow
def test_a_job_whose_workers_are_killed_ends_with_the_same_weights(images, tmp_path):
    """First the second worker, then the chief; the cluster manager starts all of them again."""
    flags = ["--model=vae", "--set=hidden=(32,)", f"--dataset={images}", *FLAGS[1:]]
    flags += ["--epochs=24", "--report_images=8"]
    end_well(start_workers(flags, tmp_path / "whole", tmp_path), tmp_path)
    run = tmp_path / "killed"
    for victim, step in ((1, 22), (0, 88)):
        processes = start_workers(flags, run, tmp_path)
        wait_for_step(run / runs.CHECKPOINTS, step, processes)
        processes[victim].kill()
        for process in processes:  # the other one does not go on alone
            assert process.wait(timeout=240)
        assert not (run / runs.MODEL).exists()
        if victim:
            assert "another worker was lost" in (tmp_path / "worker-0.log").read_text()
    end_well(start_workers(flags, run, tmp_path), tmp_path)
    np.testing.assert_array_equal(flat_weights(run), flat_weights(tmp_path / "whole"))
    whole, killed = (runs.read_rows(part / runs.METRICS) for part in (tmp_path / "whole", run))
    assert [row["val_loss"] for row in killed] == [row["val_loss"] for row in whole]
    assert not list((run / runs.CHECKPOINTS).glob(".worker-*"))


def test_a_tpu_that_is_not_there_is_missed_in_one_line(one_line, tmp_path):
    flags = ["--model=vae", "--strategy=tpu", f"--output_dir={tmp_path / 'run'}"]
    assert "no TPU of the name local" in one_line(train.train, train.FLAGS, flags)


# A program of its own: logical devices are made before TensorFlow starts.
_REPLICAS = """
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)

from vae_zoo import datasets, registry, training
from vae_zoo.training import muon, optimizers

splits = datasets.load("digits", batch_size=24, data_dir={data_dir!r})


def trained(name, count, cls, rate):
    strategy = training.make_strategy("one")
    if count > 1:
        # Groups of several sizes cannot use collective operations in one process.
        reduction = tf.distribute.ReductionToOneDevice() if {slow} else None
        devices = [f"CPU:{{i}}" for i in range(count)]
        strategy = tf.distribute.MirroredStrategy(devices, reduction)
    with strategy.scope():
        model = registry.create_model(name, tiny=True, image_shape=(28, 28, 1))
        # Adam with a large epsilon: its step is not that of a gradient's sign, next to zero too.
        optimizer = cls(rate, epsilon=1.0)
        model.compile(optimizer, run_eagerly={slow})  # graphs of each model take longer
        model.optimizer.build(model.trainable_variables)
    if not {slow}:
        model.accumulate = count  # each replica's batch in two parts
    start, model.steps_per_epoch = model.get_weights(), {steps}
    data = training.training_data(splits, strategy, 0)
    history = model.fit(data, steps_per_epoch={steps}, shuffle=False, verbose=0).history
    flat = [np.concatenate([np.ravel(w) for w in ws]) for ws in (start, model.get_weights())]
    return flat[0], flat[1], history


cases = [(name, optimizers.GuardedAdam, 0.1) for name in {names!r}]
# In longer steps Muon's weak directions, as long as the strong ones, part by rounding errors alone.
cases += [("vae", muon.GuardedMuon, 0.01)]
for name, cls, rate in cases:
    start, one, figures = trained(name, 1, cls, rate)
    for count in {counts!r}:
        _, several, others = trained(name, count, cls, rate)
        apart, moved = np.linalg.norm(several - one), np.linalg.norm(one - start)
        assert 0 < moved and apart < 1e-3 * moved, (name, cls, count, apart, moved)
        for figure, (value,) in figures.items():
            # A squared MMD next to zero is a difference of means of about 1.
            np.testing.assert_allclose(
                others[figure], value, rtol=1e-4, atol=1e-6, err_msg=figure
            )


def summed():
    return optimizers._summed([tf.ones([3]), tf.ones([40, 5]), tf.ones([7])])


def messages(buffer):  # that a replica sums three gradients in
    optimizers._BUFFER = buffer
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    step = tf.function(lambda: strategy.run(summed))
    operations = step.get_concrete_function().graph.get_operations()
    return sum(operation.type.startswith("CollectiveReduce") for operation in operations) / 2


if not {slow}:
    found = messages(optimizers._BUFFER), messages(100)
    assert found == (1, 2), found
"""


_NAMES = ["vae", "iwae", "vamp_vae", "factor_vae", "vq_vae", "ladder_vae", "vdm"]
_NAMES += ["beta_tc_vae", "info_vae"]


@pytest.mark.parametrize(
    "names, counts, steps, slow",
    [
        (["vae"], [2], 3, False),
        pytest.param(_NAMES, [2, 3, 4], 1, True, marks=pytest.mark.slow),
    ],
    ids=["vae", "all"],
)
def test_several_replicas_train_as_one(names, counts, steps, slow, data_dir):
    """Logical devices, batches of 24 images; the fast case has each device compute two parts."""
    code = _REPLICAS.format(
        names=names, counts=counts, steps=steps, slow=slow, data_dir=str(data_dir)
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stderr[-2000:]
