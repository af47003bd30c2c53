"""The flags of the training command, and what of them makes no sense."""

from absl import flags

from vae_zoo import errors

FLAGS = flags.FlagValues()
_MOST = 10**9  # of any number; far more than makes sense, and less than what overflows
_LENGTHS = ("epochs", "steps", "minutes")
_STRINGS = {
    "model": "name of a registered model; --list_models shows them",
    "output_dir": "where the run goes (default: runs/<model>-<dataset>)",
    "data_dir": "prepared TFDS data (default: TFDS_DATA_DIR, or ~/tensorflow_datasets)",
    "manual_dir": "files that were downloaded by hand, for TFDS to prepare",
    "image_size": "resize images to this many pixels a side, or to HxW, such as 218x178",
    "init_from": "start from the weights of a run or preset, where they fit",
    "binarization": "static, dynamic, threshold or none (default: the data set's own)",
}
# None: what the recipe of the model on the data set says.
_NUMBERS = {
    "epochs": (int, None, "how long: passes over the training split"),
    "steps": (int, None, "how long: optimizer steps, instead of --epochs"),
    "minutes": (
        float,
        None,
        "how long: as many steps as fit, measured once; the schedule fits them too",
    ),
    "batch_size": (int, None, "images a step, all workers together"),
    "accumulate": (
        int,
        1,
        "compute each batch in so many parts, one after the other, where it does not fit",
    ),
    "learning_rate": (float, None, "Adam's, at its highest"),
    "patience": (int, None, "stop after so many epochs without a better validation loss; 0: never"),
    "ema": (float, None, "momentum of the averaged weights that are evaluated; 0: none"),
    "skip_norm": (float, None, "skip steps whose gradient norm is beyond this"),
    "max_minutes": (
        float,
        None,
        "stop after so many minutes of training, within an epoch too: the model is that of the "
        "best whole epoch, or has the last weights if there is none; the same command with more "
        "minutes goes on",
    ),
    "seed": (int, 0, "of weights, data order and noise"),
    "crop": (int, None, "cut this many pixels a side out of the centre first"),
    "channels": (int, None, "1: take all images as grey; 3: as colour (default: as they are)"),
    "memory_budget_mb": (int, 2048, "images beyond this are read from a file on disk"),
    "report_images": (int, 1000, "test images of the report, at most"),
    "report_samples": (int, 200, "importance samples for each of them"),
}
_CHOICES = {
    "schedule": (None, ["constant", "cosine"], "of the learning rate"),
    "precision": (
        "float32",
        ["float32", "mixed_bfloat16", "mixed_float16"],
        "dtype policy of the layers",
    ),
    "jit": ("auto", ["auto", "on", "off"], "XLA; auto: on GPUs only"),
    "strategy": (
        "one",
        ["one", "mirrored", "multi_worker", "tpu"],
        "one device; all GPUs of this process; many processes (TF_CONFIG); or the TPU of this "
        "machine, or of TPU_NAME (not tried on one)",
    ),
}
_SWITCHES = {
    "resume": "expect a run in --output_dir (the same command goes on by itself)",
    "overwrite": "delete the run that lies in --output_dir",
    "bce": "train a Bernoulli cross-entropy on grey values: no likelihood, reported as BCE",
    "skip_broken": "leave out image files that cannot be read, and count them",
    "list_models": "list the models and stop",
    "list_datasets": "list the data sets and stop",
}


def _define_flags():
    for name, text in _STRINGS.items():
        flags.DEFINE_string(name, None, text, flag_values=FLAGS)
    for name, (kind, default, text) in _NUMBERS.items():
        define = flags.DEFINE_integer if kind is int else flags.DEFINE_float
        define(name, default, text, flag_values=FLAGS)
    for name, (default, values, text) in _CHOICES.items():
        flags.DEFINE_enum(name, default, values, text, flag_values=FLAGS)
    for name, text in _SWITCHES.items():
        flags.DEFINE_bool(name, False, text, flag_values=FLAGS)
    flags.DEFINE_string(
        "dataset",
        "digits",
        "a data set (--list_datasets), a folder of images, a zip or tar of one, a .npz or .npy",
        flag_values=FLAGS,
    )
    flags.DEFINE_list(
        "augment",
        None,
        "change training images at random: flip, shift, crop, colour (a list with commas)",
        flag_values=FLAGS,
    )
    flags.DEFINE_multi_string(
        "set",
        [],
        "name=value: a constructor argument of the model, such as latent_size=2 (repeatable)",
        flag_values=FLAGS,
    )


_define_flags()


def check_numbers():
    """Raises a UserError for a flag whose number is out of range."""
    lengths = [f"--{name}={FLAGS[name].value}" for name in _LENGTHS if FLAGS[name].present]
    if len(lengths) > 1:
        raise errors.UserError(f"{' and '.join(lengths)}: expected one of them at a time.")
    counts = ("epochs", "steps", "batch_size", "accumulate", "report_images", "report_samples")
    least = dict.fromkeys(counts, 1)
    for name, value in {**least, "patience": 0, "memory_budget_mb": 0}.items():
        given = FLAGS[name].value
        if given is not None and given < value:
            raise errors.UserError(f"--{name}={given}: expected at least {value}.")
        if given is not None and given > _MOST:
            raise errors.UserError(f"--{name}={given}: expected at most {_MOST:,}.")
    for name in ("learning_rate", "minutes", "max_minutes", "skip_norm"):
        given = FLAGS[name].value
        if given is not None and not 0 < given <= _MOST:
            raise errors.UserError(
                f"--{name}={given}: expected a number above 0, at most {_MOST:,}."
            )
    if FLAGS.ema is not None and not 0 <= FLAGS.ema < 1:
        raise errors.UserError(f"--ema={FLAGS.ema}: expected 0 (off) or a momentum below 1.")
    if not -(2**31) <= FLAGS.seed < 2**31:
        raise errors.UserError(f"--seed={FLAGS.seed}: expected a whole number that fits in int32.")
