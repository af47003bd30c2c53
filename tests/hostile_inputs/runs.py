"""Runs and presets: config.json, model.keras, and what lies next to them."""

import copy
import json
import pathlib
import pickle
import shutil
import zipfile

import numpy as np

from tests.hostile_inputs.arrays import array
from tests.hostile_inputs.common import (
    CLASSES,
    NUMBERS,
    Payload,
    TEXTS,
    change,
    json_bytes,
    often,
    pick,
    spoil,
    write,
    zip_file,
)

_RUNS = pathlib.Path(__file__).parent.parent / "runs"
MODELS = ("vae", "conv_vae", "cvae", "ladder_vae", "vq_vae", "hvae")


def _run(rng, place):
    """Returns a copy of a stored run, whose data lie in the case's folder, and its config."""
    run = shutil.copytree(_RUNS / pick(rng, MODELS), place / "run")
    np.savez(place / "data.npz", image=np.zeros((40, 12, 12), np.uint8), label=np.arange(40) % 4)
    config = json.loads((run / "config.json").read_text())
    config["dataset"] |= {"name": str(place / "data.npz"), "data_dir": str(place / "tfds")}
    (run / "config.json").write_text(json.dumps(config))
    return run, config


def config(rng, place):
    from vae_zoo import runs
    from vae_zoo.runs import finished

    run, good = _run(rng, place)
    (run / "config.json").write_bytes(json_bytes(rng, good))
    uses = (
        runs.read_config,
        runs.load_run,
        lambda run: runs.load_splits(run, cache_dir=place / "cache"),
        lambda run: runs.open_run(run, good),
        lambda run: finished.report_of_command(run, ["--model=vae"]),
    )
    pick(rng, uses)(run)


def keras_file(rng, place):
    """The model's file: another configuration, other weights, pickles, foreign classes."""
    from vae_zoo import runs

    run, good = _run(rng, place)
    path = run / "model.keras"
    if often(rng, 0.3):
        path.write_bytes(spoil(rng, path.read_bytes()))
        return runs.load_run(run)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    how = rng.integers(4)
    if how <= 1:
        tree = json.loads(members["config.json"])
        if how == 0:
            change(rng, tree)
        else:  # the same in both files, so that they agree
            name = pick(rng, sorted(good["arguments"]))
            given = pick(rng, (*NUMBERS, *TEXTS, [10**6], [10**9], [4] * 300))
            tree["config"][name] = good["arguments"][name] = given
            (run / "config.json").write_text(json.dumps(good))
        if often(rng, 0.2):
            tree = copy.deepcopy(pick(rng, CLASSES))
        members["config.json"] = json.dumps(tree).encode("utf-8", "surrogatepass")
    elif how == 2:
        members["model.weights.h5"] = spoil(rng, members["model.weights.h5"])
    else:
        name = pick(rng, ("model.weights.h5", "config.json", "assets/x", "../x", "/x", "x.pkl"))
        members[name] = pickle.dumps(Payload())
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return runs.load_run(run)


def preset(rng, place):
    from vae_zoo import presets

    run, good = _run(rng, place)
    sums = {path.name: presets.sha256_of(path) for path in run.iterdir()}
    if often(rng, 0.3):
        sums[pick(rng, TEXTS)] = pick(rng, (*TEXTS, *sums.values()))
    card = json_bytes(rng, {"name": "vae/x", "sha256": sums})
    if often(rng):
        (run / presets.MARK).write_bytes(card)
        return presets.find(str(run))
    members = [(path.name, path.read_bytes()) for path in run.iterdir()] + [(presets.MARK, card)]
    if often(rng):
        members = [(pick(rng, ("", "a/", "../", "/", "..\\")) + name, c) for name, c in members]
    if often(rng, 0.1):
        members.append((pick(rng, ("..", ".", "x/..", "é", "sub/..\\x")), b"x"))
    path = zip_file(rng, place / pick(rng, ("p.zip", "p")), members)
    sha = pick(rng, (None, None, "0" * 64, presets.sha256_of(path)))
    return presets.from_preset(str(path), sha)


def run_files(rng, place):
    """What lies in a run next to the model: its report, rows, partial results, fitted priors."""
    from vae_zoo import runs
    from vae_zoo.metrics import partial_results
    from vae_zoo.runs import fitted_priors

    how = rng.integers(5)
    if how == 0:
        report = {"model": "vae", "dataset": "d", "epochs": 1, "best_epoch": 1, "steps": 9}
        report |= {"minutes": 1.0, "ended": "epochs"}
        (place / runs.REPORT).write_bytes(json_bytes(rng, report))
        runs.read_report(place)
    elif how == 1:
        text = "epoch,step,loss\r\n" + "".join(f"{i},{i},{pick(rng, NUMBERS)}\r\n" for i in "12")
        runs.read_rows(write(rng, place / "metrics.csv", text.encode(), 0.9))
    elif how == 2:
        path = place / "partial.npz"
        with partial_results.PartialResults(path, "key") as store:
            store.add(np.ones((4, 2)))
        write(rng, path, path.read_bytes(), 0.9)
        for block in partial_results.PartialResults(path, "key").blocks:
            assert np.array_equal(block, np.ones((4, 2)))  # or nothing
    elif how == 3:
        path = place / "rows.partial"
        partial_results.PartialRows(path, "key", 2, 3, "<f4").add([0, 1, 2], np.ones((3, 2)))
        write(rng, path, path.read_bytes(), 0.9)
        store = partial_results.PartialRows(path, "key", 2, 3, "<f4")
        assert store.done in (0, 3) and all(row["values"].all() for row in store.rows())
    else:
        about = {"format": 1, "prior": "gmm", "components": 2, "steps": 1, "seed": 0}
        about |= {"model_sha256": "0" * 64, "figures": {}, "versions": {}}
        text = json_bytes(rng, about).decode("utf-8", "replace")
        np.savez(place / "prior-gmm.npz", about=text, weight_0=array(rng), allow_pickle=True)
        write(rng, place / "prior-gmm.npz", (place / "prior-gmm.npz").read_bytes(), 0.4)
        fitted_priors._read(place / "prior-gmm.npz")
