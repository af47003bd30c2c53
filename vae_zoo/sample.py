"""Draws from a trained run: python -m vae_zoo.sample --run=runs/conv_vae-digits --seed=0"""

import inspect
import math
import pathlib

from absl import flags

from vae_zoo import cli, errors, memory, per_image

FLAGS = flags.FlagValues()
cli.define_run(FLAGS)
cli.define_prior(FLAGS)
flags.DEFINE_integer(
    "seed",
    0,
    "seed of the noise; image i has the key [seed, i]",
    flag_values=FLAGS,
)
flags.DEFINE_integer("num", 64, "how many images", flag_values=FLAGS)
flags.DEFINE_integer(
    "label",
    None,
    "class of all images, a number; for a conditional model",
    flag_values=FLAGS,
)
flags.DEFINE_float(
    "temperature", 1.0, "the prior's noise is multiplied by this", flag_values=FLAGS
)
flags.DEFINE_integer("steps", None, "sampling steps; for a diffusion model", flag_values=FLAGS)
flags.DEFINE_enum(
    "sampler",
    None,
    ["ancestral", "ddim"],
    "how a diffusion model draws: ancestral, or ddim with a tenth of the steps",
    flag_values=FLAGS,
)
flags.DEFINE_enum(
    "format",
    "png",
    ["png", "npz"],
    "png: one picture of all images; npz: arrays",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "output",
    None,
    "the file to write (default: a name in the run)",
    flag_values=FLAGS,
)
cli.define_data_dir(FLAGS)
for _name, _help in {
    "interpolate": "draw straight paths between pairs of draws from the prior",
    "traverse": "draw each latent dimension from -3 to 3, the others as in one draw from the prior",
    "reconstruct": "show test images, or those of --images, and their reconstructions",
}.items():
    flags.DEFINE_bool(_name, False, _help, flag_values=FLAGS)
flags.DEFINE_enum(
    "draw",
    "mean",
    ["mean", "pixels"],
    "what to show of the likelihood p(x | z): its mean, or pixels drawn from it",
    flag_values=FLAGS,
)
per_image.define_image_flags(FLAGS)

_MODES = ("interpolate", "traverse", "reconstruct")
_STEPS = 10
_BATCH = 256  # images at once
_MOST_PICTURED = 2_500  # images in one picture
_MOST_VALUES = 2**28  # pixels x channels of all images
_DIFFUSION = ("steps", "sampler")  # flags of models that draw in many steps


def sample():
    """Draws images from a trained model; the same seed gives the same images."""
    mode = _check_flags()
    directory, place = cli.run_directory(FLAGS)

    from vae_zoo import runs

    config = runs.read_config(directory)
    _check_size(config["arguments"]["image_shape"])
    output = pathlib.Path(FLAGS.output or place / _file_name(mode))
    output = per_image.check_output(output, (f".{FLAGS.format}",), FLAGS.images)
    model = runs.load_run(directory, FLAGS.prior, place)
    _check_model(model, mode)
    draw = {"interpolate": _interpolate, "traverse": _traverse, "reconstruct": _reconstruct}
    arrays, picture = draw.get(mode, _prior_samples)(model)
    if FLAGS.format == "npz":
        import numpy as np

        with runs.atomic(output) as partial, open(partial, "wb") as file:
            np.savez_compressed(file, **arrays)
    else:
        picture(output)
    print(f"written to {output}")


def _file_name(mode):
    """Returns what the output is called by itself: what was drawn, of which seed and class."""
    label = "" if FLAGS.label is None else f"-label{FLAGS.label}"
    pixels = "-pixels" if FLAGS.draw == "pixels" else ""
    prior = f"-{FLAGS.prior}" if FLAGS.prior else ""
    return f"{mode}-seed{FLAGS.seed}{label}{pixels}{prior}.{FLAGS.format}"


def _prior_samples(model):
    import numpy as np

    from vae_zoo.metrics import latent_space
    from vae_zoo.probability import noise
    from vae_zoo.runs import plots

    labels = latent_space.cycle_labels(model, FLAGS.num, FLAGS.label)
    seed = noise.rows(FLAGS.seed, FLAGS.num)
    size = memory.images_at_once(model.image_shape, _BATCH)
    parts = [
        _draw(model, seed[i : i + size], None if labels is None else labels[i : i + size])
        for i in range(0, FLAGS.num, size)
    ]
    images, z = (np.concatenate(part) for part in zip(*parts, strict=True))
    what = "drawn from" if FLAGS.draw == "pixels" else "the means of"
    print(f"{len(images):,} images: pixels are {what} the likelihood (--draw={FLAGS.draw})")
    arrays = {"image": images, "z": z, "seed": seed}
    if labels is not None:
        arrays["label"] = labels
    return arrays, lambda path: plots.image_grid(path, arrays["image"])


def _draw(model, seed, labels):
    """Returns (images [n, H, W, C], z) of rows of seed, as --draw says."""
    import numpy as np

    from vae_zoo.probability import likelihoods

    options = {name: FLAGS[name].value for name in _DIFFUSION if FLAGS[name].value is not None}
    likelihood, z = model.sample_likelihood(seed, labels, FLAGS.temperature, **options)
    images = likelihood.mean() if FLAGS.draw == "mean" else likelihoods.draw(likelihood, seed)
    return np.asarray(images), np.asarray(z)


def _interpolate(model):
    from vae_zoo.metrics import latent_space
    from vae_zoo.runs import plots

    rows = latent_space.interpolations(
        model, seed=FLAGS.seed, count=max(1, FLAGS.num // _STEPS), steps=_STEPS, label=FLAGS.label
    )
    return {"image": rows}, lambda path: plots.interpolations(path, rows)


def _traverse(model):
    from vae_zoo.metrics import latent_space
    from vae_zoo.runs import plots

    rows = latent_space.traversals(model, seed=FLAGS.seed, steps=_STEPS, label=FLAGS.label)
    return {"image": rows}, lambda path: plots.traversals(path, rows)


def _reconstruct(model):
    from vae_zoo.runs import plots

    images, labels = _given_images(model)
    again = memory.in_batches(
        model.reconstruct, images, labels, image_shape=model.image_shape, most=_BATCH
    )
    arrays = {"image": images, "reconstruction": again}
    return arrays, lambda path: plots.reconstructions(path, images, again)


def _given_images(model):
    """Returns the first of --images, or of the run's test split, and their classes or None."""
    from vae_zoo import runs
    from vae_zoo.datasets import listed

    directory, _ = cli.run_directory(FLAGS)
    config = runs.read_config(directory)
    if FLAGS.images:
        images = per_image.open_own(
            FLAGS.images, config, FLAGS.seed, FLAGS.resize, FLAGS.skip_broken
        )
    else:
        splits = runs.load_splits(directory, data_dir=FLAGS.data_dir)
        images = listed.SplitImages(splits, "test")
    labels = per_image.class_numbers(images, model, config, FLAGS.label)
    batch = images.read(range(min(FLAGS.num, len(images))))
    if not len(batch.index):
        raise errors.UserError(f"{images.name}: no image can be read. Expected some that do.")
    return batch.image, None if labels is None else labels[batch.index]


def _check_flags():
    """Returns what to draw: one of _MODES, or "samples"."""
    if FLAGS.num < 1:
        raise errors.UserError(f"--num={FLAGS.num}: expected at least 1.")
    if not 0 <= FLAGS.temperature < float("inf"):
        raise errors.UserError(f"--temperature={FLAGS.temperature}: expected at least 0.")
    cli.check_seed(FLAGS.seed)
    modes = [mode for mode in _MODES if FLAGS[mode].value]
    if len(modes) > 1:
        raise errors.UserError(f"--{modes[0]} and --{modes[1]}: expected one of them at a time.")
    if FLAGS.images and modes != ["reconstruct"]:
        raise errors.UserError("--images goes with --reconstruct. Give both, or neither.")
    if FLAGS.draw == "pixels" and modes:
        raise errors.UserError(
            f"--draw=pixels: --{modes[0]} draws means. Leave one of the two flags out."
        )
    return modes[0] if modes else "samples"


def _check_size(image_shape):
    """Raises a UserError for more images than a file should hold."""
    most = _MOST_VALUES // math.prod(image_shape)
    remedy = "Give other --seed values for more."
    if FLAGS.format == "png" and most > _MOST_PICTURED:
        most, remedy = _MOST_PICTURED, "--format=npz takes more."
    if FLAGS.num > most:
        raise errors.UserError(f"--num={FLAGS.num}: expected at most {most:,} images. {remedy}")


def _check_model(model, mode):
    if mode in ("interpolate", "traverse") and not model.decodes_z:
        raise errors.UserError(
            f"--{mode}: {model.name} has no one z that a straight path could go through. Leave "
            "the flag out."
        )
    if FLAGS.label is not None:
        per_image.check_label(FLAGS.label, model)
    for name in _DIFFUSION:
        known = name in inspect.signature(model.sample).parameters
        if FLAGS[name].value is not None and not known:
            raise errors.UserError(
                f"--{name}={FLAGS[name].value}: {model.name} draws in one step. Leave the flag out."
            )


def main():
    """The command's entry point."""
    cli.run(sample, FLAGS)


if __name__ == "__main__":
    main()
