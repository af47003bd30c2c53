"""The demonstration's server against clients that mean no good, or have much time."""

import contextlib
import http.client
import socket
import threading
import time

import pytest

from export import tflite
from export.demo import server


@pytest.fixture(scope="module")
def export_dir(tiny, tmp_path_factory):
    directory = tmp_path_factory.mktemp("export")
    tflite.export_tflite(tiny("vae"), directory / "tflite", quantize=(), names=("decode",))
    return directory


@pytest.fixture
def address(export_dir, tmp_path, monkeypatch):
    """(host, port) of a server of a short time limit; its modules hold a link that leads out."""
    for package in server._PACKAGES:
        (tmp_path / "modules" / package).mkdir(parents=True)
    (tmp_path / "secret.js").write_text("secret")
    (tmp_path / "modules" / "inside.js").write_text("// inside")
    (tmp_path / "modules" / "out.js").symlink_to(tmp_path / "secret.js")
    (tmp_path / "modules" / "circle.js").symlink_to(tmp_path / "modules" / "circle.js")
    monkeypatch.setattr(server, "NODE_MODULES", tmp_path / "modules")
    monkeypatch.setattr(server, "SECONDS", 0.5)
    monkeypatch.setattr(server, "CONNECTIONS", 4)
    with server.make_server(export_dir) as demo:
        threading.Thread(target=demo.serve_forever, daemon=True).start()
        yield demo.server_address
        demo.shutdown()


def ask(address, path, method="GET", host=None):
    """Returns (status, headers, body) of a request."""
    connection = http.client.HTTPConnection(*address, timeout=5)
    with contextlib.closing(connection):
        connection.putrequest(method, path, skip_host=True)
        host = f"127.0.0.1:{address[1]}" if host is None else host
        if host:
            connection.putheader("Host", host)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


@pytest.mark.parametrize(
    "path", ["/%00", "/node_modules/%00.js", "/model%00.json", f"/{'a' * 5000}", "/%ff%fe"]
)
def test_paths_that_are_none_are_not_found(path, address, capfd):
    assert ask(address, path)[0] == 404
    assert capfd.readouterr().err == ""


def test_links_are_not_followed_out_of_the_folder(address):
    assert ask(address, "/node_modules/inside.js")[2] == b"// inside"
    assert ask(address, "/node_modules/out.js")[0] == 404
    assert ask(address, "/node_modules/circle.js")[0] == 404
    assert ask(address, "/node_modules/")[0] == 404  # no list of a folder


@pytest.mark.parametrize("path", ["/", "/model.json", "/model.tflite", "/demo.js"])
def test_head_tells_what_get_would(path, address):
    (status, headers, body), (_, _, content) = ask(address, path, "HEAD"), ask(address, path)
    assert status == 200 and body == b""
    assert int(headers["Content-Length"]) == len(content) > 0


def test_other_hosts_are_refused(address):
    port = address[1]
    assert ask(address, "/model.json", host=f"localhost:{port}")[0] == 200
    for host in ("", "evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}"):
        for path in ("/model.json", "/model.tflite", "/"):
            assert ask(address, path, host=host)[0] == 421, host


def trickle(connection, seconds):
    """Sends a byte of a request's head now and then, until the server has had enough."""
    end = time.monotonic() + seconds
    with contextlib.suppress(OSError):
        while time.monotonic() < end:
            connection.sendall(b"a")
            time.sleep(0.1)
        return False
    return True


def eventually_answers(address):
    """Returns whether the server has a thread again, within five seconds."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return ask(address, "/model.json")[0] == 200
        time.sleep(0.1)
    return False


def test_slow_clients_hold_no_thread(address):
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(address, 5)) for _ in range(40)]
        time.sleep(0.2)
        assert threading.active_count() - before <= 4
        assert trickle(slow[0], 5)
        assert eventually_answers(address)
        assert all(connection.recv(1) == b"" for connection in slow[1:])
