"""The flags of the training command, and what of them makes no sense."""

from absl import flags

from vae_zoo import cli, errors

FLAGS = flags.FlagValues()
_MOST = 10**9  # of any number; far more than makes sense, and less than what overflows
_LENGTHS = ("epochs", "steps", "minutes")
_STRINGS = {
    "model": "the model to train: a name of --list_models",
    "recipe": "a paper's training: its model, data set and numbers; a name of --list_recipes",
    "output_dir": "folder of the run (default: runs/<model>-<dataset>)",
    "manual_dir": "folder of files that you downloaded by hand, from which TensorFlow Datasets "
    "prepares the data set",
    "image_size": "resize the images: one number for the pixels of each side, or height x width, "
    "such as 218x178",
    "init_from": "a run or preset to start from: its weights are taken where name and shape are "
    "the same",
    "binarization": "how grey values become 0 or 1: static (drawn once), dynamic (drawn anew at "
    "each step), threshold (at 0.5) or none (default: that of the data set)",
}
# None: what the recipe of the model on the data set says.
_OF_RECIPE = " (default: that of the model's recipe)"
_NUMBERS = {
    "epochs": (
        int,
        None,
        "length of the training, in passes over the training images" + _OF_RECIPE,
    ),
    "steps": (int, None, "length of the training, in optimizer steps, instead of --epochs"),
    "minutes": (
        float,
        None,
        "length of the training, in minutes, instead of --epochs: the speed is measured once, and "
        "the training has as many steps as fit",
    ),
    "batch_size": (int, None, "images in a step, all workers together" + _OF_RECIPE),
    "accumulate": (
        int,
        1,
        "compute each batch in so many parts, one after the other, where it does not fit in memory",
    ),
    "learning_rate": (float, None, "highest learning rate" + _OF_RECIPE),
    "patience": (
        int,
        None,
        "stop after this many epochs without a better validation loss; 0: never" + _OF_RECIPE,
    ),
    "ema": (
        float,
        None,
        "momentum of the moving average of the weights, which is evaluated; 0: no average"
        + _OF_RECIPE,
    ),
    "skip_norm": (float, None, "skip a step whose gradient norm is above this" + _OF_RECIPE),
    "max_minutes": (
        float,
        None,
        "stop after this many minutes of training, even in the middle of an epoch; the model has "
        "the weights of the best whole epoch, or the last ones where there is none. The same "
        "command with more minutes goes on",
    ),
    "seed": (int, 0, "seed of the first weights, the order of the images and all noise"),
    "crop": (
        int,
        None,
        "cut a square of this many pixels a side from the centre of each image, before it is "
        "resized",
    ),
    "channels": (int, None, "1: make all images grey; 3: make them colour (default: as they are)"),
    "memory_budget_mb": (
        int,
        2048,
        "memory for the images, in MB; larger data are read from a file on disk",
    ),
    "keep": (
        int,
        2,
        "how many checkpoints stay on disk, the newest: each is of the size of the model and its "
        "optimizer; with 1 there is none to fall back on",
    ),
    "report_images": (int, 1000, "how many test images the report measures, at most"),
    "report_samples": (int, 200, "importance samples of each of these images"),
}
_CHOICES = {
    "schedule": (None, ["constant", "cosine"], "course of the learning rate" + _OF_RECIPE),
    "optimizer": (
        None,
        ["adam", "muon"],
        "muon: steps of layers' kernels that count all directions the same, Adam's of all else; "
        "adam: Adam for all" + _OF_RECIPE,
    ),
    "precision": (
        "float32",
        ["float32", "mixed_bfloat16", "mixed_float16"],
        "number format of the layers: Keras's dtype policy",
    ),
    "jit": (
        "auto",
        ["auto", "on", "off"],
        "compile the training step with XLA; auto: on GPUs only",
    ),
    "strategy": (
        "one",
        ["one", "mirrored", "multi_worker", "tpu"],
        "one: one device; mirrored: all GPUs of this process; multi_worker: several processes, "
        "which the environment variable TF_CONFIG names; tpu: the TPU of this machine, or of "
        "TPU_NAME (not tried on one)",
    ),
}
_SWITCHES = {
    "resume": "stop with an error if there is no run in --output_dir to go on with; the same "
    "command goes on without this flag too",
    "overwrite": "delete the run that is in --output_dir, and train a new one",
    "bce": "train the Bernoulli cross-entropy of grey values; it is no likelihood, and reported as "
    "BCE",
    "skip_broken": "leave out image files that cannot be read, and say how many",
    "list_models": "list the models, and stop",
    "list_datasets": "list the data sets, and stop",
    "list_recipes": "list the papers' recipes with their scores and ours, and stop",
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
        "the data set: a name of --list_datasets, a folder of images, a zip or tar file of one, or "
        "an .npz or .npy file",
        flag_values=FLAGS,
    )
    flags.DEFINE_list(
        "augment",
        None,
        "random changes of the training images, separated by commas: flip, shift, crop, colour",
        flag_values=FLAGS,
    )
    flags.DEFINE_multi_string(
        "set",
        [],
        "name=value, an argument of the model, such as latent_size=2; may be given several times",
        flag_values=FLAGS,
    )


_define_flags()
cli.define_data_dir(FLAGS)


def check_numbers():
    """Raises a UserError for a flag whose number is out of range."""
    lengths = [f"--{name}={FLAGS[name].value}" for name in _LENGTHS if FLAGS[name].present]
    if len(lengths) > 1:
        raise errors.UserError(f"{' and '.join(lengths)}: expected one of them at a time.")
    counts = ("epochs", "steps", "batch_size", "accumulate", "keep")
    counts += ("report_images", "report_samples")
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
    cli.check_seed(FLAGS.seed)
