"""The REST client against a server that answers nonsense: one clear error for each answer."""

import http.server
import json
import threading
import time

import pytest

import vae_zoo
from export import client

TENSOR = {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1"}, {"size": "2"}]}}
SIGNATURE = {
    "inputs": {"z": {**TENSOR, "name": "z:0"}},
    "outputs": {"image": {**TENSOR, "name": "image:0"}, "logits": {**TENSOR, "name": "logits:0"}},
    "method_name": "tensorflow/serving/predict",
}
METADATA = {"metadata": {"signature_def": {"signature_def": {"decode": SIGNATURE}}}}
ROW = {"image": [0.5, 0.25], "logits": [0, -1.5]}


class Server(http.server.ThreadingHTTPServer):
    """Gives set answers: a JSON value, bytes, or a function of the handler."""

    daemon_threads = True
    metadata = predictions = None


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802
        self.answer(self.server.metadata)

    def do_POST(self):  # noqa: N802
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(self.server.predictions)

    def answer(self, value):
        if callable(value):
            return value(self)
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        begin(self, len(body))
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def begin(handler, length, status=200):
    handler.send_response(status)
    handler.send_header("Content-Length", str(length))
    handler.end_headers()


def short(handler):
    begin(handler, 1000)
    handler.wfile.write(json.dumps({"predictions": [ROW]}).encode())


def reset(handler):
    handler.connection.close()


def silent(handler):
    time.sleep(3)


def trickle(handler):
    begin(handler, 1000)
    for _ in range(20):
        handler.wfile.write(b" ")
        time.sleep(0.15)


def no_http(handler):
    handler.wfile.write(b"SSH-2.0-OpenSSH\r\n")


def failed(handler):
    begin(handler, 5, 500)
    handler.wfile.write(b"<p>\n\n")


@pytest.fixture(scope="module")
def server():
    with Server(("127.0.0.1", 0), Handler) as opened:
        threading.Thread(target=opened.serve_forever, daemon=True).start()
        yield opened
        opened.shutdown()


def call(server):
    rest = client.RestClient(f"127.0.0.1:{server.server_port}", "vae", timeout=1)
    return rest.predict("decode", z=[[0.0, 1.0]])


def test_a_sound_answer_is_taken(server):
    server.metadata, server.predictions = METADATA, {"predictions": [ROW]}
    outputs = call(server)
    assert outputs["image"].tolist() == [[0.5, 0.25]] and outputs["logits"].dtype == "float32"


BROKEN = {
    "html": (b"<html>It works!</html>", "expected JSON"),
    "empty": (b"", "expected JSON"),
    "cut": (b'{"predictions": [', "expected JSON"),
    "not utf-8": (b"\xff\xfe{}", "expected JSON"),
    "deep": (b"[" * 200_000, "expected JSON"),
    "short": (short, "IncompleteRead"),
    "reset": (reset, "no server answers"),
    "silent": (silent, "no server answers"),
    "trickle": (trickle, "no server answers .*took more than 1 s"),
    "no http": (no_http, "no answer of TensorFlow Serving|no server answers"),
    "failed": (failed, "refused: HTTP 500: <p>"),
}
METADATAS = {
    **BROKEN,
    "list": ([], "describes no signatures"),
    "null": (None, "describes no signatures"),
    "no definitions": ({"metadata": {}}, "describes no signatures"),
    "text": ({"metadata": {"signature_def": {"signature_def": "x"}}}, "describes no signatures"),
    "unknown field": (
        {"metadata": {"signature_def": {"signature_def": {"decode": {"colour": 1}}}}},
        "describes no signatures",
    ),
}
PREDICTIONS = {
    **BROKEN,
    "a list": ([ROW], "list of predictions"),
    "no predictions": ({"outputs": []}, "list of predictions"),
    "predictions of text": ({"predictions": "x"}, "list of predictions"),
    "no rows": ({"predictions": []}, r"shape \[0\], expected \[1, 2\]"),
    "three rows": ({"predictions": [ROW] * 3}, r"shape \[3, 2\], expected \[1, 2\]"),
    "rows of numbers": ({"predictions": [1]}, "image, logits in each prediction"),
    "no image": ({"predictions": [{"logits": [0, 0]}]}, "image, logits in each prediction"),
    "null": ({"predictions": [{**ROW, "image": [None, 0]}]}, "no float32 number"),
    "text": ({"predictions": [{**ROW, "image": ["a", "b"]}]}, "no float32 number"),
    "nan": ({"predictions": [{**ROW, "image": [float("nan"), 0]}]}, "not finite"),
    "huge": ({"predictions": [{**ROW, "image": [1e300, 0]}]}, "not finite"),
    "ragged": ({"predictions": [{**ROW, "image": [0.5, [1, 2]]}]}, "differ in length"),
    "long": ({"predictions": [{**ROW, "image": [0, 0, 0]}]}, r"shape \[1, 3\]"),
}


def one_line(server, words):
    with pytest.raises(vae_zoo.UserError, match=words) as error:
        call(server)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", METADATAS)
def test_metadata_without_sense_is_an_error(kind, server):
    server.metadata, words = METADATAS[kind]
    one_line(server, words)


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_predictions_without_sense_are_an_error(kind, server):
    server.metadata = METADATA
    server.predictions, words = PREDICTIONS[kind]
    one_line(server, words)
