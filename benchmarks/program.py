"""Training steps as programs of StableHLO, in one folder to carry to a machine without TensorFlow.

A training program makes many steps a call: it takes the images as they are stored (uint8), the
rows of each batch, and the state (weights, moments, step, metrics); it draws ink and noise from
the step, as the training command does; it gives the metrics, their mean over these steps, and the
next state.
Sampling and decoding are programs too. The folder holds

    manifest.json        each case: its program, inputs, outputs, which output is whose next value
    <case>.stablehlo     the program, a portable artifact
    values.npz           initial state, images, labels; equal arrays once
    programs.py, ...     what runs them there, with JAX and NumPy alone; see docs/gpu.md
"""

import hashlib
import pathlib
import shutil

from benchmarks import harness
from vae_zoo import errors, runs

_PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
_KINDS = ("train", "sample", "decode")
FLAGS = harness.define(
    models=list,
    precision=(["float32", "mixed_bfloat16"], f"one or several of {', '.join(_PRECISIONS)}"),
    batch_sizes=["128", "1024"],
    what=(list(_KINDS), f"which programs: one or several of {', '.join(_KINDS)}"),
    steps=(50, "training steps in each call"),
    output_dir=(str, "the folder that is written, new or empty"),
    data_dir=str,
    smoke=(False, "write programs of small models"),
)

MANIFEST, VALUES = "manifest.json", "values.npz"
_PEERS = ("vae", "conv_vae", "resnet_vae")  # which are trained in PyTorch too
_MOST_BYTES = 64_000_000  # of the folder
_SCRIPTS = pathlib.Path(__file__).parent / "device"


def run():
    """Writes programs of training, sampling and decoding for a machine without TensorFlow."""
    names = harness.models([] if FLAGS.models == ["all"] else FLAGS.models)
    harness.check_known("precision", FLAGS.precision, _PRECISIONS)
    harness.check_known("what", FLAGS.what, _KINDS)
    sizes = harness.numbers("batch_sizes", FLAGS.batch_sizes)
    errors.at_least("--steps", FLAGS.steps, 1)
    folder = Folder(_new_folder(FLAGS.output_dir))
    for name in names:
        for precision in FLAGS.precision:
            model, splits = prepare(name, precision, tiny=FLAGS.smoke, data_dir=FLAGS.data_dir)
            for what in FLAGS.what:
                for size in sizes:
                    _write_case(folder, what, name, model, splits, size)
    folder.finish()
    size = f"{folder.bytes() / 1e6:.1f} MB"
    print(f"written to {folder.path}: {size}; docs/gpu.md says how to run it")


def prepare(name, precision="float32", *, tiny=False, data_dir=None):
    """Returns (model, splits), compiled as the training command does, for XLA."""
    from benchmarks import candidates

    return candidates.prepare(
        name, None, precision=precision, jit="on", tiny=tiny, data_dir=data_dir
    )


def _write_case(folder, what, name, model, splits, batch_size):
    policy = model.dtype_policy.name
    about = {"name": f"{what}-{name}-{policy}-{batch_size}", "what": what, "model": name}
    about |= {"precision": policy, "batch_size": batch_size}
    if what == "train":
        folder.add(*training(model, splits, batch_size, FLAGS.steps), about)
    else:
        found = generating(model, what, batch_size)
        if found is None:
            return
        folder.add(*found, about)
    print(about["name"], flush=True)


def training(model, splits, batch_size, steps):
    """Returns (lowering.Program, {input: array}, {figure: number}) of training steps.

    Args:
        model, splits: of `prepare`.
        batch_size: images a step.
        steps: of a call.
    """
    import tensorflow as tf

    from benchmarks import flops
    from export import lowering

    data = {"images": splits.raw("train")}
    if model.needs_labels:
        data["labels"] = splits.labels("train")
    specs = [tf.TensorSpec(v.shape, v.dtype, name=k) for k, v in data.items()]
    rows = tf.TensorSpec([steps, batch_size], tf.int32, name="rows")
    program = lowering.lower(training_steps(model, splits), [rows, *specs])
    figures = {"steps": steps, "flops_per_image": flops.training_flops(model, batch_size)}
    return program, data, figures | _network(model)


def _network(model):
    """Returns {"network": its sizes} of the models that peers.py trains, or nothing."""
    from benchmarks import candidates

    if model.name not in _PEERS or model.likelihood_name != "bernoulli":
        return {}
    return {"network": candidates.network(model)}


def training_steps(model, splits):
    """Returns a function (rows [steps, B], images, labels) that trains, and gives the metrics.

    Ink and noise of a step are those of the training command; the rows are the caller's.
    """
    import tensorflow as tf

    from vae_zoo.datasets import policies

    def ink(image):
        if splits.binarization != "dynamic":
            return policies.deterministic(image, splits.binarization)
        step = tf.cast(model.optimizer.iterations.value, tf.int64)
        return policies.drawn(image, splits.seed, step)

    def run_steps(rows, images, labels=None):
        model.reset_metrics()
        for i in tf.range(len(rows)):
            batch = {"image": ink(tf.gather(images, rows[i]))}
            if labels is not None:
                batch["label"] = tf.gather(labels, rows[i])
            model.train_step(batch)
        return model.get_metrics_result()

    return run_steps


def generating(model, what, batch_size):
    """Returns (lowering.Program, {}, {figure: number}) of sampling or decoding; None: it has none.

    Args:
        model: a vae_zoo.VAE.
        what: "sample" or "decode".
        batch_size: images a call.
    """
    from benchmarks import flops
    from export import lowering, signatures

    signature = signatures.signatures(model, (what,)).get(what)
    if signature is None:
        return None
    program = lowering.lower(signature.function, signatures.input_specs(signature, batch_size))
    known = {"flops_per_image": flops.decoding_flops(model, batch_size)} if what == "decode" else {}
    return program, {}, known


class Folder:
    """The folder that is carried.

    Args:
        path: a new or empty directory.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.cases, self.arrays, self.keys = [], {}, {}

    def add(self, program, data, figures, about):
        """Writes a program; a UserError where the folder gets larger than it may.

        Args:
            program: lowering.Program.
            data: {input: array} of what it takes in addition to its state.
            figures: what is known of the work.
            about: name, what, model, precision and batch size.
        """
        file = f"{about['name']}.stablehlo"
        (self.path / file).write_bytes(program.artifact)
        inputs = [dict(each) for each in program.inputs]
        for tensor, value in zip(inputs[len(inputs) - len(program.state) :], program.state,
                                 strict=True):  # fmt: skip
            tensor |= self._kept(value)
        for tensor in inputs:
            if tensor["name"] in data:
                tensor |= self._kept(data[tensor["name"]])
        case = {**about, **figures, "program": file, "inputs": inputs}
        self.cases.append({**case, "outputs": program.outputs, "following": program.following})
        if self.bytes() > _MOST_BYTES:
            raise errors.UserError(
                f"{self.path} would hold {self.bytes() / 1e6:.0f} MB, after {about['name']}. "
                f"Expected at most {_MOST_BYTES / 1e6:.0f}: give fewer --models or --batch_sizes."
            )

    def bytes(self):
        """Returns the size of programs and values."""
        files = sum(path.stat().st_size for path in self.path.glob("*.stablehlo"))
        return files + sum(array.nbytes for array in self.arrays.values())

    def finish(self):
        """Writes values, manifest and the scripts."""
        import numpy as np

        np.savez_compressed(self.path / VALUES, **self.arrays)
        lowered = {"commit": runs.git_commit(), "versions": runs.versions()}
        runs.write_json(self.path / MANIFEST, {"lowered": lowered, "cases": self.cases})
        for script in (*_SCRIPTS.glob("*.??"), _SCRIPTS.parent.parent / "export" / _READER):
            if script.name != "__init__.py":
                shutil.copy(script, self.path)

    def _kept(self, value):
        """Returns what the manifest says of an array: one number, or its name in values.npz."""
        from export import lowering

        number = lowering.constant(value)
        if number is not None:
            return {"fill": number}
        digest = hashlib.sha256(value.tobytes()).hexdigest()
        name = self.keys.setdefault((value.dtype.name, value.shape, digest), f"v{len(self.keys)}")
        self.arrays[name] = value
        return {"values": name}


_READER = "stablehlo_reader.py"


def _new_folder(path):
    if not path:
        raise errors.UserError("--output_dir is missing: expected a new folder.")
    path = pathlib.Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise errors.UserError(f"--output_dir={path} is not empty. Expected a new folder.")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.UserError(f"--output_dir={path} cannot be made ({error.strerror}).") from error
    return path
