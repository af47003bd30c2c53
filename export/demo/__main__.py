"""Serves the demonstration of an export: python -m export.demo --export_dir=OUT"""

import contextlib

from absl import flags

from export.demo import server
from vae_zoo import cli, errors

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "export_dir",
    None,
    "folder of an export: the --output_dir of python -m export",
    flag_values=FLAGS,
)
flags.DEFINE_integer("port", 0, "port at 127.0.0.1; 0: any free one", 0, 65535, flag_values=FLAGS)


def serve_demo():
    """Serves a page that runs an export's TFLite file in a browser on this machine."""
    if not FLAGS.export_dir:
        raise errors.UserError("--export_dir is missing: expected the --output_dir of an export.")
    with server.make_server(FLAGS.export_dir, FLAGS.port) as demo:
        print(f"{server.address(demo)} (Ctrl+C ends it)", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            demo.serve_forever()


def main():
    """The command's entry point."""
    cli.run(serve_demo, FLAGS)


if __name__ == "__main__":
    main()
