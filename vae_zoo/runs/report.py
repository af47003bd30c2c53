"""What a run reports at the end: figures on the test split, and pictures."""

import pathlib

import numpy as np

from vae_zoo import memory, runs
from vae_zoo.metrics import (
    latent_space,
    likelihood,
    reconstruction,
    sample_quality,
    total_correlation,
)
from vae_zoo.probability import likelihoods, noise
from vae_zoo.runs import advice, plots

_PICTURED = 64
_REDRAWN = 16  # test images in reconstructions.png
_CLASSIFIED = 100  # reconstructions behind completeness
_CLASSES, _OF_CLASS = 20, 8  # classes at most, and samples of each, in samples.png
_MANY_SKIPPED = 0.01
_FEW_EFFECTIVE = (
    "Only {effective_sample_size:.1f} of {num_samples} importance samples count: the NLL is an "
    "upper bound that more samples would lower. Its standard error is over images, not of the "
    "bound's bias."
)
_SHARE = 0.2  # of the training's time, that the likelihood of the report may take
_LEAST_SECONDS = 60  # that it may take in any case
_LEAST = (64, 10)  # test images, and samples for each


def is_bce(config):
    """Returns whether a run trains a Bernoulli cross-entropy on grey values: no likelihood."""
    bernoulli = config["arguments"].get("likelihood", "bernoulli") == "bernoulli"
    return bernoulli and config["binarization"] == "none"


def likelihood_figures(evaluation, config):
    """Returns an Evaluation as a dict, its names saying what the figures are.

    A Bernoulli cross-entropy on grey values gets the names of a cross-entropy: it is no NLL. A
    density is marked as one: its nats are not those of 8-bit images, and it has no bits/dim.
    """
    figures = {name: value for name, value in evaluation._asdict().items() if value is not None}
    if config["arguments"].get("likelihood") in likelihoods.DENSITIES:
        figures["is_density"] = True
    if not is_bce(config):
        if likelihood.few_effective(evaluation.effective_sample_size, evaluation.num_samples):
            figures["nll_warning"] = _FEW_EFFECTIVE.format(**figures)
        return figures
    for name in ("nll", "nll_stderr", "bits_per_dim"):
        figures.pop(name, None)
    figures["bce"] = figures.pop("distortion")
    figures["negative_bce_less_rate"] = figures.pop("elbo")
    return figures


def affordable(model, splits, num_images, num_samples, training_seconds):
    """Returns (num_images, num_samples), made fewer until they take a fifth of the training's time.

    Samples become fewer first, images only where that is not enough. Nothing changes where the
    likelihood takes less than a minute.

    Args:
        model: the trained VAE.
        splits: its data.
        num_images: test images, at most.
        num_samples: importance samples for each.
        training_seconds: what the training took.
    """
    images, labels = splits.images("test", num_images), splits.labels("test", num_images)
    seconds = likelihood.estimate_seconds(model, images, labels, num_samples=num_samples)
    excess = seconds / max(_LEAST_SECONDS, _SHARE * training_seconds)
    if excess <= 1:
        return num_images, num_samples
    samples = max(min(_LEAST[1], num_samples), int(num_samples / excess))
    excess *= samples / num_samples
    images = max(min(_LEAST[0], len(images)), int(len(images) / max(1.0, excess)))
    return images, samples


def evaluate(model, splits, config, *, num_images, num_samples, progress=None, workers=None):
    """Returns the likelihood.Evaluation of a report; see `model_figures`."""
    return likelihood.evaluate(
        model,
        splits.images("test", num_images),
        splits.labels("test", num_images),
        num_samples=num_samples,
        seed=config["training"]["seed"],
        progress=progress,
        workers=workers,
    )


def model_figures(
    model, splits, config, *, num_images, num_samples, progress=None, workers=None
):
    """Returns the figures of report.json that need the model: likelihood and latent space.

    Args:
        model: the trained VAE.
        splits: its data.
        config: of the run.
        num_images: test images, at most; the first ones.
        num_samples: importance samples for each.
        progress: called with the share that is done.
        workers: replicas.Workers; the others call `evaluate` meanwhile. None: there are none.
    """
    images, labels = splits.images("test", num_images), splits.labels("test", num_images)
    seed = config["training"]["seed"]
    evaluation = evaluate(
        model,
        splits,
        config,
        num_images=num_images,
        num_samples=num_samples,
        progress=progress,
        workers=workers,
    )
    figures = likelihood_figures(evaluation, config)
    figures |= model.figures()
    if splits.binarization == "none":
        figures["reconstruction"] = reconstruction.peak_signal_to_noise(model, images, labels)
    if hasattr(model, "tc_weight"):
        figures["total_correlation"] = total_correlation.total_correlation(
            model, splits.images("train", total_correlation.POSTERIORS), seed=seed
        )
    figures["continuity"] = latent_space.continuity(model, seed=seed)
    figures["completeness"] = sample_quality.completeness(
        model,
        splits.raw("train")[: sample_quality.FITTED],
        splits.labels("train", sample_quality.FITTED),
        splits.raw("test")[: sample_quality.TESTED],
        splits.labels("test", sample_quality.TESTED),
        reconstructions=_reconstructed(model, splits, _CLASSIFIED)[1],
        seed=seed,
    )
    return figures


def write_report(directory, model, splits, config, outcome, figures):
    """Writes report.json and returns its content."""
    report = {
        "model": config["model"],
        "dataset": splits.name,
        "split": "test",
        "binarization": splits.binarization,
        "likelihood": "bce" if is_bce(config) else model.likelihood_name,
        "num_skipped": splits.num_skipped,  # files that could not be read
        "notes": [*splits.notes, *_warnings(outcome)],
        **figures,
        "advice": advice.advice(
            {**figures, "best_epoch": outcome.best_epoch, "latents": _latents(model)},
            runs.read_rows(pathlib.Path(directory) / runs.METRICS),
            splits.num_train,
        ),
        "parameters": int(sum(np.prod(v.shape) for v in model.trainable_variables)),
        **outcome._asdict(),
    }
    runs.write_json(pathlib.Path(directory) / runs.REPORT, report)
    return report


def _latents(model):
    """Returns D of a model whose encoder's head gives one posterior of z [D]; or None."""
    return model.latent_size if hasattr(model, "posterior_head") else None


def draw(directory, model, splits, seed):
    """Draws samples.png, reconstructions.png, interpolations.png, curves.png and manifold.png."""
    directory = pathlib.Path(directory)
    _draw_samples(directory / "samples.png", model, splits, seed)
    images, again = _reconstructed(model, splits, _REDRAWN)
    plots.reconstructions(
        directory / "reconstructions.png",
        images,
        again,
        originals=grey_originals(splits, len(images)),
        drawn=splits.binarization == "dynamic",
    )
    paths = latent_space.interpolations(model, seed=seed, count=6, steps=10)
    if paths is not None:
        plots.interpolations(directory / "interpolations.png", paths)
    if model.latent_size == 2 and model.prior_name == "standard" and paths is not None:
        plots.manifold(directory / "manifold.png", model)
    history = runs.read_rows(directory / runs.METRICS)
    if history:
        plots.curves(directory / "curves.png", history)


def _reconstructed(model, splits, count):
    """Returns the first test images and their reconstructions, each [count, H, W, C]."""
    images, labels = splits.images("test", count), splits.labels("test", count)
    labels = labels if model.needs_labels else None
    return images, memory.in_batches(
        model.reconstruct, images, labels, image_shape=model.image_shape
    )


def _draw_samples(path, model, splits, seed):
    """Draws prior samples: a square of them, or a row for each class of a conditional model."""
    if not model.needs_labels:
        rows = noise.rows(seed, _PICTURED)
        shape = model.image_shape
        plots.image_grid(path, memory.in_batches(model.generate, rows, image_shape=shape))
        return
    classes = min(model.num_classes, _CLASSES)
    labels = np.repeat(np.arange(classes, dtype=np.int32), _OF_CLASS)
    rows = noise.rows(seed, len(labels))
    images = memory.in_batches(model.generate, rows, labels, image_shape=model.image_shape)
    names = splits.label_names or [str(label) for label in range(classes)]
    rows = images.reshape(classes, _OF_CLASS, *images.shape[1:])
    plots.samples_by_class(path, rows, names[:classes])


def grey_originals(splits, count, split="test"):
    """Returns the grey images that binary ones are made of, [count, H, W, C]; None for others."""
    if splits.binarization not in ("dynamic", "threshold"):
        return None
    return splits.raw(split)[:count] / np.float32(255)


def _warnings(outcome):
    notes = []
    if outcome.skipped > _MANY_SKIPPED * outcome.steps:
        notes.append(
            f"{outcome.skipped} of {outcome.steps} steps were skipped, more than 1%: this training "
            "failed. Lower the learning rate."
        )
    if outcome.restarts:
        notes.append(f"The last good state was restored {outcome.restarts} times.")
    return notes
