"""Many trainings, compared: python -m vae_zoo.sweep --model=beta_vae --set beta=1,2,4 --seeds=3"""

import ast
import itertools
import pathlib
import re

from absl import flags

from vae_zoo import cli, errors, registry, train_flags

FLAGS = flags.FlagValues()
FLAGS.append_flag_values(train_flags.FLAGS)
_OF_ONE = ("seed", "resume", "recipe", "list_models", "list_datasets", "list_recipes")
for _name in _OF_ONE:
    delattr(FLAGS, _name)
flags.DEFINE_integer(
    "seeds", 1, "how often each setting is trained: with the seeds 0, 1, ...", flag_values=FLAGS
)
_MOST = 1000  # trainings
_OWN = ("set", "output_dir", "model", "dataset")  # what the sweep says to each training itself


def sweep():
    """Trains a model under each combination of settings, and compares the runs on one page.

    --set=beta=1,2,4 trains once with each of the three values; several --set train every
    combination of their values. --seeds trains each of these several times. The other flags are
    those of the training command. Finished runs are kept, and an interrupted one goes on. At the
    end, sweep.html, sweep.json and rate_distortion.png are written to --output_dir.
    """
    check_flags()
    settings = combinations(FLAGS["set"].value)
    directory = pathlib.Path(FLAGS.output_dir or f"runs/sweep-{FLAGS.model}")
    given = _training_flags()
    model, dataset, seeds = FLAGS.model, FLAGS.dataset, range(FLAGS.seeds)
    runs = {
        directory / run_name(arguments, seed): (arguments, seed)
        for arguments in settings
        for seed in seeds
    }
    if len(runs) > _MOST:
        raise errors.UserError(f"{len(runs):,} trainings: expected at most {_MOST:,}.")

    from vae_zoo import train
    from vae_zoo.runs import comparison

    for number, (place, (arguments, seed)) in enumerate(runs.items(), 1):
        print(f"run {number} of {len(runs)}: {words(arguments)}, seed {seed}", flush=True)
        train(model, dataset, place, arguments=arguments, seed=seed, **given)
    found = comparison.compare(
        [(words(arguments), seed, place) for place, (arguments, seed) in runs.items()],
        data_dir=given.get("data_dir"),
    )
    comparison.write(directory, f"{model} on {dataset}", found)
    print(f"{len(runs)} runs compared in {directory / comparison.PAGE}")


def check_flags():
    """Raises a UserError for flags that make no sense, before anything is trained."""
    errors.at_least("--seeds", FLAGS.seeds, 1)
    if not FLAGS.model:
        raise errors.UserError(
            "--model is missing: expected one of " + ", ".join(registry.model_names())
        )
    registry.spec(FLAGS.model)
    train_flags.FLAGS.mark_as_parsed()  # it shares its flags with ours
    train_flags.check_numbers()


def combinations(settings):
    """Returns a list of {"beta": 4}: all combinations of ["beta=1,2,4", "latent_size=5,10"].

    Values are Python literals with commas between them, or else words. A tuple is one value:
    hidden=(64,),(64,64).

    Raises:
        UserError: for a setting without "=" or value, or one that is given twice.
    """
    values = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        parsed = _literals(text)
        registry.parse_settings([setting])  # says what is wrong
        if name in values or not parsed:
            raise errors.UserError(
                f"--set={setting}: expected each name once, with its values: --set beta=1,2,4."
            )
        values[name] = parsed
    every = itertools.product(*values.values())
    return [dict(zip(values, chosen, strict=True)) for chosen in every]


def run_name(arguments, seed):
    """Returns the folder of a run: "beta=4,seed=0"."""
    plain = re.sub(r"[^\w.,=+-]", "", f"{words(arguments)},seed={seed}")
    return re.sub(",+", ",", plain).removeprefix("recipe,")


def words(arguments):
    """Returns settings as text, such as "beta=4, latent_size=5"."""
    named = (f"{name}={value}".replace(", ", ",") for name, value in arguments.items())
    return ", ".join(named) or "recipe"


def _literals(text):
    if not text:
        return ()
    try:
        return ast.literal_eval(f"({text},)")
    except (ValueError, SyntaxError):
        return tuple(part.strip() for part in text.split(",") if part.strip())


def _training_flags():
    """Returns the flags that were given for the trainings, {name: value}."""
    names = [name for name in train_flags.FLAGS if name in FLAGS and name not in _OWN]
    return {name: FLAGS[name].value for name in names if FLAGS[name].present}


def main():
    """The command's entry point."""
    cli.run(sweep, FLAGS)


if __name__ == "__main__":
    main()
