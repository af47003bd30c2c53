"""The benchmarks: figures with an honest spread, comparisons, a report of what files say."""

import pathlib

import numpy as np
import pytest

from benchmarks import compare, flops, harness, report, scaling, scaling_model, scaling_report

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


def test_flops_of_convolutions_are_counted_by_hand(tiny):
    model = tiny("conv_vae")  # z 3 - 256 - 7 x 7 x 4 - 3 x 3 to 4, to 16, to 4 at 14 x 14
    dense = 3 * 256 + 256 * 196
    convolutions = 49 * 9 * 4 * 4 + 49 * 9 * 4 * 16 + 196 * 9 * 4 * 4
    assert flops.decoding_flops(model) == 2 * (dense + convolutions)


def test_only_what_is_outside_the_spread_has_changed():
    def rows(speed):
        return [{"model": "vae", "speed": harness.figure(np.linspace(0.9, 1.1, 7) * speed, "x")}]

    assert list(compare.changes(rows(100.0), rows(110.0))) == []
    assert list(compare.changes(rows(100.0), rows(50.0))) == ["slower: vae/speed 100.0 -> 50.0 x"]
    assert next(compare.changes(rows(100.0), rows(150.0))).startswith("faster")


def test_a_longer_step_is_slower():
    def rows(time):
        return [{"workers": 2, "step": harness.figure([time], "ms")}]

    assert list(compare.changes(rows(1.0), rows(2.0))) == ["slower: 2/step 1.0 -> 2.0 ms"]
    assert next(compare.changes(rows(2.0), rows(1.0))).startswith("faster")


WORK = scaling_model.Work(fixed=0.01, image=0.001, global_image=1e-6, gradient_bytes=4_000_000)
LINK = scaling_model.Link(byte=8e-9, latency=2e-5)  # 1 Gbit/s


def test_a_step_of_several_workers_by_hand():
    assert scaling_model.step_time(WORK, LINK, 1, 100) == pytest.approx(0.11)
    parts = scaling_model.step_parts(WORK, LINK, 4, 100)
    assert parts["global_batch"] == pytest.approx(3 * 100 * 1e-6)
    assert parts["all_reduce"] == pytest.approx(6 / 4 * 4e6 * 8e-9 + 6 * 2e-5)
    assert scaling_model.efficiency(WORK, LINK, 4, 100) == pytest.approx(0.11 / 0.15842)


def test_efficiency_falls_with_the_workers_to_the_limit_of_the_bandwidth():
    counts = (1, 2, 8, 64, 1024)
    shares = [scaling_model.efficiency(WORK, LINK, count, 100) for count in counts]
    assert shares[0] == 1.0 and shares == sorted(shares, reverse=True)
    work, link = WORK._replace(global_image=0.0), LINK._replace(latency=0.0)
    limit = 0.11 / (0.11 + 2 * 4e6 * 8e-9)  # every byte goes twice
    assert scaling_model.efficiency(work, link, 10**6, 100) == pytest.approx(limit, rel=1e-5)


def test_the_fit_finds_the_work_and_the_link_behind_the_times():
    works = [WORK, WORK._replace(gradient_bytes=1_000_000)]
    times = {size: scaling_model.step_time(WORK, LINK, 1, size) for size in (32, 64, 256)}
    inputs = {size: 0.002 + WORK.global_image * size for size in (32, 64, 256)}
    assert scaling_model.fit_work(times, inputs, 4_000_000) == pytest.approx(WORK)
    rows = [(work, 2, 32, scaling_model.step_time(work, LINK, 2, 32)) for work in works]
    assert scaling_model.fit_link(rows, latency=1.0) == pytest.approx(LINK)
    assert scaling_model.fit_link(rows[:1], LINK.latency) == pytest.approx(LINK)


def test_the_figures_of_scaling_check_the_model_and_predict():
    def measured(name, work):
        times = {("multi_worker", count, size): scaling_model.step_time(work, LINK, count, size)
                 for count in (1, 2) for size in (32, 64, 256)}  # fmt: skip
        times |= {("inputs", 1, size): work.global_image * size for size in (32, 64, 256)}
        times |= {("one", 1, size): times["multi_worker", 1, size] for size in (32, 64, 256)}
        speeds = {candidate: [1 / seconds] * 7 for candidate, seconds in times.items()}
        rows = [scaling._row(name, *candidate, speeds) for candidate in times]
        return {
            "rows": [row for row in rows if row["strategy"] != "inputs"],
            "inputs": [row for row in rows if row["strategy"] == "inputs"],
            "agreement": [{"strategy": "multi_worker", "workers": 2, "largest_difference": 1e-6}],
            "gradient_bytes": work.gradient_bytes,
        }

    scaling.FLAGS(["scaling"])
    settings = {"models": ["small", "large"], "batch_sizes": [32, 64, 256], "links_gbit": [10.0]}
    works = {"small": WORK, "large": WORK._replace(gradient_bytes=10_000_000)}
    figures = scaling._figures({name: measured(name, works[name]) for name in works}, settings)
    assert figures["link"]["byte"] == pytest.approx(LINK.byte)
    assert [row["batch_size"] for row in figures["check"]] == [64, 256] * 2  # 32: fitted
    assert all(abs(row["relative_error"]) < 1e-6 for row in figures["check"])
    assert len(figures["predictions"]) == 2 * 3 * 3  # transports, workers, batches
    tables = [part for part in scaling_report.parts(figures) if isinstance(part, list)]
    assert [len(table) for table in tables] == [1 + 18, 1 + 4, 1 + 6]
    assert all(len(row) == len(table[0]) for table in tables for row in table)


@pytest.mark.parametrize(
    "flag",
    ["workers=2", "workers=1,x", "batch_sizes=32", "batch_sizes=0,1", "links_gbit=-1", "rounds=0",
     "link_latency_us=-1", "models=conv_vea"],
)  # fmt: skip
def test_scaling_refuses_flags_in_one_line(flag, one_line):
    assert flag.split("=")[0] in one_line(scaling.run, scaling.FLAGS, [f"--{flag}"])


def test_compare_says_what_is_no_result(command, tmp_path):
    (tmp_path / "a.json").write_text("{}")
    result = command("benchmarks", "compare", tmp_path / "a.json", tmp_path / "a.json")
    assert result.returncode == 2 and "is no result of a benchmark" in result.stderr
    assert command("benchmarks", "peer").returncode == 2
    assert "peers" in command("benchmarks").stdout


def test_readme_lists_the_registry():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert report.with_models(text) == text, "run: python -m benchmarks report"


def test_results_are_what_the_files_say(tmp_path, monkeypatch):
    """RESULTS.md is the report of the files that lie beside it."""
    written = (ROOT / "RESULTS.md").read_text(encoding="utf-8")
    monkeypatch.setattr(report, "ROOT", tmp_path)
    (tmp_path / "benchmarks/results").mkdir(parents=True)
    (tmp_path / "README.md").write_text((ROOT / "README.md").read_text(encoding="utf-8"))
    report.run()
    assert (tmp_path / "RESULTS.md").read_text(encoding="utf-8") == written


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, flags",
    [
        ("memory", ()),
        ("quality", ("--models=vae", "--dataset=digits", "--minutes=0.05", "--num_images=8")),
        ("peers", ("--models=conv_vae", "--precisions=float32")),
        ("latency", ()),
        ("scaling", ()),
    ],
)
def test_every_benchmark_runs(name, flags, command, data_dir, tmp_path):
    if name in ("peers", "latency"):
        pytest.importorskip("torch", reason="needs the extra `peers`")
    if name == "quality":
        flags = (*flags, "--num_samples=2", f"--output_dir={tmp_path}", f"--data_dir={data_dir}")
    result = command("benchmarks", name, "--smoke", *flags)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "a smoke run, nothing written" in result.stdout
