"""How every command runs: flags parsed, help, one-line errors, exit codes.

A command defines its flags on a FlagValues of its own, so that one process can import several:

    FLAGS = flags.FlagValues()
    flags.DEFINE_string("run", None, "...", flag_values=FLAGS)

    def main():
        cli.run(evaluate, FLAGS)
"""

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import os
import pathlib
import signal
import sys
import textwrap
import threading

from absl import flags, logging

from vae_zoo import errors


def run(command, flag_values=None, argv=None):
    """Runs a command and exits: 0 when done, 2 for a user's mistake, in one line.

    Args:
        command: a function of no arguments; its docstring is the head of `--help`.
        flag_values: the command's absl FlagValues; None is absl's global one.
        argv: the command line with the program's name first; None is sys.argv.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # the libraries' own chatter
    sys.meta_path.insert(0, _QuietTensorFlow())
    logging.set_verbosity(logging.ERROR)
    if hasattr(sys.stdout, "reconfigure"):  # a name of a file may be no text
        sys.stdout.reconfigure(errors="backslashreplace")
    flag_values = flags.FLAGS if flag_values is None else flag_values
    argv = sys.argv if argv is None else argv
    _define_import(flag_values)
    if {"--help", "-h", "--helpfull", "-help"} & set(argv[1:]):
        print(usage(command, flag_values))
        sys.exit(0)
    try:
        with _terminated():
            parse(flag_values, argv)
            for module in flag_values["import"].value:
                _import(module)
            command()
    except errors.UserError as error:
        _fail(error)
    except MemoryError as error:
        reason = " ".join(str(error).split()) or "an allocation failed"
        _fail(f"not enough memory ({reason}). Expected smaller images, batches or data.")
    except KeyboardInterrupt as error:
        if sys.stderr.isatty():
            print(file=sys.stderr)  # ends a line of progress
        print(f"interrupted: give {same_command(flag_values)} to go on", file=sys.stderr)
        sys.exit(128 + (signal.SIGTERM if isinstance(error, _Terminated) else signal.SIGINT))
    except Exception as error:
        if not errors.is_no_room(error):
            raise
        _fail(no_space(getattr(error, "filename", None)))


class _Terminated(KeyboardInterrupt):
    """SIGTERM came."""


@contextlib.contextmanager
def _terminated():
    """Raises _Terminated where SIGTERM comes, so that a command can tidy up as after Ctrl-C."""

    def stop(number, frame):
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def define_run(flag_values):
    """Defines --run and --preset, the two ways to name a trained model; see run_directory."""
    texts = {
        "run": "folder of a trained run: the --output_dir of the training command",
        "preset": "a trained model instead of --run: a name of --list_presets, or the folder, zip "
        "file or https address of a published one",
        "sha256": "SHA-256 checksum that the zip file of --preset must have",
    }
    for name, text in texts.items():
        flags.DEFINE_string(name, None, text, flag_values=flag_values)
    flags.DEFINE_bool(
        "list_presets", False, "list the presets by name, and stop", flag_values=flag_values
    )


def define_prior(flag_values):
    """Defines --prior, a fitted prior in the place of the model's own; see vae_zoo.fit_prior."""
    flags.DEFINE_string(
        "prior",
        None,
        "name of a prior that python -m vae_zoo.fit_prior fitted to the run, such as gmm (default: "
        "the model's own prior)",
        flag_values=flag_values,
    )


def define_data_dir(flag_values):
    """Defines --data_dir, where TensorFlow Datasets (TFDS) keeps what it prepared."""
    flags.DEFINE_string(
        "data_dir",
        None,
        "folder of prepared TensorFlow Datasets (default: the environment variable TFDS_DATA_DIR, "
        "or ~/tensorflow_datasets)",
        flag_values=flag_values,
    )


def run_directory(flag_values):
    """Returns (the folder of --run or --preset, the folder that output goes to by itself).

    That is the run; of a preset, which may be installed where nobody can write, runs/preset-<name>.
    --list_presets prints them, and ends the command.

    Raises:
        UserError: where neither or both are given, or there is no such preset.
    """
    from vae_zoo import presets

    if flag_values.list_presets:
        print(table(presets.table()))
        sys.exit(0)
    run, preset = flag_values.run, flag_values.preset
    if bool(run) == bool(preset):
        raise errors.UserError(
            "--run is missing: expected the --output_dir of a training, or a --preset."
            if not run
            else "--run and --preset: expected one of the two."
        )
    if run:
        return pathlib.Path(run), pathlib.Path(run)
    folder = presets.find(preset, flag_values.sha256)
    name = folder.relative_to(presets.HERE) if preset in presets.names() else folder.name
    place = pathlib.Path("runs") / f"preset-{name}".replace("/", "-")
    place.mkdir(parents=True, exist_ok=True)
    return folder, place


def usage(command, flag_values):
    """Returns the text of `--help`: what the command does, and each flag with its default."""
    about = command.__doc__.partition("Args:")[0]  # what follows is for callers in Python
    lines = [_filled(about), "", "flags:"]
    for name in sorted(flag_values):
        flag = flag_values[name]
        if flag.name != name or flag.help == "absl internal":
            continue
        choices = getattr(flag.parser, "enum_values", None)
        values = f"={'|'.join(choices)}" if choices else "" if flag.boolean else "=..."
        text = flag.help.partition(";\n    repeat this option")[0]  # absl adds this, and the values
        text = text.removeprefix(f"<{'|'.join(choices)}>: ") if choices else text
        lines += [f"  --{name}{values}", _filled(text + _default(flag), " " * 6)]
    return "\n".join(lines)


def _default(flag):
    """Returns what `--help` says of a flag's default, nothing where there is none."""
    default = flag.default
    if default is None or default is False or default == [] or "(default:" in flag.help:
        return ""
    return f" (default: {','.join(default) if isinstance(default, list) else default})"


def _filled(text, indent=""):
    return textwrap.fill(
        " ".join(text.split()),
        100,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def same_command(flag_values):
    """Returns the words for the command that goes on: --overwrite would delete what is there."""
    again = "the same command again"
    overwrites = "overwrite" in flag_values and flag_values["overwrite"].value
    return f"{again}, without --overwrite," if overwrites else again


def no_space(path):
    """Returns the error for a full disk."""
    return errors.UserError(
        f"no space left for {path or 'the output'} (a full disk, a quota or a limit on the size of "
        "files): what was written before is intact. Free some space, or take another --output_dir, "
        "and give the same command again (without --overwrite, which deletes what is there)."
    )


def check_seed(seed):
    """Raises a UserError for a --seed that does not fit in int32."""
    if not -(2**31) <= seed < 2**31:
        raise errors.UserError(f"--seed={seed}: expected a whole number that fits in int32.")


def table(rows):
    """Returns rows of text as aligned columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


# Keras imports them, if they are there, for wrappers that no command uses: one of six seconds.
_FOR_WRAPPERS = ("sklearn", "matplotlib")


class _QuietTensorFlow(importlib.abc.MetaPathFinder):
    """Imports TensorFlow with standard error closed: its libraries log there before any setting.

    The import may happen anywhere in a command, and an error shall still be one line. It is quicker
    too: Keras, which comes with it, is to find no package that only its wrappers want.
    """

    def find_spec(self, name, path=None, target=None):
        if name != "tensorflow":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None:
            load = spec.loader.exec_module
            spec.loader.exec_module = lambda module: _quietly(load, module)
        return spec


def _quietly(load, module):
    kept = os.dup(2)
    hidden = [name for name in _FOR_WRAPPERS if name not in sys.modules]
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        sys.modules.update(dict.fromkeys(hidden))  # None: an ImportError for who asks
        load(module)
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
        os.dup2(kept, 2)
        os.close(kept)


# Flags that name a place; data is found by its path as it was given.
_PLACES = ("run", "preset", "init_from", "compare", "output", "output_dir", "export_dir")
_PLACES += ("data_dir", "manual_dir")


def parse(flag_values, argv):
    """Parses a command line, the program's name first; a UserError for what is no flag."""
    try:
        positional = flag_values(argv)[1:]
    except flags.Error as error:
        raise errors.UserError(f"{error} (--help lists the flags)") from error
    except RecursionError as error:  # absl looks for the closest name of one that has no end
        raise errors.UserError("a flag has too long a name (--help lists the flags)") from error
    if positional:
        raise errors.UserError(
            f"unexpected argument {positional[0]!r}: flags are written --name=value "
            "(--help lists them)"
        )
    for name in flag_values:
        given = flag_values[name].value
        if name in _PLACES and given:  # a shell leaves the ~ of --run=~/run alone
            several = isinstance(given, list)
            whole = [os.path.expanduser(each) for each in (given if several else [given])]
            flag_values[name].value = whole if several else whole[0]
        if name.endswith("_dir") and "://" in (given or ""):
            raise errors.UserError(
                f"--{name}={given}: addresses are not supported. Expected a local folder."
            )


def _define_import(flag_values):
    if "import" not in flag_values:
        flags.DEFINE_multi_string(
            "import",
            [],
            "a Python module of your own to import first, which calls vae_zoo.register; may be "
            "given several times",
            flag_values=flag_values,
        )


def _import(module):
    """Imports a module that --import names, from the current folder too."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise errors.UserError(
            f"--import={module}: {error}. Expected a module that is installed, or lies in the "
            "current folder."
        ) from error


def _fail(error):
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(2)
