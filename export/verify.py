"""Checks an export, one line for each check: python -m export.verify --export_dir=OUT

Exit code 0 only if all hold; 1 where one failed; 2 where there is no export to check, or a file of
it is corrupt.
"""

import functools
import sys
from typing import NamedTuple

from absl import flags

from vae_zoo import cli, errors

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "export_dir",
    None,
    "folder of an export: the --output_dir of python -m export",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "server",
    None,
    "host:port of the REST interface of a server that serves this export, to be checked too",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "grpc_port", None, "port of the same server's gRPC interface (default: 8500)", flag_values=FLAGS
)

OK, FAILED, NOT_RUN = "ok", "FAILED", "not run"


class Result(NamedTuple):
    """What a check found.

    Attributes:
        check: its name.
        status: OK, FAILED or NOT_RUN.
        detail: figures, or the reason.
    """

    check: str
    status: str
    detail: str

    def __str__(self):
        return f"{self.check}: {self.status}: {self.detail}"


def verify_export(export_dir, *, server=None, grpc_port=None):
    """Yields the Result of each check of an export; all hold where none is FAILED.

    Args:
        export_dir: the directory.
        server: "host:port" of the REST interface of a server that has loaded this export; None:
            the tensorflow_model_server on the PATH, if there is one.
        grpc_port: of that server; None is 8500.

    Raises:
        UserError: where there is no export, or one of its files is corrupt.
    """
    from export import checks

    export = checks.read(export_dir)
    for name, check in _checks(export, server, grpc_port):
        yield _result(name, check)


def _checks(export, server, grpc_port):
    """Yields (name, function of no arguments that returns a detail)."""
    from export import checks, server_check

    for how, loader in (("v1", "the v1 loader"), ("c_api", "the C API")):
        yield f"SavedModel by {loader}", functools.partial(checks.loads, export, how)
    yield "warm-up records", functools.partial(checks.warmup, export)
    yield "REST shape rules", functools.partial(checks.rest_rules, export)
    yield "configurations", functools.partial(checks.configuration, export)
    for kind in export.manifest.get("tflite", {}):
        yield f"TFLite {kind}", functools.partial(checks.tflite_file, export, kind)
    if "stablehlo" in export.manifest:
        yield "StableHLO", functools.partial(checks.stablehlo_programs, export)
    yield "server", functools.partial(server_check.serves, export, server, grpc_port)


def _result(name, check):
    from export import checks

    try:
        return Result(name, OK, check())
    except checks.NotRun as reason:
        return Result(name, NOT_RUN, str(reason))
    except checks.Failed as reason:
        return Result(name, FAILED, " ".join(str(reason).split()))
    except Exception as error:  # a damaged file fails in as many ways as there are readers
        told = " ".join(str(error).split())[:300]
        return Result(name, FAILED, f"{type(error).__name__}: {told}")


def verify():
    """Checks an export: SavedModel, configurations, files, and a server where --server names one.

    Exits with 0 if every check holds, 1 if one failed, 2 if there is no export to check.
    """
    if not FLAGS.export_dir:
        raise errors.UserError("--export_dir is missing: expected the --output_dir of an export.")
    statuses = set()
    for result in verify_export(FLAGS.export_dir, server=FLAGS.server, grpc_port=FLAGS.grpc_port):
        print(result, flush=True)
        statuses.add(result.status)
    if FAILED in statuses:
        sys.exit(1)


def main():
    """The command's entry point."""
    cli.run(verify, FLAGS)


if __name__ == "__main__":
    main()
