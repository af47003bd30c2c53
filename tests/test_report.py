"""What a report says of its figures, next to them: what they are of, and when to doubt them."""

import pytest

from vae_zoo import presets, registry
from vae_zoo.metrics import likelihood
from vae_zoo.runs import report, summary

BINARY = {"arguments": {}, "binarization": "dynamic"}
FIGURES = {"elbo": -2.0, "rate": 1.0, "distortion": 1.0, "nll": 1.5, "nll_stderr": 0.1}
PLACE = {"split": "test", "dataset": "digits", "binarization": "dynamic"}


def figures(effective=200.0, given_label=False, num_samples=300, config=BINARY):
    """Returns a report's figures of an Evaluation."""
    rest = dict.fromkeys(likelihood.Evaluation._fields)
    rest |= {**FIGURES, "num_images": 10, "num_samples": num_samples, "is_bound": False}
    rest |= {"effective_sample_size": effective, "given_label": given_label}
    return report.likelihood_figures(likelihood.Evaluation(**rest), config) | PLACE


def test_effective_samples_stand_next_to_the_nll():
    [line] = summary.likelihood_lines(figures())
    assert "(300 importance samples of which 200.0 count)" in line


def test_few_effective_samples_are_warned_of():
    found = figures(effective=3.6)
    line, warning = summary.likelihood_lines(found)
    assert "of which 3.6 count" in line and "Only 3.6 of 300" in found["nll_warning"]
    assert warning.startswith("WARNING: ") and "over images, not of the bound's bias" in warning
    grey = figures(effective=3.6, config={"arguments": {}, "binarization": "none"})
    assert "nll_warning" not in grey  # it has no NLL


def test_an_nll_given_the_label_has_its_mark():
    found = figures(given_label=True)
    assert found["given_label"] and "(given the label, 300" in summary.likelihood_line(found)
    assert ", given the label" in presets.nll(found)
    assert "label" not in summary.likelihood_line(figures()) + presets.nll(figures())


@pytest.mark.parametrize("name", registry.model_names())
def test_tables_mark_every_conditional_model(name):
    from benchmarks import markdown

    marked = markdown.given_label(name) == ", given the label"
    assert marked == registry.model_class(name).needs_labels


def test_completeness_stands_next_to_that_of_real_images_and_to_diversity():
    complete = {"share": 0.88, "num_samples": 200, "classes_seen": 10, "classes": 10}
    steady = {"median": None, "p95": None, "reason": "undefined: the images do not change"}
    line = summary._property_line({"continuity": steady, "completeness": complete})
    assert "real" not in line and "Continuity: undefined: the images do not change" in line
    complete |= {"test_share": 0.75, "reconstruction_share": 0.5, "diversity": 0.02}
    line = summary._property_line({"continuity": steady, "completeness": complete})
    assert "88%" in line and "(reconstructions: 50%, real test images: 75%)" in line
    assert "lie 2% as far apart as real images" in line


def test_total_correlation_is_said_with_both_bounds():
    found = {"low": -0.5, "high": 0.49, "num_images": 4000, "num_samples": 500}
    [line] = summary._total_correlation_lines({"total_correlation": found})
    assert "between -0.50 and 0.49 nats" in line and "4,000 training images" in line
    assert summary._total_correlation_lines({}) == []
