"""Notes on the figures of a training: a sentence for each, which says what to do.

Each function takes the report (a dict, as in report.json) and the rows of metrics.csv, and returns
a sentence, or None where there is nothing to say.
"""

import math

_LAST = 0.1  # of the training
_RISING = 0.003  # a gain of this share of the loss, in the last tenth
_GAP = 0.1  # between validation and training, as a share of the training's loss
_USED = 0.5  # of the latent dimensions
_SILENT = 0.1  # nats: the rate of a layer that says nothing
_RIGHT = 0.9  # of real test images, for a classifier that one can trust
_SHORT = 0.5  # of the share of real images: that of samples or reconstructions is short of it
_CHANCE = 7.5  # bits/dim; 8 are those of any 8-bit value by chance
_FEW = 200  # training images
_COARSE = 24.0  # dB of test reconstructions of 8-bit images


def advice(report, rows, num_train):
    """Returns the sentences that are true of a training, the most important ones first.

    Args:
        report: the figures of a run, as in report.json; and latents, the dimensions of a model
            that has one posterior of them.
        rows: of metrics.csv, one an epoch.
        num_train: training images.
    """
    found = [
        near_chance(report),
        still_improving(rows),
        overfitting(report, rows),
        unused_latents(report),
        coarse_reconstructions(report),
        unused_layers(report),
        doubtful_completeness(report),
        incomplete(report),
        few_images(report, num_train),
    ]
    return [sentence for sentence in found if sentence]


def near_chance(report):
    """Says that bits/dim near 8 are chance."""
    bits = report.get("bits_per_dim")
    if bits is None or not bits >= _CHANCE:
        return None
    return (
        f"{bits:.2f} bits/dim: chance gives 8 for 8-bit pixels, so the model has hardly learned "
        "anything. Train longer (--steps), or look whether the images are what you expect."
    )


def still_improving(rows):
    """Says how much the validation loss fell in the last tenth of a training, where it did."""
    bounds = [_validation(row) for row in rows]
    last = max(1, round(_LAST * len(bounds)))
    if len(bounds) < 2 or not all(map(math.isfinite, bounds)):
        return None
    gain = max(bounds) - max(bounds[:-last])
    if gain <= _RISING * abs(max(bounds)):
        return None
    return (
        f"still improving when it stopped: the validation loss fell by {gain:.2f} nats in the last "
        f"tenth of training, to {-max(bounds):.2f}. Train longer: --steps={2 * rows[-1]['step']}."
    )


def overfitting(report, rows):
    """Says that validation images are far worse off than training ones, and since when."""
    if len(rows) < 2 or rows[-1].get("loss", rows[-1].get("elbo")) is None:
        return None
    trained, validated = _training(rows[-1]), _validation(rows[-1])
    if not trained - validated > _GAP * abs(trained):
        return None
    kept = [row for row in rows if row["epoch"] == report.get("best_epoch")]
    best = kept[0] if kept else max(rows, key=_validation)
    since = ""
    if best["epoch"] < rows[-1]["epoch"]:
        since = (
            f"; validation was best in epoch {best['epoch']} of {rows[-1]['epoch']} "
            f"({-_validation(best):.2f}), and those weights are kept"
        )
    return (
        f"overfitting: the loss is {-trained:.2f} nats on training images and {-validated:.2f} on "
        f"validation images at the end{since}. More images help most; --augment=flip,shift, a "
        "smaller model, or fewer --steps."
    )


def unused_latents(report):
    """Says how many latent dimensions carry nothing."""
    latents, active = report.get("latents"), report.get("active_units")
    if not latents or active is None or active >= _USED * latents:
        return None
    if active <= 1 and latents > 2:
        remedy = (
            "The decoder ignores the latents: try --set free_bits=0.1, --set warmup_steps=2000 or "
            "--set beta=0.5"
        )
    else:
        remedy = f"--set latent_size={max(2, active)} would do as well"
    return f"{active} of {latents} latent dimensions are active, the others unused. {remedy}."


def coarse_reconstructions(report):
    """Says that more latents would bring the reconstructions of 8-bit images nearer."""
    latents, active = report.get("latents"), report.get("active_units")
    near = (report.get("reconstruction") or {}).get("psnr")
    if not latents or active != latents or near is None or near >= _COARSE:
        return None
    return (
        f"reconstructions are coarse ({near:.1f} dB), and all {active} latents are in use. Nearer "
        f"ones: --set latent_size={4 * active}; prior samples are less of one piece then."
    )


def unused_layers(report):
    """Says which layers of a hierarchy carry nothing."""
    rates = report.get("rate_per_layer") or []
    silent = [str(i + 1) for i, rate in enumerate(rates) if rate < _SILENT]
    if not silent:
        return None
    return (
        f"{len(silent)} of {len(rates)} layers carry nothing (from the top: {', '.join(silent)}). "
        "Try --set free_bits=0.5, or --set warmup_steps=2000."
    )


def doubtful_completeness(report):
    """Says that the classifier behind completeness is often wrong on real images."""
    complete = report.get("completeness") or {}
    right = complete.get("test_accuracy")
    if complete.get("share") is None or right is None or right >= _RIGHT:
        return None
    return (
        "completeness says little here: the classifier behind it is right on only "
        f"{100 * right:.0f}% of real test images. Look at samples.png instead; more labelled "
        "images make it better."
    )


def incomplete(report):
    """Says whether the prior or the networks are at fault where few samples are of a class."""
    complete = report.get("completeness") or {}
    shares = [complete.get(key) for key in ("share", "reconstruction_share", "test_share")]
    if None in shares or complete["test_accuracy"] < _RIGHT:
        return None
    samples, again, real = shares
    if samples >= _SHORT * real:
        return None
    percent = f"{100 * samples:.0f}% of prior samples are surely one of the classes"
    if again < _SHORT * real:
        return (
            f"{percent}, and {100 * again:.0f}% of reconstructions: the fault is not the prior's, "
            "the networks draw too coarsely. Train longer (--steps), or take a larger model."
        )
    return (
        f"{percent}, but {100 * again:.0f}% of reconstructions: the prior misses where the latents "
        "of images lie. A model of one layer of normal latents can have another prior: python -m "
        "vae_zoo.fit_prior --run=DIR --prior=gmm."
    )


def few_images(report, num_train):
    """Says what to expect of very few images."""
    if num_train >= _FEW:
        return None
    return (
        f"only {num_train} training images: the model can redraw them, and its samples will be "
        f"blends of them, hardly new images; figures of {report.get('num_images', 'few')} test "
        "images are rough. Some thousands are usual; --augment=flip,shift makes more of few."
    )


def _validation(row):
    """Returns the negative of what the best epoch is chosen by, in nats: higher is better."""
    if row.get("val_loss") is not None:
        return -float(row["val_loss"])
    return float(row.get("val_bound") or row["val_elbo"])  # of a run of an earlier version


def _training(row):
    """Returns the same of the training images, the mean over an epoch."""
    if row.get("val_loss") is not None:
        return -float(row["loss"])
    return float(row["bound"] if row.get("val_bound") and row.get("bound") else row["elbo"])
