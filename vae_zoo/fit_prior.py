"""Fits a better prior to a trained run: python -m vae_zoo.fit_prior --run=RUN --prior=gmm"""

import functools
import math

from absl import flags

from vae_zoo import cli, errors

FLAGS = flags.FlagValues()
PRIORS = ("gmm", "maf", "realnvp", "vamp", "diffusion", "two_stage")
_DENSITIES = PRIORS[:4]
cli.define_run(FLAGS)
flags.DEFINE_enum(
    "prior",
    None,
    PRIORS,
    "the prior to fit. gmm: a mixture of normals with full covariances; maf, realnvp: flows; vamp: "
    "the mean of the posteriors at learned pseudo-inputs; diffusion, two_stage: they draw, but "
    "have no density, and so no NLL",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "components",
    None,
    "components of gmm (default: 10) or of vamp (default: 100)",
    flag_values=FLAGS,
)
flags.DEFINE_integer("steps", 2000, "optimizer steps; gmm needs none", flag_values=FLAGS)
flags.DEFINE_integer("seed", 0, "seed of the fit and of the comparison", flag_values=FLAGS)
cli.define_data_dir(FLAGS)

_MOST_VALUES = 2**28  # pixels x channels of the images that a prior is fitted to
_HELD_OUT = 10_000  # test images, at most


def fit_prior():
    """Fits a prior to the latents of a run's training images, and keeps it in the run.

    The encoder and the decoder do not change. At the end it prints the figures of the old and the
    new prior on test images. The flag --prior of sample, evaluate, report and export takes it.
    """
    directory, place = cli.run_directory(FLAGS)
    _check_flags()

    from vae_zoo import presets, runs

    runs.read_config(directory)  # before TensorFlow: damage is told at once

    from vae_zoo import aggregate, progress
    from vae_zoo.runs import fitted_priors

    model = runs.load_run(directory)
    aggregate.check_model(model, FLAGS.prior)
    splits = runs.load_splits(directory, data_dir=FLAGS.data_dir)
    count = min(splits.num_train, _MOST_VALUES // math.prod(splits.image_shape))
    given = {"components": FLAGS.components, "steps": FLAGS.steps, "seed": FLAGS.seed}
    bar = progress.Progress(1, "fitting")
    images, labels = splits.images("train", count), splits.labels("train", count)
    part = aggregate.fit(model, FLAGS.prior, images, labels, progress=bar, **given)
    bar.close()
    print(f"{FLAGS.prior} fitted to the latents of {count:,} training images", flush=True)
    figures = _compare(model, part, splits)
    about = {
        "prior": FLAGS.prior,
        **given,
        "components": getattr(part, "components", 1),
        "model_sha256": presets.sha256_of(directory / runs.MODEL),
        "figures": figures,
        "versions": runs.versions(),
    }
    path = fitted_priors.save(place, part, about)
    print("\n".join(_lines(figures)))
    users = "sample, evaluate, report" if FLAGS.prior in _DENSITIES else "sample"
    print(f"written to {path}; {users} and export take --prior={FLAGS.prior}")


def _check_flags():
    cli.check_seed(FLAGS.seed)
    if FLAGS.prior is None:
        raise errors.UserError(f"--prior is missing: expected one of {', '.join(PRIORS)}.")
    errors.at_least("--steps", FLAGS.steps, 1)
    if FLAGS.components is not None:
        errors.at_least("--components", FLAGS.components, 1)
        if FLAGS.prior not in ("gmm", "vamp"):
            raise errors.UserError(
                f"--components={FLAGS.components}: {FLAGS.prior} has none. Leave the flag out."
            )


def _compare(model, part, splits):
    """Returns {"old", "new"}: the figures of either prior; the model has the new one then."""
    from vae_zoo import aggregate
    from vae_zoo.metrics import classifier, sample_quality

    count = min(splits.num_test, _HELD_OUT, _MOST_VALUES // math.prod(splits.image_shape))
    images, labels = splits.images("test", count), splits.labels("test", count)
    latents = aggregate.AggregatePosterior(model, images, labels)
    real = (
        splits.raw("train")[: sample_quality.FITTED],
        splits.labels("train", sample_quality.FITTED),
        splits.raw("test")[: sample_quality.TESTED],
        splits.labels("test", sample_quality.TESTED),
    )

    @functools.cache
    def trained():  # once for both priors
        return classifier.fit_classifier(*real[:2], FLAGS.seed)

    def figures(density):
        complete = sample_quality.completeness(
            model, *real, seed=FLAGS.seed, classifier=lambda samples: trained()(samples)
        )
        log_prob = latents.log_density(FLAGS.seed) if density else None
        return {"prior": model.prior_name, "log_density": log_prob, "completeness": complete}

    old = figures(True)
    model.replace_prior(part, FLAGS.prior)
    return {"num_images": count, "old": old, "new": figures(FLAGS.prior in _DENSITIES)}


def _lines(figures):
    """Yields what the two priors do on test images, the old one first."""
    for which in ("old", "new"):
        found = figures[which]
        density = "no density, so no bound"
        if found["log_density"] is not None:
            density = f"log p(z) {found['log_density']:.2f} nats"
        complete = found["completeness"]
        share = complete.get("reason") and f"absent ({complete['reason']})"
        if share is None:
            share = f"{100 * complete['share']:.0f}% of {complete['num_samples']} draws"
            if "test_share" in complete:
                share += f" (real test images: {100 * complete['test_share']:.0f}%)"
        yield f"{which} prior, {found['prior']}: {density}; completeness {share}"
    old, new = (figures[which]["log_density"] for which in ("old", "new"))
    if new is not None:
        yield (
            f"at the latents of {figures['num_images']:,} test images, the new prior gains "
            f"{new - old:.2f} nats: so much does the ELBO rise, to within the noise of the draws"
        )
    if new is not None and new < old:
        yield "note: the old prior is better. Fewer --components or --steps may help."


def main():
    """The command's entry point."""
    cli.run(fit_prior, FLAGS)


if __name__ == "__main__":
    main()
