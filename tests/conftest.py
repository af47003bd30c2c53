"""Fixtures that many tests share: small data, small models, real processes."""

import fcntl
import functools
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow
import vae_zoo  # noqa: E402,F401 - before TensorFlow too: it turns on oneDNN

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background jobs
    signal.signal(signal.SIGINT, signal.default_int_handler)
ROOT = pathlib.Path(__file__).parent.parent


# The longest: begun last, one of them would keep a single worker busy.
LONG = {
    "test_the_commands_of_readme_and_docs_work_one_after_the_other",
    "test_a_job_whose_workers_are_killed_ends_with_the_same_weights",
    "test_several_replicas_train_as_one",
    "test_a_sample_of_hostile_input",
    "test_a_sample_of_faults",
    "test_every_benchmark_runs",
    "test_two_hundred_steps_of_a_program_are_those_of_fit",
    "test_killed_twice_a_training_ends_with_the_same_bits",
    "test_two_processes_train_as_one",
}


def pytest_collection_modifyitems(items):
    """Puts the longest tests first."""
    items.sort(key=lambda item: getattr(item, "originalname", None) not in LONG)


@pytest.fixture(scope="session")
def batch():
    """Eight binary images with labels, the same at every call."""
    rng = np.random.default_rng(0)
    image = (rng.random((8, 28, 28, 1)) < 0.3).astype(np.float32)
    return {"image": image, "label": np.arange(8, dtype=np.int32) % 10}


def distinct_models():
    """Returns the names of all models, for parametrize; slow where an earlier one is made alike.

    Those have its class, network, prior and posterior, and differ by numbers alone.
    """
    from vae_zoo import registry

    seen, names = set(), []
    for name in registry.model_names():
        spec = registry.spec(name)
        parts = (spec.arguments.get(part) for part in ("network", "prior", "posterior"))
        made = (spec.target, *parts)
        names.append(pytest.param(name, marks=pytest.mark.slow) if made in seen else name)
        seen.add(made)
    return names


def build(name, **arguments):
    """Returns a registered model of 28 x 28 images, with the arguments that data would decide."""
    from vae_zoo import registry

    given = {"image_shape": (28, 28, 1)}
    if registry.model_class(name).needs_labels:
        given["num_classes"] = 10
    if "dataset_size" in registry.constructor_arguments(registry.model_class(name)):
        given["dataset_size"] = 1000
    return registry.create_model(name, **{**given, **arguments})


@pytest.fixture(scope="session")
def tiny():
    """A function that builds a registered model at its small size."""
    return functools.partial(build, tiny=True)


@pytest.fixture(scope="session")
def full_size():
    """A function that builds a registered model at its default size."""
    return build


@pytest.fixture(scope="session")
def command(tmp_path_factory):
    """A function that runs one of our commands as a real process, away from the source tree."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def run(module, *flags, timeout=300, env=None, check=False, cwd=elsewhere):
        return subprocess.run(
            [sys.executable, "-m", module, *map(str, flags)],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=check,
        )

    return run


def run_here(command, flag_values, *given):
    """Runs a command in this process: no new one has to start, nor TensorFlow in it."""
    from vae_zoo import cli

    for flag in flag_values:
        flag_values[flag].unparse()
    cli.run(command, flag_values, ["command", *map(str, given)])


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """Where the data sets that ship are prepared, once for all tests."""
    return tmp_path_factory.mktemp("tfds")


@pytest.fixture(scope="session")
def digits(data_dir):
    """The default data set, batches of 64."""
    from vae_zoo import datasets

    return datasets.load("digits", batch_size=64, data_dir=data_dir)


@pytest.fixture(scope="session")
def grey():
    """200 grey images with labels of ten classes."""
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (200, 12, 12), dtype=np.uint8),
        "label": np.arange(200) % 10,
    }


@pytest.fixture
def npz(tmp_path):
    """A function that writes arrays and returns the path."""

    def write(name="images.npz", **arrays):
        np.savez(tmp_path / name, **arrays)
        return str(tmp_path / name)

    return write


@pytest.fixture(scope="session")
def trained(command, data_dir, tmp_path_factory):
    """A run of the command: a tiny VAE, two epochs on digits."""
    directory = tmp_path_factory.mktemp("runs") / "run"
    command(
        "vae_zoo.train",
        "--model=vae",
        "--epochs=2",
        "--set=hidden=(32,)",
        "--set=latent_size=4",
        "--report_samples=10",
        f"--output_dir={directory}",
        f"--data_dir={data_dir}",
        check=True,
    )
    return directory


@pytest.fixture(scope="session")
def factor_images():
    """256 images of 2 x 3 pixels, drawn from two factors and noise."""
    rng = np.random.default_rng(0)
    loading = rng.normal(size=(2, 6)) * [[1.5], [0.8]]
    pixels = rng.normal(size=(256, 2)) @ loading + 0.4 * rng.normal(size=(256, 6)) + 0.5
    return pixels.reshape(-1, 2, 3, 1).astype(np.float32)


@pytest.fixture(scope="session")
def linear_gaussian(factor_images):
    """A model whose log p(x) is known, under a posterior that is not the true one; its images."""
    from known_models import LinearGaussianVAE, probabilistic_pca

    (loading, mean, scale), _ = probabilistic_pca(factor_images, 2)
    model = LinearGaussianVAE(factor_images.shape[1:], noise_scale=scale)
    model.set_exact(loading, mean)
    kernel, bias = model.posterior_head.get_weights()
    model.posterior_head.set_weights([0.9 * kernel, bias + 0.2])
    return model, factor_images[:16]


@pytest.fixture(scope="session")
def exported(command, trained, tmp_path_factory):
    """An export of `trained` by the command, in every format; tests copy it to change it.

    It is one for all of pytest's workers: none of the fixtures takes as long.
    """
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    directory = place / "export"
    flags = ("--quantize=float16,int8,full_int8", "--dynamic_batch")
    with open(place / "export.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            command("export", f"--run={trained}", f"--output_dir={directory}", *flags, check=True)
    return directory


@pytest.fixture
def one_line(capsys):
    """A function that runs a command in this process; returns its one line, the exit code 2."""

    def run(command, flag_values, given):
        with pytest.raises(SystemExit) as stop:
            run_here(command, flag_values, *given)
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert stop.value.code == 2 and line.startswith("error: "), (given, line)
        return line

    return run
