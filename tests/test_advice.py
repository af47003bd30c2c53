"""The sentences of a report: known figures in, a sentence out, or none."""

import math

import pytest

from vae_zoo.runs import advice, summary


def rows(validation, training=None, **columns):
    """Returns rows of metrics.csv, an epoch of 100 steps for each bound."""
    training = validation if training is None else training
    return [
        {"epoch": i + 1, "step": 100 * (i + 1), "elbo": t, "val_elbo": v, **columns}
        for i, (v, t) in enumerate(zip(validation, training, strict=True))
    ]


RISING = [-200.0 + 5 * i for i in range(20)]  # to -105, 10 of it in the last two epochs
FLAT = [-120.0] * 10 + [-100.0 - 1e-3 * i for i in range(10)]


def test_a_training_that_was_stopped_too_early_says_by_how_much():
    said = advice.still_improving(rows(RISING))
    assert "fell by 10.00 nats in the last tenth" in said and "--steps=4000" in said
    assert advice.still_improving(rows(FLAT)) is None
    assert advice.still_improving(rows(RISING[:1])) is None
    assert advice.still_improving(rows([-9.0, math.nan])) is None


@pytest.mark.parametrize("column, sign", [("val_loss", -1), ("val_bound", 1)])
def test_what_the_best_epoch_is_chosen_by_is_what_counts(column, sign):
    made = [{**row, column: sign * row["val_elbo"], "loss": 500.0} for row in rows(RISING)]
    for row in made:
        row["val_elbo"] = -500.0
    assert "to 105.00" in advice.still_improving(made)


def test_overfitting_states_both_values_and_the_best_epoch():
    validated = [-130.0, -110.0, -100.0, -104.0, -112.0]
    trained = [-130.0, -108.0, -95.0, -85.0, -80.0]
    said = advice.overfitting({}, rows(validated, trained))
    assert "80.00 nats on training images and 112.00 on validation" in said
    assert "best in epoch 3 of 5 (100.00)" in said and "--augment" in said
    kept = advice.overfitting({"best_epoch": 4}, rows(validated, trained))  # of the objective
    assert "best in epoch 4 of 5 (104.00)" in kept
    assert advice.overfitting({}, rows(validated, [v + 2 for v in validated])) is None


@pytest.mark.parametrize(
    "active, size, words",
    [
        (3, 32, "3 of 32 latent dimensions are active, the others unused. --set latent_size=3"),
        (0, 16, "0 of 16 latent dimensions are active, the others unused. The decoder ignores"),
        (16, 32, None),
        (2, 2, None),
        (None, 32, None),
    ],
)
def test_unused_latents_are_counted(active, size, words):
    said = advice.unused_latents({"active_units": active, "latents": size})
    assert said is None if words is None else words in said
    assert advice.unused_latents({"active_units": 1}) is None


@pytest.mark.parametrize("active, near, said", [(8, 20.0, 1), (8, 25.0, 0), (7, 20.0, 0)])
def test_coarse_reconstructions_ask_for_latents(active, near, said):
    report = {"active_units": active, "latents": 8}
    sentence = advice.coarse_reconstructions({**report, "reconstruction": {"psnr": near}})
    assert bool(sentence) == said
    if said:
        assert "20.0 dB" in sentence and "latent_size=32" in sentence
    assert advice.coarse_reconstructions(report) is None  # binary images


def test_silent_layers_are_named_from_the_top():
    said = advice.unused_layers({"rate_per_layer": [0.01, 5.0, 0.05]})
    assert "2 of 3 layers carry nothing (from the top: 1, 3)" in said
    assert advice.unused_layers({"rate_per_layer": [1.0, 5.0]}) is None
    assert advice.unused_layers({}) is None


def test_a_classifier_that_is_often_wrong_makes_completeness_doubtful():
    complete = {"share": 0.5, "test_accuracy": 0.4}
    said = advice.doubtful_completeness({"completeness": complete})
    assert "right on only 40% of real test images" in said
    for fine in ({**complete, "test_accuracy": 0.95}, {"reason": "no labels"}, {"share": 0.5}):
        assert advice.doubtful_completeness({"completeness": fine}) is None


@pytest.mark.parametrize(
    "share, again, said",
    [(0.1, 0.3, "networks draw too coarsely"), (0.1, 0.9, "fit_prior"), (0.6, 0.9, None)],
)
def test_samples_of_no_class_are_put_down_to_the_networks_or_to_the_prior(share, again, said):
    complete = {"share": share, "reconstruction_share": again}
    complete |= {"test_share": 0.98, "test_accuracy": 0.99}
    sentence = advice.incomplete({"completeness": complete})
    assert sentence is None if said is None else said in sentence
    doubtful = {**complete, "test_accuracy": 0.4}
    for other in (doubtful, {"share": 0.1}, {"reason": "no labels"}):
        assert advice.incomplete({"completeness": other}) is None


def test_bits_near_eight_are_chance():
    assert "7.93 bits/dim: chance gives 8" in advice.near_chance({"bits_per_dim": 7.93})
    for bits in (5.0, None, math.nan):
        assert advice.near_chance({"bits_per_dim": bits}) is None


def test_few_images_say_what_to_expect():
    said = advice.few_images({"num_images": 6}, 48)
    assert "only 48 training images" in said and "figures of 6 test images are rough" in said
    assert advice.few_images({}, 480) is None


def test_a_good_training_needs_no_advice():
    good = {"active_units": 30, "latents": 32, "bits_per_dim": 4.0}
    good["completeness"] = {"share": 0.8, "test_accuracy": 0.97}
    assert advice.advice(good, rows(FLAT), 1000) == []
    assert len(advice.advice({**good, "bits_per_dim": 7.9}, rows(RISING), 10)) == 3


def test_a_single_image_has_no_standard_error():
    figures = {"elbo": -2.0, "rate": 1.0, "distortion": 1.0, "nll": 1.5, "num_samples": 5}
    figures |= {"num_images": 1, "split": "test", "dataset": "own", "binarization": "none"}
    for missing in (math.nan, None):
        line = summary.likelihood_line({**figures, "is_bound": False, "nll_stderr": missing})
        assert "NLL 1.50 (5 importance samples)" in line and "nan" not in line
    line = summary.likelihood_line({**figures, "is_bound": False, "nll_stderr": 0.25})
    assert "NLL 1.50 +- 0.25" in line
