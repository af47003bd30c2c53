"""Draws from a trained run: python -m vae_zoo.sample --run=runs/conv_vae-digits --seed=0"""

import inspect
import pathlib

from absl import flags

from vae_zoo import cli, errors, memory

FLAGS = flags.FlagValues()
cli.define_run(FLAGS)
flags.DEFINE_integer("seed", 0, "row i of the seed is [seed, i]", flag_values=FLAGS)
flags.DEFINE_integer("num", 64, "images", flag_values=FLAGS)
flags.DEFINE_integer("label", None, "the class, for a conditional model", flag_values=FLAGS)
flags.DEFINE_float("temperature", 1.0, "factor of the prior's noise", flag_values=FLAGS)
flags.DEFINE_integer("steps", None, "sampling steps, for a diffusion model", flag_values=FLAGS)
flags.DEFINE_enum(
    "sampler",
    None,
    ["ancestral", "ddim"],
    "of a diffusion model: ddim takes a tenth of the steps",
    flag_values=FLAGS,
)
flags.DEFINE_enum("format", "png", ["png", "npz"], "of what is written", flag_values=FLAGS)
flags.DEFINE_string("output", None, "the file (default: in the run)", flag_values=FLAGS)
flags.DEFINE_string("data_dir", None, "prepared TFDS data", flag_values=FLAGS)
for _name, _help in {
    "interpolate": "straight paths between prior draws instead",
    "traverse": "each latent dimension from -3 to 3 instead",
    "reconstruct": "test images and their reconstructions instead",
}.items():
    flags.DEFINE_bool(_name, False, _help, flag_values=FLAGS)

_MODES = ("interpolate", "traverse", "reconstruct")
_STEPS = 10
_DIFFUSION = ("steps", "sampler")  # flags of models that draw in many steps


def sample():
    """Draws images from a trained model; the same seed gives the same images."""
    mode = _check_flags()
    directory, place = cli.run_directory(FLAGS)

    from vae_zoo import runs

    model = runs.load_run(directory)
    _check_model(model, mode)
    output = pathlib.Path(FLAGS.output or place / f"{mode}-seed{FLAGS.seed}.{FLAGS.format}")
    draw = {"interpolate": _interpolate, "traverse": _traverse, "reconstruct": _reconstruct}
    arrays, picture = draw.get(mode, _prior_samples)(model)
    if FLAGS.format == "npz":
        import numpy as np

        with runs.atomic(output) as partial:
            np.savez_compressed(partial, **arrays)
    else:
        picture(output)
    print(f"written to {output}")


def _prior_samples(model):
    import numpy as np

    from vae_zoo.metrics import latent_space
    from vae_zoo.probability import noise
    from vae_zoo.runs import plots

    labels = latent_space.cycle_labels(model, FLAGS.num, FLAGS.label)
    options = {name: FLAGS[name].value for name in _DIFFUSION if FLAGS[name].value is not None}
    seed = noise.rows(FLAGS.seed, FLAGS.num)
    parts = []
    size = memory.images_at_once(model.image_shape, FLAGS.num)
    for start in range(0, FLAGS.num, size):
        rows = slice(start, start + size)
        label = None if labels is None else labels[rows]
        parts.append(model.sample(seed[rows], label, FLAGS.temperature, **options))
    images, z = (np.concatenate(each) for each in zip(*parts, strict=True))
    arrays = {"image": images, "z": z, "seed": seed}
    if labels is not None:
        arrays["label"] = labels
    return arrays, lambda path: plots.image_grid(path, arrays["image"])


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
    from vae_zoo import runs
    from vae_zoo.runs import plots

    splits = runs.load_splits(cli.run_directory(FLAGS)[0], data_dir=FLAGS.data_dir)
    images, labels = splits.images("test", FLAGS.num), splits.labels("test", FLAGS.num)
    labels = labels if model.needs_labels else None
    again = memory.in_batches(model.reconstruct, images, labels, image_shape=model.image_shape)
    arrays = {"image": images, "reconstruction": again}
    return arrays, lambda path: plots.reconstructions(path, images, again)


def _check_flags():
    """Returns what to draw: one of _MODES, or "samples"."""
    if FLAGS.num < 1:
        raise errors.UserError(f"--num={FLAGS.num}: expected at least 1.")
    if not 0 <= FLAGS.temperature < float("inf"):
        raise errors.UserError(f"--temperature={FLAGS.temperature}: expected at least 0.")
    if not -(2**31) <= FLAGS.seed < 2**31:
        raise errors.UserError(f"--seed={FLAGS.seed}: expected a whole number that fits in int32.")
    modes = [mode for mode in _MODES if FLAGS[mode].value]
    if len(modes) > 1:
        raise errors.UserError(f"--{modes[0]} and --{modes[1]}: expected one of them at a time.")
    return modes[0] if modes else "samples"


def _check_model(model, mode):
    if mode in ("interpolate", "traverse") and not model.decodes_z:
        raise errors.UserError(
            f"--{mode}: {model.name} has no one z that a straight path could go through. Leave "
            "the flag out."
        )
    if FLAGS.label is not None and not model.needs_labels:
        raise errors.UserError(
            f"--label={FLAGS.label}: {model.name} is not conditional. Leave the flag out, or "
            "train a conditional model such as cvae."
        )
    if FLAGS.label is not None and not 0 <= FLAGS.label < model.num_classes:
        raise errors.UserError(
            f"--label={FLAGS.label}: expected a class from 0 to {model.num_classes - 1}."
        )
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
