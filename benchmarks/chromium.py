"""Headless Chromium, driven through its DevTools protocol: nothing else to install.

The protocol's messages are JSON with a zero byte at the end, over file descriptors 3 and 4
(`--remote-debugging-pipe`).
"""

import base64
import itertools
import json
import shutil
import socket
import subprocess

PATH = shutil.which("chromium")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
_TIMEOUT = 120  # seconds that an answer may take


class Chromium:
    """A browser with one page; a context manager.

    Attributes:
        requests: the addresses that the page has asked for.
        complaints: the errors of its console, and uncaught exceptions.
    """

    def __init__(self, profile):
        ours, theirs = socket.socketpair()
        command = [PATH, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        redirect = f'exec "$@" 3<&{theirs.fileno()} 4>&{theirs.fileno()}'
        self.process = subprocess.Popen(
            ["bash", "-c", redirect, "bash", *command],
            pass_fds=[theirs.fileno()],
            stderr=subprocess.DEVNULL,
        )
        theirs.close()
        ours.settimeout(_TIMEOUT)
        self.socket, self.buffer = ours, b""
        self.ids, self.session = itertools.count(1), None
        self.events, self.requests, self.complaints = [], [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.session = None
        self.call("Browser.close")
        self.process.wait(timeout=_TIMEOUT)

    def call(self, method, **params):
        """Returns the result of one of the protocol's methods."""
        number = next(self.ids)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.socket.sendall(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def show(self, width, height, dark=False):
        """Sets the size of the window, in pixels, and the colour scheme."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, address):
        """Goes to an address and waits until the page has loaded."""
        self.events.clear()
        self.call("Page.navigate", url=address)
        while "Page.loadEventFired" not in self.events:
            self._note(self._read())

    def evaluate(self, expression):
        """Returns the value of a JavaScript expression, a promise's once it is settled."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True,
                           returnByValue=True)  # fmt: skip
        if "exceptionDetails" in answer:
            raise RuntimeError(f"the page's code failed: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def press(self, x, y):
        """Presses and releases the mouse at a place in the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left",
                      clickCount=1)  # fmt: skip

    def screenshot(self, path):
        """Writes a picture of the whole page."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def _read(self):
        while b"\0" not in self.buffer:
            received = self.socket.recv(1 << 20)
            if not received:
                raise RuntimeError("Chromium has gone")
            self.buffer += received
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, event):
        method, params = event["method"], event["params"]
        self.events.append(method)
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.complaints.append(params["args"])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(params["entry"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"])
