"""The jobs for clusters in docs/examples are what their cluster managers and our command take."""

import json
import os
import subprocess

import pytest
from conftest import ROOT

from vae_zoo import cli, train

EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture
def flags():
    """A function that parses a command's flags as `python -m vae_zoo.train` does."""

    def parse(given):
        for name in train.FLAGS:
            train.FLAGS[name].unparse()
        cli.parse(train.FLAGS, ["train", *given])
        return {name: train.FLAGS[name].value for name in train.FLAGS}

    yield parse
    train.FLAGS.unparse_flags()


def check(flags, workers):
    assert flags["strategy"] == "multi_worker" and flags["batch_size"] % workers == 0
    assert flags["model"] and flags["output_dir"].startswith("/shared/")


def test_the_slurm_job_gives_each_worker_its_place(flags, tmp_path):
    """With stand-ins for Slurm's programs, and one for python that tells what it was given."""
    stand_ins = {
        "scontrol": 'echo "$3" | tr , "\\n"',
        "srun": 'shift; for id in 0 1 2 3; do SLURM_PROCID=$id "$@"; done',
        "python": 'echo -n $TF_CONFIG; for each; do printf "\\t%s" "$each"; done; echo',
    }
    for name, text in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "a1,a2,a3,a4"}
    result = subprocess.run(
        ["bash", str(EXAMPLES / "slurm.sh")], env=env, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert len(lines) == 4
    for index, (config, *command) in enumerate(lines):
        config = json.loads(config)
        assert config["task"] == {"type": "worker", "index": index}
        assert config["cluster"] == {"worker": [f"a{i}:12345" for i in range(1, 5)]}
        assert command[:2] == ["-m", "vae_zoo.train"]
        check(flags(command[2:]), workers=4)
    assert "#SBATCH --nodes=4" in (EXAMPLES / "slurm.sh").read_text()


def test_the_kubernetes_job_is_a_tfjob_of_our_command(flags):
    job = json.loads((EXAMPLES / "tfjob.json").read_text())
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "TFJob")
    worker = job["spec"]["tfReplicaSpecs"]["Worker"]
    assert worker["restartPolicy"] == "OnFailure"
    [container] = worker["template"]["spec"]["containers"]
    assert container["name"] == "tensorflow"  # the operator sets TF_CONFIG in that one alone
    assert container["command"] == ["python", "-m", "vae_zoo.train"]
    check(flags(container["args"]), workers=worker["replicas"])
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in worker["template"]["spec"]["volumes"]}
