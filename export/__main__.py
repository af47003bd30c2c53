"""Exports a trained run: python -m export --run=runs/conv_vae-digits --output_dir=OUT"""

from absl import flags

from export import extras
from vae_zoo import cli, errors

FLAGS = flags.FlagValues()
_STRINGS = {
    "output_dir": (None, "where to write; a new version if an export is there"),
    "name": (None, "of the served model (default: the model's)"),
    "data_dir": (None, "prepared TFDS data, for --quality"),
}
_LISTS = {
    "formats": ("saved_model,tflite", "what to write: saved_model, tflite, stablehlo"),
    "quantize": (
        "float16,int8",
        "TFLite files in addition to float32: float16, int8, full_int8; or none",
    ),
    "tflite_signatures": (
        "decode,sample,encode,reconstruct",
        "what the TFLite files hold; decode,sample leaves the encoder's weights out",
    ),
}
for _name, (_default, _help) in _STRINGS.items():
    flags.DEFINE_string(_name, _default, _help, flag_values=FLAGS)
for _name, (_default, _help) in _LISTS.items():
    flags.DEFINE_list(_name, _default, _help, flag_values=FLAGS)
cli.define_run(FLAGS)
cli.define_prior(FLAGS)
flags.DEFINE_integer("max_batch_size", 64, "largest batch of the server", flag_values=FLAGS)
flags.DEFINE_bool("dynamic_batch", False, "a float TFLite file of any batch too", flag_values=FLAGS)
flags.DEFINE_bool("quality", False, "test NLL of the quantised decoders", flag_values=FLAGS)


def export_run():
    """Exports a trained run for TF Serving and for phones, into one directory."""
    directory, place = cli.run_directory(FLAGS)
    if not FLAGS.output_dir:
        raise errors.UserError(f"--output_dir is missing: expected {FLAGS['output_dir'].help}.")

    extras.check(FLAGS.formats)
    from vae_zoo import runs

    config = runs.read_config(directory)  # before TensorFlow is imported

    from export import bundle, layout

    quantize = [] if FLAGS.quantize == ["none"] else FLAGS.quantize
    bundle.check_request(FLAGS.formats, quantize, FLAGS.max_batch_size)
    if FLAGS.quality and "tflite" not in FLAGS.formats:
        raise errors.UserError("--quality is of TFLite files: expected tflite in --formats.")
    name = config["model"] if FLAGS.name is None else FLAGS.name
    kinds = bundle.kinds(FLAGS.formats, quantize, FLAGS.dynamic_batch)
    layout.check_output(FLAGS.output_dir, name, kinds)
    model = runs.load_run(directory, FLAGS.prior, place)
    manifest = bundle.export_model(
        model,
        FLAGS.output_dir,
        name=name,
        formats=FLAGS.formats,
        quantize=quantize,
        tflite_signatures=FLAGS.tflite_signatures,
        dynamic_batch=FLAGS.dynamic_batch,
        max_batch_size=FLAGS.max_batch_size,
        label_names=config.get("label_names"),
        splits=runs.load_splits(directory, data_dir=FLAGS.data_dir) if FLAGS.quality else None,
    )
    print("\n".join(_summary(manifest)))


def _summary(manifest):
    section = manifest.get("saved_model")
    if section:
        names = ", ".join(section["signatures"])
        yield f"{FLAGS.output_dir}/{section['path']}: {names}"
    for figures in manifest.get("tflite", {}).values():
        names = ", ".join(figures["signatures"])
        yield f"{FLAGS.output_dir}/{figures['path']}: {names}; {figures['bytes']:,} bytes" + (
            f", {figures['max_difference']:.1e} from Keras" if "max_difference" in figures else ""
        )
    for name, figures in manifest.get("stablehlo", {}).get("signatures", {}).items():
        yield f"{FLAGS.output_dir}/{figures['path']}: {name}; {figures['bytes']:,} bytes"
    for name, reason in manifest["unsupported"].items():
        yield f"no {name}: {reason}"
    yield f"check it: python -m export.verify --export_dir={FLAGS.output_dir}"


def main():
    """The command's entry point."""
    cli.run(export_run, FLAGS)


if __name__ == "__main__":
    main()
