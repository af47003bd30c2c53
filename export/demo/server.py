"""The server of the demonstration: static files, to this machine alone.

    /                         the page, as it lies in the package
    /node_modules/            LiteRT.js and its WebAssembly, as `npm ci` has put them here
    /model.json               what the TFLite file says of itself
    /model.tflite             the float32 file

Nothing comes from another host, and the page's policy forbids the browser to ask one. A request
that names another host is refused: a foreign page cannot read the model by a name that it lets
point here. Connections are limited, in number and in time.
"""

import functools
import http
import http.server
import json
import pathlib
import threading
import time

from export import flatbuffer
from vae_zoo import errors

_HERE = pathlib.Path(__file__).parent
_PAGE = _HERE / "page"
NODE_MODULES = _HERE / "node_modules"
_PACKAGES = ("@litertjs/core", "@litertjs/wasm-utils")
_METADATA = "vae_zoo"  # export.tflite.METADATA, without waiting for TensorFlow
CONNECTIONS = 32  # at once; a browser opens six
SECONDS = 10.0  # without a byte, and for the whole of a request's head
_HEADERS = {
    "Cache-Control": "no-cache",  # the next export is served at the same address
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'",
    # An isolated page has a clock of microseconds: a decoder takes fractions of a millisecond.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


def make_server(export_dir, port=0):
    """Returns a server of an export's demonstration, listening on 127.0.0.1.

    Args:
        export_dir: an export with a float32 TFLite file.
        port: of 127.0.0.1; 0 takes a free one.

    Returns:
        A Server; its serve_forever() serves.

    Raises:
        UserError: where there is no such file, LiteRT.js is not installed, or the port is taken.
    """
    path = _find_model(pathlib.Path(export_dir))
    contents = {"/model.json": describe(path), "/model.tflite": path.read_bytes()}
    _check_node_modules()
    handler = functools.partial(_Handler, contents=contents, directory=str(_PAGE))
    try:
        return Server(("127.0.0.1", port), handler)
    except OSError as error:
        raise errors.UserError(
            f"port {port} cannot be had ({error.strerror}): take another --port, or 0 for any."
        ) from error


def address(server):
    """Returns the address to open."""
    return f"http://127.0.0.1:{server.server_port}/"


def describe(path):
    """Returns what the page needs to know of a TFLite file, as JSON in bytes.

    Raises:
        UserError: for a file that is corrupt, or was not made by this exporter.
    """
    try:
        metadata = flatbuffer.read_metadata(path, _METADATA)
    except ModuleNotFoundError as error:
        raise errors.UserError(
            f"{error.name} is not installed. Install the extra: pip install 'vae_zoo[export]'."
        ) from error
    if metadata is None:
        raise errors.UserError(f"{path} does not say what it holds: export the run again.")
    return json.dumps({**json.loads(metadata), "bytes": path.stat().st_size}).encode()


def _find_model(export_dir):
    found = sorted(export_dir.glob("tflite/*-float32.tflite"))
    fixed = [path for path in found if not path.name.endswith("-dynamic-float32.tflite")]
    if not fixed:
        raise errors.UserError(
            f"{export_dir} holds no float32 TFLite file: expected the --output_dir of "
            "python -m export with tflite among its --formats."
        )
    return fixed[0]


def _check_node_modules():
    for package in _PACKAGES:
        if not (NODE_MODULES / package).is_dir():
            raise errors.UserError(
                f"{package} is not installed: give, once, npm ci --prefix {_HERE} "
                "(npm comes with Node.js)."
            )


class Server(http.server.ThreadingHTTPServer):
    """A server that holds at most CONNECTIONS at once; what is above is closed unanswered."""

    daemon_threads = True

    def __init__(self, *args):
        self.free = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__(*args)

    def process_request(self, request, client_address):
        if not self.free.acquire(blocking=False):
            return self.shutdown_request(request)
        try:
            super().process_request(request, client_address)
        except BaseException:
            self.free.release()
            raise

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.free.release()

    def handle_error(self, request, client_address):
        """Nothing: a client that goes away in the middle concerns nobody."""


class _InTime:
    """A file of a socket, read no later than a deadline: slow bytes hold no thread for long."""

    def __init__(self, connection, file):
        self.connection, self.file, self.end = connection, file, time.monotonic() + SECONDS

    def readline(self, limit):
        line = b""
        while len(line) < limit and not line.endswith(b"\n"):
            left = self.end - time.monotonic()
            if left <= 0:
                raise TimeoutError("the head of the request took too long")
            self.connection.settimeout(left)
            byte = self.file.read(1)
            if not byte:
                break
            line += byte
        self.connection.settimeout(SECONDS)
        return line

    def close(self):
        self.file.close()


class _Handler(http.server.SimpleHTTPRequestHandler):
    # Some machines' own tables name other types, and a browser runs no module of another type.
    extensions_map = {".js": "text/javascript", ".wasm": "application/wasm", ".css": "text/css",
                      ".html": "text/html", ".svg": "image/svg+xml", "": "text/plain"}  # fmt: skip

    def __init__(self, *args, contents, **kwargs):
        self.contents = contents
        super().__init__(*args, **kwargs)

    def setup(self):
        self.timeout = SECONDS
        super().setup()
        self.rfile = _InTime(self.connection, self.rfile)

    def do_GET(self):
        self._answer(super().do_GET)

    def do_HEAD(self):
        self._answer(super().do_HEAD)

    def _answer(self, serve_file):
        if self.headers.get("Host") not in self._hosts():
            return self.send_error(http.HTTPStatus.MISDIRECTED_REQUEST)
        content = self.contents.get(self.path.partition("?")[0])
        if content is not None:
            return self._send(content)
        if not self._is_inside(self.translate_path(self.path)):
            return self.send_error(http.HTTPStatus.NOT_FOUND)
        return serve_file()

    def _hosts(self):
        port = self.server.server_port
        names = ("127.0.0.1", "localhost")
        return [f"{name}:{port}" for name in names] + [*names] * (port == 80)

    def _send(self, content):
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def _is_inside(self, path):
        """Returns whether a path, its links followed, lies in the folder that it is served from."""
        try:
            place = pathlib.Path(path).resolve()
        except (ValueError, OSError, RuntimeError):  # a NUL, a name too long, links in a circle
            return False
        return place.is_relative_to(pathlib.Path(self.directory).resolve())

    def list_directory(self, path):
        """Answers 404: what lies in a folder is nobody's business."""
        self.send_error(http.HTTPStatus.NOT_FOUND)

    def translate_path(self, path):
        prefix = "/node_modules/"
        if path.startswith(prefix):
            self.directory, path = str(NODE_MODULES), path.removeprefix(prefix[:-1])
        return super().translate_path(path)

    def end_headers(self):
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *args):
        """Nothing: a line for each of the page's files helps nobody."""
