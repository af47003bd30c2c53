"""How throughput grows with the workers: the closed form, its fit, what the figures hold."""

import pytest

from benchmarks import harness, scaling, scaling_model, scaling_report

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
        inputs = {("inputs", count, 32): 0.001 + work.global_image * 32 * count
                  for count in (1, 8, 32)}  # fmt: skip
        times |= inputs
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
    assert len(figures["predictions"]) == 2 * 3  # transports, workers; the largest batch
    result = {"benchmark": "scaling", "figures": figures, **harness.origin()}
    tables = [part.splitlines() for part in scaling_report.scaling([result]) if part[0] == "|"]
    assert [len(table) for table in tables] == [2 + 18, 2 + 4, 2 + 6]
    assert all(row.count(" | ") == table[0].count(" | ") for table in tables for row in table)


@pytest.mark.parametrize(
    "flag",
    ["workers=2", "workers=1,x", "batch_sizes=32", "batch_sizes=0,1", "links_gbit=-1", "rounds=0",
     "link_latency_us=-1", "models=conv_vea"],
)  # fmt: skip
def test_scaling_refuses_flags_in_one_line(flag, one_line):
    line = one_line(scaling.run, scaling.FLAGS, [f"--{flag}"])
    assert flag.split("=")[0] in line or "'conv_vae'" in line
