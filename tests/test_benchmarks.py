"""The benchmarks: figures with an honest spread, comparisons, a report of what files say."""

import importlib.util
import pathlib
import sys

import keras
import numpy as np
import pytest

import vae_zoo
from benchmarks import (
    chromium,
    compare,
    flops,
    harness,
    latency,
    markdown,
    peers,
    report,
    runtimes,
    sections,
    throughput,
)

ROOT = pathlib.Path(__file__).parent.parent


def test_interval_of_the_median_holds_it_at_95_percent():
    assert harness.figure(range(7), "x")["low"] == 0  # of seven values, all of them
    figure = harness.figure(np.arange(101.0), "x")
    assert figure["median"] == 50 and figure["low"] == 40 and figure["high"] == 60


def test_candidates_take_turns_and_their_first_call_does_not_count():
    order = []

    def candidate(name):
        def work():
            order.append(name)
            return 10

        return work

    speeds = harness.interleave({"a": candidate("a"), "b": candidate("b")}, 3, seconds=0.0)
    assert order == ["a", "b"] + ["a", "b"] * 3
    assert {name: len(values) for name, values in speeds.items()} == {"a": 3, "b": 3}


def test_flops_of_dense_layers_are_counted_by_hand(tiny):
    model = tiny("vae")  # 784 - 16 - 6, 3 - 16 - 784
    weights = 784 * 16 + 16 * 6 + 3 * 16 + 16 * 784
    assert flops.decoding_flops(model) == 2 * (3 * 16 + 16 * 784)
    # Forward, and backward to weights and to inputs; the image needs no gradient.
    assert flops.training_flops(model) == 2 * (3 * weights - 784 * 16)


def test_flops_of_training_convolutions_leave_out_the_gradient_of_the_image(tiny):
    model = tiny("conv_vae")  # 4 x 4 of 1 to 4 at 14 x 14; 4 x 4 and 3 x 3 of 4 to 4 at 7 x 7
    first = 196 * 16 * 1 * 4
    encoder = first + 49 * 16 * 4 * 4 + 49 * 9 * 4 * 4
    dense = sum(layer.kernel.shape.num_elements() for layer in _dense_layers(model))
    decoder = flops.decoding_flops(model) / 2 - (3 * 256 + 256 * 196)
    assert flops.training_flops(model) == 2 * (3 * (encoder + dense + decoder) - first)


def _dense_layers(model):
    layers = [*model.encoder.layers, model.posterior_head, *model.decoder.layers]
    return [layer for layer in layers if isinstance(layer, keras.layers.Dense)]


def test_flops_of_convolutions_are_counted_by_hand(tiny):
    model = tiny("conv_vae")  # z 3 - 256 - 7 x 7 x 4 - 3 x 3 to 4, to 16, to 4 at 14 x 14
    dense = 3 * 256 + 256 * 196
    convolutions = 49 * 9 * 4 * 4 + 49 * 9 * 4 * 16 + 196 * 9 * 4 * 4
    assert flops.decoding_flops(model) == 2 * (dense + convolutions)


def test_only_what_is_outside_the_spread_has_changed():
    def rows(speed):
        return [{"model": "vae", "speed": harness.figure(np.linspace(0.9, 1.1, 7) * speed, "x")}]

    assert list(compare.changes(rows(100.0), rows(110.0))) == []
    assert list(compare.changes(rows(100.0), rows(50.0))) == ["slower: vae/speed 100 -> 50 x"]
    assert next(compare.changes(rows(100.0), rows(150.0))).startswith("faster")


def test_fewer_milliseconds_are_faster_and_a_row_without_what_is_the_decoder():
    def rows(milliseconds, **settings):
        p50 = harness.figure(np.linspace(0.9, 1.1, 7) * milliseconds, "ms")
        return [{"model": "vae", **settings, "batch_size": 1, "latency": {"keras": {"p50": p50}}}]

    old, new = rows(2.0), rows(1.0, what="decode") + rows(4.0, what="sample")
    assert list(compare.changes(old, new)) == [
        "faster: vae 1/latency/keras/p50 2 -> 1 ms",
        "only new: vae sample 1/latency/keras/p50",
    ]


def test_rows_of_two_devices_are_not_taken_for_one_another():
    def row(device, speed):
        return {"device": device, "model": "vae", "train": harness.figure([speed] * 7, "images/s")}

    old, new = [row("cpu", 10.0)], [row("cpu", 10.0), row("gpu", 900.0)]
    assert list(compare.changes(old, new)) == ["only new: gpu vae/train"]
    with pytest.raises(vae_zoo.UserError, match="no figure of the same model and settings"):
        list(compare.changes(old, new[1:]))


def test_what_is_not_ours_is_neither_faster_nor_slower_and_nats_are_worse():
    def row(factor):
        peer = harness.figure([factor] * 7, "images/s")
        ours = harness.figure([1 / factor] * 7, "ratio")
        return {"images_per_second": {"torch_eager": peer}, "ratio": {"torch_eager": ours},
                "nll": 80.0 + factor, "nll_stderr": 0.1, "peak_bytes": 10 - factor}  # fmt: skip

    assert list(compare.changes(row(1.0), row(2.0))) == [
        "changed: images_per_second/torch_eager 1 -> 2 images/s",
        "worse: nll 81 -> 82 nats",
        "better: peak_bytes 9 -> 8 bytes",
        "slower: ratio/torch_eager 1 -> 0.5 ratio",
    ]


def test_compare_says_what_is_no_result(command, tmp_path):
    (tmp_path / "a.json").write_text("{}")
    result = command("benchmarks", "compare", tmp_path / "a.json", tmp_path / "a.json")
    assert result.returncode == 2 and "is no result of a benchmark" in result.stderr
    assert command("benchmarks", "peer").returncode == 2
    assert "peers" in command("benchmarks").stdout


def test_readme_lists_the_registry():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert report.with_shapes(report.with_models(text)) == text, "run: python -m benchmarks report"


def test_results_are_what_the_files_say(tmp_path, monkeypatch):
    """RESULTS.md is the report of the files that lie next to it."""
    written = (ROOT / "RESULTS.md").read_text(encoding="utf-8")
    monkeypatch.setattr(sections, "ROOT", tmp_path)
    (tmp_path / "benchmarks/results").mkdir(parents=True)
    (tmp_path / "README.md").write_text((ROOT / "README.md").read_text(encoding="utf-8"))
    report.run()
    assert (tmp_path / "RESULTS.md").read_text(encoding="utf-8") == written


def test_latency_has_a_table_for_each_signature_and_says_what_was_not_measured():
    def row(**settings):
        one = {"p50": harness.figure([1.0] * 7, "ms"), "p99": 2.0, "first_ms": 3.0}
        figures = {"keras": one, "litert_js": {"not_measured": "no chromium"}}
        ratio = harness.figure([4.0] * 7, "ratio")
        return {"model": "vae", "batch_size": 1, **settings, "latency": figures,
                "torch_eager_to_tflite_float32": ratio}  # fmt: skip

    def text(*rows):
        parts = {"command": "c", "commit": "a", "versions": {"tensorflow": "2"}}
        result = {"benchmark": "latency", "machine": harness.machine(), "figures": rows, **parts}
        return "\n".join(sections.latency([result]))

    assert text(row()) == text(row(what="decode"))
    both = text(row(what="decode"), row(what="sample"))
    assert both.count("| keras | 1.000 (2.000; 3.0) |") == 2
    assert both.count("| litert js | not measured: no chromium |") == 2
    assert both.index("of the decoder") < both.index("of the sampler")


def test_what_is_not_installed_is_not_measured(monkeypatch):
    wanted = {name: runtimes._RUNTIMES[name] for name in ("onnx_runtime", "litert_js")}
    monkeypatch.setattr(runtimes, "_RUNTIMES", wanted)
    monkeypatch.setattr(chromium, "PATH", None)
    monkeypatch.setitem(sys.modules, "onnx", None)
    setting = runtimes.Setting(None, {}, None, "decode", {})
    reasons = {name: str(reason) for name, reason in runtimes.candidates(setting).items()}
    assert reasons == {
        "onnx_runtime": "onnx is not installed",
        "litert_js": "no chromium on the PATH",
    }
    assert list(runtimes.candidates(setting._replace(what="sample"))) == ["litert_js"]


def test_images_of_another_model_are_refused():
    images = {"keras": np.zeros([2, 3]), "tflite_int8": np.full([2, 3], 0.1)}
    latency.check_images(images)
    with pytest.raises(RuntimeError, match="litert_js gives another image"):
        latency.check_images({**images, "litert_js": [0.1] * 6})


def test_a_precision_that_the_processor_lacks_is_not_timed(monkeypatch):
    monkeypatch.setattr(harness, "_cpuinfo", {"flags": "fma avx2", "Features": ""}.get)
    assert "no bfloat16 arithmetic" in harness.missing("mixed_bfloat16")
    assert "no float16 arithmetic" in harness.missing("mixed_float16")
    assert harness.missing("float32") is None
    info = {"model name": "A processor", "flags": "avx512f amx_bf16", "Features": ""}
    monkeypatch.setattr(harness, "_cpuinfo", info.get)
    assert harness.missing("bfloat16") is None
    assert harness.machine()["processor"] == "A processor, AVX-512, AMX"


def test_figures_of_two_machines_are_told_apart():
    machine = {"processor": "A", "cores": 2, "memory_gb": 1.0}
    one = {"machine": machine, "versions": {"tensorflow": "2"}, "figures": {}}
    one |= {"commit": "c", "command": "one"}
    other = {**one, "machine": {**machine, "processor": "B"}, "command": "two"}
    lines = markdown.provenance([other, one]).splitlines()
    assert lines == [
        "A, 2 cores, 1.0 GB; TensorFlow 2; commit c; `one`",
        "",
        "B, 2 cores, 1.0 GB; TensorFlow 2; commit c; `two`",
    ]


def test_minutes_to_a_target_lie_on_the_curve():
    curve = [(2.0, 100.0), (4.0, 92.0), (8.0, 88.0)]
    assert sections.minutes_to(curve, 90) == "6.0"
    assert sections.minutes_to(curve, 88) == "8.0"
    assert sections.minutes_to(curve, 101) == "at most 2.0"
    assert sections.minutes_to(curve, 86) == "not reached"


def test_flops_of_a_training_step_include_a_second_network(tiny):
    model = tiny("factor_vae")  # a discriminator of 3 - 16 - 16 - 1
    weights = 3 * 16 + 16 * 16 + 16 * 1
    # For the model: forward, and back to z. For itself: forward and back to weights and to the
    # inputs of all layers but the first, on z and on its permutation.
    its_own = 2 * (weights + weights + 2 * (3 * weights - 3 * 16))
    plain = flops.training_flops(tiny("conv_vae", latent_size=3))
    decoder_and_encoder = flops.training_flops(model) - its_own
    assert plain < decoder_and_encoder < 1.4 * plain  # the second look at the images


def test_numbers_that_make_no_sense_are_refused(one_line):
    line = one_line(throughput.run, throughput.FLAGS, ["--batch_sizes=0"])
    assert "--batch_sizes=0" in line
    if _has("torch"):
        assert "'vae'" in one_line(peers.run, peers.FLAGS, ["--models=vea"])


def _has(package):
    return importlib.util.find_spec(package) is not None


# name, its packages, flags
_SMOKE = [
    ("memory", (), ()),
    ("throughput", (), ("--models=vae,vdm",)),
    ("input", (), ()),
    ("images", (), ("--models=conv_vae --set=latent_size=8", "--num_images=8", "--num_samples=2")),
    ("zoo", (), ("--models=vq_vae", "--minutes=0.01", "--num_images=8", "--num_samples=2")),
    ("quality", (), ("--models=vae", "--dataset=digits", "--minutes=0.05", "--num_images=8")),
    ("quality", ("torch", "pythae"), ("--models=pythae", "--dataset=digits", "--minutes=0.05")),
    (
        "peers",
        ("torch", "pythae"),
        ("--models=conv_vae,pythae_default", "--precisions=float32"),
    ),
    # Without the compiler, which has compiled above.
    ("peers", ("torch",), ("--models=conv_vae", "--candidates=torch_eager")),
    ("peers", ("torch",), ("--models=colour_32", "--candidates=torch_eager")),
    ("likelihood", ("torch", "pythae"), ()),
    ("latency", ("torch",), ("--batch_sizes=16",)),
    ("scaling", (), ()),
    ("telling", (), ("--parts=digits",)),
    ("telling", (), ("--parts=sprites",)),
]


@pytest.mark.slow
@pytest.mark.parametrize("name, packages, flags", _SMOKE)
def test_every_benchmark_runs(name, packages, flags, command, data_dir, npz):
    for package in packages:
        pytest.importorskip(package, reason="needs the extra `peers`")
    if name in ("quality", "telling", "zoo"):
        flags = (*flags, f"--data_dir={data_dir}")
    if name == "images":  # of two colours: their classes are told apart by the quick machine
        labels = np.arange(200) % 2
        light = np.random.default_rng(0).integers(0, 100, (200, 8, 8, 3), dtype=np.uint8)
        light[labels == 1, :, :, 0] += 150
        flags = (*flags, f"--datasets={npz(image=light, label=labels)}")
    if name == "quality":
        flags = (*flags, "--num_samples=2")
    result = command("benchmarks", name, "--smoke", *flags, timeout=900)  # a compiler may run
    assert result.returncode == 0, result.stderr[-2000:]
    assert "a smoke run, nothing written" in result.stdout
