"""The commands that faults happen to: how they are started, and what they leave undisturbed."""

import csv
import hashlib
import io
import json
import os
import pathlib
import resource
import shutil
import signal
import time
import zipfile

import numpy as np

from tests import campaign
from vae_zoo import registry

WAIT = 600.0  # on the clock: machines may be busy
RUN, _DATA = "run", "--dataset=../data.npz"
COMMANDS = {  # module, flags; {run} is the run, {out} the folder next to it
    "train": ("vae_zoo.train", ("--output_dir={run}", _DATA, "--batch_size=16", "--epochs=4")),
    "evaluate": ("vae_zoo.evaluate", ("--run={run}", "--num_samples=20")),
    "encode": ("vae_zoo.encode", ("--run={run}", _DATA, "--batch_size=2", "--output={out}/z.npz")),
    "report": ("vae_zoo.report", ("--run={run}", "--num=8", "--num_images=8")),
    "fit_prior": ("vae_zoo.fit_prior", ("--run={run}", "--prior=gmm", "--components=2")),
    "export": ("export", ("--run={run}", "--output_dir={out}/e", "--quantize=none")),
}
_CLOCKS = ("minutes", "cpu_minutes", "images_per_second", "versions", "git_commit", "command")
_CLOCKS += ("seconds", "created", "sha256", "bytes")


def argv_of(command, model, run, out):
    """Returns the command line of a case."""
    argv = [flag.format(run=run, out=out) for flag in COMMANDS[command][1]]
    if command == "train":
        argv += [f"--model={model}", "--report_images=4", "--report_samples=2"]
        argv += [f"--set={name}={value!r}" for name, value in registry.spec(model).tiny.items()]
    return argv


def start(command, argv, place, limit=None, user=None):
    """Returns the process id of a command that runs in a folder; its output goes to `log` there.

    Args:
        command: of COMMANDS.
        argv: without the program.
        place: the folder.
        limit: bytes of a file, at most.
        user: number of the user that it runs as.
    """
    log = open(place / "log", "wb", buffering=0)
    if user is not None:
        os.chown(place / "log", user, user)
    pid = campaign.fork(_run, command, argv, place, log, limit, user)
    log.close()
    return pid


def _run(command, argv, place, log, limit, user):
    import importlib
    import sys

    os.chdir(place)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        os.environ["HOME"] = str(place)
    name = COMMANDS[command][0]
    sys.argv = [name, *argv]
    module = importlib.import_module(f"{name}.__main__" if name == "export" else name)
    from vae_zoo.training import session

    session._CHECKPOINT_SECONDS = 0.05  # so that a kill meets a checkpoint
    try:
        module.main()
    finally:  # what comes now comes too late
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        sys.stdout.flush()


def digest(command, run, out):
    """Returns {what: SHA-256} of what a command has left, clocks left out."""
    made = {}
    if command == "train":
        made["weights"] = _sha(*_weights(run / "model.keras"))
        with open(run / "metrics.csv", newline="", encoding="utf-8") as file:
            made["metrics"] = _sha(*map(_plain, csv.DictReader(file)))
        made["report"] = _json_sha(run / "report.json")
    elif command == "evaluate":
        made["figures"] = _json_sha(run / "evaluation.json")
    elif command == "encode":
        made["latents"] = _sha(*_arrays(out / "z.npz"))
    elif command == "report":
        made["figures"] = _json_sha(run / "report_page.json")
        made["page"] = _sha((run / "report.html").exists())
    elif command == "fit_prior":
        made["prior"] = _sha(*_arrays(run / "prior-gmm.npz", ("about",)))
    else:
        files = sorted((out / "e" / "tflite").glob("*.tflite"))
        made["tflite"] = _sha(*(path.read_bytes() for path in files))
        made["recorded"] = _sha(*_arrays(out / "e" / "recorded.npz"))
        (version,) = sorted((out / "e" / "saved_model").glob("*/*"))[-1:]
        made["variables"] = _sha(*_variables(version / "variables" / "variables"))
    return made


def _weights(path):
    import h5py

    with zipfile.ZipFile(path) as archive:
        content = archive.read("model.weights.h5")
    found = []
    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(
            lambda name, item: found.append((name, item[()].tobytes()))
            if isinstance(item, h5py.Dataset)
            else None
        )
    return sorted(found)


def _variables(path):
    """Returns the values of a SavedModel's variables; their order in the file is by chance."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(path))
    names = [name for name in reader.get_variable_to_shape_map() if name.endswith("VARIABLE_VALUE")]
    return sorted(reader.get_tensor(name).tobytes() for name in names)


def _arrays(path, without=()):
    with np.load(path) as file:
        return [(name, file[name].tobytes()) for name in file.files if name not in without]


def _json_sha(path):
    return _sha(_plain(json.loads(path.read_text(encoding="utf-8"))))


def _plain(tree):
    """Returns a tree without its clocks, and without the names of runs."""
    if isinstance(tree, dict):
        kept = {name: _plain(item) for name, item in tree.items() if name not in _CLOCKS}
        if "reports" in kept:
            kept["reports"] = list(kept["reports"].values())
        return kept
    return [_plain(item) for item in tree] if isinstance(tree, list) else tree


def _sha(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()


class Reference:
    """Undisturbed commands of each model.

    Args:
        place: the folder that keeps them; ../data.npz of a case lies there.
    """

    def __init__(self, place):
        self.place = pathlib.Path(place)
        self.place.mkdir(parents=True, exist_ok=True)
        data = self.place / "data.npz"
        if not data.exists():
            rng = np.random.default_rng(0)
            image = (rng.random((80, 8, 8)) < 0.4).astype(np.uint8) * 255
            np.savez(data, image=image, label=np.arange(80) % 4)

    def of(self, model, command):
        """Returns {"digest": ..., "seconds": ...} of a command, and the folder it worked in."""
        place = self.place / model
        known = place / f"{command}.json"
        if command != "train":
            self.of(model, "train")
        if not known.exists():
            place.mkdir(exist_ok=True)
            begun = time.monotonic()
            pid = start(command, argv_of(command, model, RUN, "."), place)
            code = campaign.wait(pid, WAIT)
            if code:
                text = (place / "log").read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"{command} of {model} ends with {code}: {text[-2000:]}")
            found = {
                "digest": digest(command, place / RUN, place),
                "seconds": time.monotonic() - begun,
            }
            if command == "train":
                shutil.copytree(place / RUN, place / "trained")
            known.write_text(json.dumps(found), encoding="utf-8")
        return json.loads(known.read_text(encoding="utf-8"))
