"""Runs the programs of a folder of `python -m benchmarks program`: needs JAX and NumPy alone.

    python FOLDER/programs.py --seconds=400 --result=program.json

Each case is compiled, several at once; then timed. Its row says what came of it, a failure too. The
device's own matrix products, in the same run, are what its speed is a share of. The result is
written after each case, and no case begins when the seconds are over. What the device is stands in
every row: figures of a CPU are those of a CPU.
"""

import argparse
import concurrent.futures
import math
import os
import pathlib
import time

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # others measure here too

import jax  # noqa: E402
import measure  # noqa: E402
import numpy as np  # noqa: E402
import stablehlo_reader  # noqa: E402

_HERE = pathlib.Path(__file__).parent
_TURNS, _TURN_SECONDS = 7, 3.0  # of a case: at least so many, of so many seconds together
_CALL_SECONDS = 0.05  # calls are grouped to last so long
_PACKAGES = ("jax", "jaxlib", "numpy")
_MOST_CALLS = 200
_LEAST_PEAK_CALL = 0.1
_PEAKS = {  # name: (dtype, algorithm of jax.lax.dot)
    "float32": ("float32", "F32_F32_F32"),
    "tf32": ("float32", "TF32_TF32_F32"),
    "bfloat16": ("bfloat16", "BF16_BF16_F32"),
}
# What XLA multiplies float32 in on a GPU, as TensorFlow does; elsewhere float32.
_PEAK_OF = {"float32": "tf32", "mixed_bfloat16": "bfloat16", "mixed_float16": "bfloat16"}


def main():
    """Runs the folder's cases and writes one JSON."""
    given = _arguments()
    budget = measure.Budget(given.seconds)
    manifest = measure.read(_HERE / "manifest.json")
    chosen = [case for case in manifest["cases"] if given.only in case["name"]]
    device = jax.devices()[0]
    result = measure.new_result(
        "program", device.platform, device.device_kind, _PACKAGES, manifest["lowered"]
    )
    figures = result["figures"]
    for name, speeds in peaks(device.platform, budget):
        figures["peaks"][name] = speeds
        measure.say(f"{name} product", speeds)
    values = dict(np.load(_HERE / "values.npz"))
    measure.write_rows(
        given.result,
        result,
        (
            {**_named(case, device), **row_of(case, compiled, values, figures, budget)}
            for case, compiled in compiled_in_waves(chosen, given.workers, budget)
        ),
    )


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=400.0, help="of the whole run")
    parser.add_argument("--result", default="program.json", help="the file that is written")
    parser.add_argument("--only", default="", help="cases whose name has this")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--workers", type=int, default=max(1, cores // 2), help="compilations")
    return parser.parse_args()


def peaks(platform, budget):
    """Yields (name, figure) of the matrix products that the device can make, in FLOP a second."""
    size = 1024 if platform == "cpu" else 8192
    for name, (dtype, algorithm) in _PEAKS.items():
        if platform == "cpu" and name == "tf32":  # a CPU has no such product
            continue
        try:
            speeds = measure.speeds(_products(size, dtype, algorithm), _TURNS, 1.0, budget)
        except Exception as error:  # a device without it fails in as many ways as there are
            print(f"{name} product: not measured: {measure.line(error)}", flush=True)
        else:
            yield name, measure.figure(speeds, "FLOP/s")


def _products(size, dtype, algorithm):
    """Returns a function that multiplies matrices many times; it returns the FLOPs."""
    preset = jax.lax.DotAlgorithmPreset[algorithm]
    if jax.default_backend() == "cpu":  # it knows one algorithm for each dtype
        preset = jax.lax.Precision.HIGHEST
    draws = np.random.default_rng(0).standard_normal((size, size)) / math.sqrt(size)
    matrix = jax.device_put(draws.astype(np.float32)).astype(dtype)

    def power(count):
        def step(_, product):
            return jax.lax.dot(product, matrix, precision=preset).astype(dtype)

        return jax.lax.fori_loop(0, count, step, matrix)

    run = jax.jit(power)
    run(1).block_until_ready()
    start = time.perf_counter()
    run(4).block_until_ready()
    count = max(4, math.ceil(_LEAST_PEAK_CALL * 4 / (time.perf_counter() - start)))

    def work():
        run(count).block_until_ready()
        return 2.0 * count * size**3

    return work


def compiled_in_waves(cases, workers, budget):
    """Yields (case, compiled program or exception): a wave is compiled before it is timed.

    So no compilation, which takes the device to choose its kernels, runs during a measurement.
    """
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(cases), workers):
            wave = cases[start : start + workers]
            if budget.left() <= 0:
                yield from ((case, TimeoutError("the seconds are over")) for case in wave)
                continue
            yield from zip(wave, list(pool.map(_attempt, wave)), strict=True)


def _attempt(case):
    try:
        return compiled(case)
    except Exception as error:  # of the compiler; the other cases go on
        return error


def compiled(case):
    """Returns (program, seconds of compiling); the program takes and gives device arrays."""
    start = time.perf_counter()
    artifact = (_HERE / case["program"]).read_bytes()
    function = stablehlo_reader.function_of(artifact, case["inputs"], case["outputs"])
    donated = tuple(into for _, into in case["following"])
    specs = [jax.ShapeDtypeStruct(tuple(t["shape"]), t["dtype"]) for t in case["inputs"]]
    program = jax.jit(function, donate_argnums=donated).lower(*specs).compile()
    return program, time.perf_counter() - start


def row_of(case, compilation, values, figures, budget):
    """Returns the figures of a case, or {"not_measured": why}."""
    def measured():
        if isinstance(compilation, Exception):
            raise compilation
        return _measured(case, *compilation, values, figures, budget)

    return measure.attempt(measured, budget)


def _measured(case, program, seconds, values, figures, budget):
    calls = Calls(case, program, values)
    first = calls.metrics()
    speeds = measure.speeds(calls.grouped(), _TURNS, _TURN_SECONDS, budget)
    row = {
        "images_per_second": measure.figure(speeds, "images/s"),
        "compile_seconds": round(seconds, 2),
        "memory_bytes": _memory(program),
        **{key: case[key] for key in ("steps", "flops_per_image") if key in case},
        **_loss(first, calls.metrics()),
    }
    peak = _PEAK_OF[case["precision"]]
    peak = peak if peak in figures["peaks"] else "float32"
    if "flops_per_image" in case and peak in figures["peaks"]:
        limit = figures["peaks"][peak]["median"]
        row["share_of_peak"] = measure.share(speeds, case["flops_per_image"], [limit] * len(speeds))
        row["peak"] = peak
    return row


def _loss(first, last):
    """Returns the loss of the first and the last call; an error where training does not train."""
    if "loss" not in first:
        return {}
    first, last = first["loss"], last["loss"]
    if not (math.isfinite(first) and math.isfinite(last) and last < first):
        raise ArithmeticError(f"the loss went from {first} to {last}: it does not train")
    return {"first_loss": first, "last_loss": last}


class Calls:
    """Calls of a program, each on what the one before it left.

    Args:
        case: of the manifest.
        program: compiled.
        values: {name: array} of values.npz.
    """

    def __init__(self, case, program, values):
        self.case, self.program = case, program
        self.arguments = [
            jax.device_put(value_of(case, tensor, values)) for tensor in case["inputs"]
        ]
        self.images = case.get("steps", 1) * case["batch_size"]
        self.outputs = ()

    def run(self):
        """Makes one call; does not wait."""
        self.outputs = self.program(*self.arguments)
        for output, into in self.case["following"]:
            self.arguments[into] = self.outputs[output]

    def wait(self):
        """Waits for the last call."""
        jax.block_until_ready(self.outputs)

    def metrics(self):
        """Makes a call; returns {name: number} of what it gives in addition to the state."""
        self.run()
        named = zip(self.case["outputs"], self.outputs, strict=True)
        return {t["name"]: float(v) for t, v in named if not t["shape"] and t["name"] == "loss"}

    def grouped(self):
        """Returns a function of several calls, long enough to time; it returns the images."""
        self.run()
        self.wait()
        start = time.perf_counter()
        self.run()
        self.wait()
        once = time.perf_counter() - start
        count = min(_MOST_CALLS, max(1, math.ceil(_CALL_SECONDS / once)))

        def work():
            for _ in range(count):
                self.run()
            self.wait()
            return count * self.images

        return work


def value_of(case, tensor, values):
    """Returns an input: what the manifest says of it, or made from its name."""
    shape, dtype = tensor["shape"], np.dtype(tensor["dtype"])
    if "values" in tensor:
        return values[tensor["values"]]
    if "fill" in tensor:
        return np.full(shape, tensor["fill"], dtype)
    rng = np.random.default_rng(0)
    if tensor["name"] == "rows":  # every image once, then again, in another order
        images = next(t["shape"][0] for t in case["inputs"] if t["name"] == "images")
        passes = -(-math.prod(shape) // images)
        order = np.concatenate([rng.permutation(images) for _ in range(passes)])
        return order[: math.prod(shape)].reshape(shape).astype(dtype)
    if tensor["name"] == "seed":
        return np.stack([np.zeros(shape[0]), np.arange(shape[0])], axis=1).astype(dtype)
    if tensor["name"] == "z":
        return rng.standard_normal(shape).astype(dtype)
    if tensor["name"] == "label":
        return np.zeros(shape, dtype)
    raise ValueError(f"nothing is known of the input {tensor['name']}")


def _memory(program):
    """Returns the bytes of device memory that a call takes, or None where JAX does not know."""
    known = program.memory_analysis()
    if known is None:
        return None
    parts = (known.argument_size_in_bytes, known.output_size_in_bytes, known.temp_size_in_bytes)
    return sum(parts) - known.alias_size_in_bytes


def _named(case, device):
    named = {key: case[key] for key in ("what", "model", "precision", "batch_size")}
    return {"device": f"{device.platform}: {device.device_kind}", **named}


if __name__ == "__main__":
    main()
