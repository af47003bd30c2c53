"""Talks to a server that has loaded an export: REST and gRPC, many clients at once."""

import concurrent.futures
import contextlib
import itertools
import shutil
import socket
import subprocess
import tempfile
import time

import numpy as np

from export import agreement, client, serving
from export.checks import Failed, NotRun
from vae_zoo import errors

SERVER = "tensorflow_model_server"
CLIENTS = 8
_STARTING_SECONDS = 120
_ROUNDS = 4  # requests of each size, protocol and signature


def serves(export, address=None, grpc_port=None):
    """A server gives the recorded outputs to many clients at once, by REST and by gRPC.

    Args:
        export: a checks.Export.
        address: "host:port" of its REST interface; None: the server on the PATH is started.
        grpc_port: of the same server; None is serving.GRPC_PORT.
    """
    name, directory = export.manifest["name"], export.version_dir.parents[2]
    if address:
        return _exchange(export, _clients(name, address, grpc_port or serving.GRPC_PORT))
    if not shutil.which(SERVER):
        raise NotRun(f"no {SERVER} here")
    rest, grpc = _free_port(), _free_port()
    flags = serving.server_flags(directory.resolve(), name, rest, grpc)
    with _process([shutil.which(SERVER), *flags]) as process:
        clients = _clients(name, f"127.0.0.1:{rest}", grpc)
        _wait(process, clients[0])
        return _exchange(export, clients)


def _clients(name, address, grpc_port):
    host = address.rpartition(":")[0]
    try:
        return client.RestClient(address, name), client.GrpcClient(f"{host}:{grpc_port}", name)
    except errors.UserError as error:
        raise Failed(str(error)) from error


def _exchange(export, clients):
    """Sends every request, CLIENTS at once, so that the server can batch what travels together."""
    requests = list(_requests(export, clients))

    def differences(request):
        sender, name, rows = request
        inputs, expected = export.rows(name, rows)
        return agreement.row_differences(sender.predict(name, **inputs), expected)

    try:
        names = sorted(clients[0].signatures())
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            found = np.concatenate(list(pool.map(differences, requests)))
    except (errors.UserError, KeyError, ValueError) as error:
        raise Failed(str(error)) from error
    if not agreement.agrees(found, export.tolerance):
        raise Failed(f"answers are {found.max():.1e} from the recorded outputs")
    return (
        f"{len(requests)} requests of {CLIENTS} clients at once, REST and gRPC, "
        f"{len(names)} signatures, at most {found.max():.1e} off"
    )


def _requests(export, clients):
    """Yields (client, signature, rows): one row, three rows, the largest batch, at many offsets."""
    names = [*export.recorded, serving.DEFAULT]
    sizes = (1, 3, export.largest)
    for index, size, name, sender in itertools.product(range(_ROUNDS), sizes, names, clients):
        start = index * size % (export.largest - size + 1)
        yield sender, name, slice(start, start + size)


@contextlib.contextmanager
def _process(command):
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        process.log = log
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process, sender):
    """Waits until the server answers; raises Failed where it ends or takes too long."""
    end = time.monotonic() + _STARTING_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            process.log.seek(0)
            lines = [line.strip() for line in process.log if line.strip()] or ["no message"]
            raise Failed(f"{SERVER} ended with {process.returncode}: {lines[-1][:200]}")
        with contextlib.suppress(errors.UserError):
            sender.signatures()
            return
        time.sleep(0.2)
    raise Failed(f"{SERVER} did not answer within {_STARTING_SECONDS} s")


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
