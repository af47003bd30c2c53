"""Exports a trained run: python -m export --run=runs/conv_vae-digits --output_dir=OUT"""

from absl import flags

from export import extras
from vae_zoo import cli, errors

FLAGS = flags.FlagValues()
_STRINGS = {
    "output_dir": (None, "the folder to write; an export that is there gets a new version"),
    "name": (None, "name that the server gives the model (default: that of the model)"),
}
_LISTS = {
    "formats": (
        "saved_model,tflite",
        "what to write, separated by commas: saved_model, tflite, stablehlo",
    ),
    "quantize": (
        "float16,int8",
        "TFLite files to write next to the float32 one, separated by commas: float16, int8, "
        "full_int8; or none",
    ),
    "tflite_signatures": (
        "decode,sample,encode,reconstruct",
        "functions in the TFLite files, separated by commas; with decode,sample alone the files "
        "have no encoder, and are smaller",
    ),
}
for _name, (_default, _help) in _STRINGS.items():
    flags.DEFINE_string(_name, _default, _help, flag_values=FLAGS)
for _name, (_default, _help) in _LISTS.items():
    flags.DEFINE_list(_name, _default, _help, flag_values=FLAGS)
cli.define_run(FLAGS)
cli.define_prior(FLAGS)
flags.DEFINE_integer(
    "max_batch_size", 64, "images in the server's largest batch", flag_values=FLAGS
)
flags.DEFINE_bool(
    "dynamic_batch",
    False,
    "write one more float32 TFLite file, which takes batches of any size",
    flag_values=FLAGS,
)
flags.DEFINE_bool(
    "quality", False, "measure the test NLL of the quantised decoders, in nats", flag_values=FLAGS
)
cli.define_data_dir(FLAGS)


def export_run():
    """Exports a trained run for TF Serving and for phones, into one folder."""
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
