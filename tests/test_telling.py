"""What the numbers of a page tell: the rule, by numbers whose answer is known."""

import numpy as np
import pytest

from benchmarks import harness, telling_report


def test_only_a_gap_wider_than_both_ranges_tells_kinds_apart():
    tells = telling_report.tells_apart
    assert tells([5.0, 6.0, 5.5], [1.0, 2.0, 1.5]) == 1
    assert tells([1.0, 2.0, 1.5], [5.0, 6.0, 5.5]) == -1
    assert tells([2.1, 3.1, 2.6], [1.0, 2.0, 1.5]) == 0  # no seeds overlap: not enough
    assert tells([1.0, 1.0], [1.0, 1.0]) == 0 and tells([2, 2], [1, 1]) == 1
    assert tells([5.0, None], [1.0, 1.0]) == 0


def test_noise_is_told_apart_as_rarely_as_the_section_says():
    draws = np.random.default_rng(0).normal(size=(8000, 2, 3))
    found = np.mean([abs(telling_report.tells_apart(*pair)) for pair in draws])
    assert 1 / 120 < found < 1 / 60


def test_a_chain_orders_every_two_of_its_kinds():
    assert telling_report.pairs("a > b > c; a > d") == [
        ("a", "b"), ("a", "c"), ("b", "c"), ("a", "d")
    ]  # fmt: skip
    values = {"a": [9.0, 9.5], "b": [1.0, 1.1], "c": [4.0, 4.1], "d": [None, None]}
    found = telling_report.verdict(values, "a > b > c; a > d")
    assert found.told == [("a", "b"), ("a", "c")] and found.against == [("b", "c")]
    assert found.open == [("a", "d")]  # undefined: nothing is claimed


def test_predictions_name_kinds_that_are_trained():
    from benchmarks import telling

    for part, known in telling_report.NUMBERS.items():
        for number in known.values():
            named = {kind for pair in telling_report.pairs(number.predicted) for kind in pair}
            assert named and named <= set(telling.PARTS[part].kinds), number


@pytest.fixture
def result():
    """A result of two kinds on sprites: MIG tells them apart, SAP does not, IRS the wrong way."""
    numbers = {
        "VAE": {"mig": [0.1, 0.11], "sap": [0.1, 0.3], "irs": [0.5, 0.51]},
        "beta-TCVAE": {"mig": [0.4, 0.41], "sap": [0.2, 0.2], "irs": [0.3, 0.31]},
    }
    origin = {"command": "c", "commit": "a", "machine": harness.machine(), "versions": {}}
    runs = [
        {"kind": kind, "seed": seed, "origin": origin,
         "numbers": {name: value[seed] for name, value in of_kind.items()}}
        for kind, of_kind in numbers.items() for seed in (0, 1)
    ]  # fmt: skip
    figures = {"dataset": "sprites", "image_size": 32, "batch_size": 8, "steps": 9, "num": 6}
    figures |= {"num_images": 7, "kinds": dict.fromkeys(numbers), "runs": runs}
    return {"benchmark": "telling-sprites", "figures": figures}


def test_the_section_names_what_tells_nothing_and_what_tells_otherwise(result):
    text = "\n".join(telling_report.telling([result]))
    told = "| 0.105 ± 0.00707 | 0.405 ± 0.00707 | beta-TCVAE > VAE | 1 of 1 |  |"
    assert f"| MIG of means {told}" in text
    assert "1 of 15 numbers tell a pair apart as predicted" in text
    [line] = [line for line in text.splitlines() if "No pair" in line]
    silent, wrong = line.split("A pair the other way round: ")
    assert "SAP" in silent and "IRS" in silent and "MIG of means" not in silent
    assert wrong.startswith("IRS.")
    open_ = "| 0.2 ± 0.141 | 0.2 ± 0 | beta-TCVAE > VAE | 0 of 1 | beta-TCVAE ? VAE |"
    assert f"| SAP {open_}" in text
    assert "undefined" in text  # the numbers that these runs have not
