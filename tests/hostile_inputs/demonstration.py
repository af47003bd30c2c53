"""Requests to the demonstration's server."""

import io

from tests.hostile_inputs.common import often, pick, spoil

_SECRET = b"never to be served"


class _Connection:
    """A socket that has said all it says: requests in, answers out."""

    def __init__(self, request):
        self.request, self.answer = request, io.BytesIO()

    def makefile(self, mode, buffering=None):
        return io.BytesIO(self.request)

    def sendall(self, content):
        self.answer.write(content)

    def settimeout(self, seconds):
        pass

    def setsockopt(self, *args):
        pass


_PATHS = (
    *("/", "/model.json", "/model.tflite", "/demo.js", "/node_modules/a.js", "/node_modules/"),
    *("/../secret", "/%2e%2e/secret", "/..%2fsecret", "/%2e%2e%5csecret", "//secret"),
    *("/node_modules/../secret", "/node_modules/%2e%2e/secret", "/node_modules/out.js", "*", ""),
    *("/node_modules/..%252fsecret", "/%00", "/a%00b", "/" + "a" * 70_000, "/" + "../" * 50),
    *("http://evil/model.json", "/model.json?x=%0d%0aSet-Cookie:a", "/\xff", "/%c0%ae%c0%ae/s"),
)
_METHODS = ("GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "")


def demonstration(rng, place):
    """The handler of the demonstration's server, without a network."""
    from export.demo import server

    (place / "modules").mkdir()
    (place / "secret").write_bytes(_SECRET)
    (place / "modules" / "a.js").write_text("//")
    (place / "modules" / "out.js").symlink_to(place / "secret")
    version = pick(rng, ("HTTP/1.1", "HTTP/9", ""))
    lines = [f"{pick(rng, _METHODS)} {pick(rng, _PATHS)} {version}"]
    hosts = ("127.0.0.1:80", "127.0.0.1:80", "localhost:80", "evil", "127.0.0.1:80\r\nHost: evil")
    lines.append(f"Host: {pick(rng, hosts)}")
    more = ("Range: bytes=0-", "If-Modified-Since: x", "Content-Length: 99999999999", "x" * 70_000)
    more += ("Expect: 100-continue", "Transfer-Encoding: chunked", ": x", "a: b\r\n" * 200 + "c: d")
    lines += [pick(rng, more) for _ in range(rng.integers(3))]
    request = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    connection = _Connection(spoil(rng, request) if often(rng, 0.3) else request)
    before, server.NODE_MODULES = server.NODE_MODULES, place / "modules"
    known = type("Known", (), {"server_port": 80})()
    contents = {"/model.json": b"{}", "/model.tflite": b"TFL3"}
    try:
        server._Handler(
            connection, ("127.0.0.1", 9), known, contents=contents, directory=str(server._PAGE)
        )
    finally:
        server.NODE_MODULES = before
    answer = connection.answer.getvalue()
    assert _SECRET not in answer and b"root:" not in answer, "a file outside was served"
