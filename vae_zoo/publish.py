"""Makes a preset of a run: python -m vae_zoo.publish --run=runs/conv_vae-mnist --output=OUT"""

import pathlib
import tempfile

from absl import flags

from vae_zoo import cli, errors

FLAGS = flags.FlagValues()
_STRINGS = {
    "run": (None, "folder of a trained run: the --output_dir of the training command"),
    "output": (None, "the folder to write: a new one, or a preset to write again"),
    "name": (None, "name of the preset (default: <model>/<data set>)"),
    "data_licence": (
        None,
        "licence of the data, in words (default: that of the data set, where it is known)",
    ),
}
for _name, (_default, _help) in _STRINGS.items():
    flags.DEFINE_string(_name, _default, _help, flag_values=FLAGS)
cli.define_data_dir(FLAGS)
flags.DEFINE_integer(
    "num_images", 1000, "how many test images to measure, at most", flag_values=FLAGS
)
flags.DEFINE_integer("num_samples", 500, "importance samples of each image", flag_values=FLAGS)


def publish():
    """Makes a preset of a run, a small folder to share: weights in float16, figures that are
    measured with these weights, pictures, a model card, checksums.
    """
    for name in ("run", "output"):
        if not FLAGS[name].value:
            raise errors.UserError(f"--{name} is missing: expected {FLAGS[name].help}.")
    for name in ("num_images", "num_samples"):
        errors.at_least(f"--{name}", FLAGS[name].value, 1)

    from vae_zoo import presets, runs
    from vae_zoo.runs import summary

    run, output = pathlib.Path(FLAGS.run), pathlib.Path(FLAGS.output)
    config, trained = runs.read_config(run), runs.read_report(run)
    _check_output(output, presets.MARK)
    # Made aside, so that an interruption leaves nothing, or the preset that was there.
    with tempfile.TemporaryDirectory(dir=output, prefix=".making-") as place:
        figures, name = _make(run, config, trained, pathlib.Path(place))
        made = sorted(pathlib.Path(place).iterdir(), key=lambda path: path.name == presets.MARK)
        size = sum(path.stat().st_size for path in made if path.name != presets.MARK)
        for path in made:  # the mark last
            path.replace(output / path.name)
    print(f"{summary.likelihood_line(figures)}\n{name}: {size / 1e6:.2f} MB in {output}")


def _make(run, config, trained, output):
    """Writes the preset of a run into an empty folder; returns its figures and its name."""
    from vae_zoo import presets, progress, runs
    from vae_zoo.runs import card, finished, halves, report

    splits = runs.load_splits(run, data_dir=FLAGS.data_dir)
    halves.write(runs.load_run(run), output / runs.MODEL)
    config = _without_places(config, finished.recipe_of(config["command"]))
    runs.write_json(output / runs.CONFIG, config)
    model = runs.load_run(output)
    bar = progress.Progress(1, "evaluating")
    figures = report.model_figures(
        model,
        splits,
        config,
        num_images=FLAGS.num_images,
        num_samples=FLAGS.num_samples,
        progress=bar,
    )
    bar.close()
    figures = {**trained, **figures}
    runs.write_json(output / runs.REPORT, figures)
    card.draw(output, model, config["training"]["seed"])
    name = FLAGS.name or f"{config['model']}/{pathlib.PurePath(splits.name).stem}"
    text = card.text(name, config, figures, FLAGS.data_licence)
    (output / "README.md").write_text(text, encoding="utf-8")
    sums = {path.name: presets.sha256_of(path) for path in sorted(output.iterdir())}
    runs.write_json(output / presets.MARK, {"name": name, "sha256": sums})
    return figures, name


def _without_places(config, command):
    """Returns a run's settings without where things lay on the machine that trained it."""
    dataset = {**config["dataset"], "data_dir": None, "manual_dir": None}
    return {**config, "dataset": dataset, "command": command}


def _check_output(output, mark):
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.UserError(f"--output={output}: {error.strerror}. Take another one.") from error
    others = [path for path in output.iterdir() if not path.name.startswith(".")]
    if others and not (output / mark).exists():
        raise errors.UserError(
            f"--output={output} holds other files. Expected a new folder, or a preset."
        )


def main():
    """The command's entry point."""
    cli.run(publish, FLAGS)


if __name__ == "__main__":
    main()
