"""LiteRT.js in headless Chromium: the demonstration's server and model, without its drawing.

The page is isolated from other origins, so its clock has steps of microseconds. LiteRT.js would
then have threads too, where it is asked for them: the model asks for none.
"""

import contextlib
import json
import tempfile
import threading

from benchmarks import chromium
from export.demo import server

_ARRAYS = {"float32": "Float32Array", "int32": "Int32Array"}
_LOAD = """
import('/model.js').then(async ({Model}) => {
  if (!crossOriginIsolated) throw new Error('a coarse clock: the page is not isolated');
  self.model = await Model.load();
})
"""
_TIMES = """
(async () => {
  const times = [];
  for (let call = 0; call < %d; call++) {
    const start = performance.now();
    await self.call();
    times.push(performance.now() - start);
  }
  return times;
})()
"""


def missing():
    """Returns what is needed and not here, or None."""
    if chromium.PATH is None:
        return "no chromium on the PATH"
    if not (server.NODE_MODULES / "@litertjs").is_dir():
        return "no LiteRT.js: npm ci --prefix export/demo"
    return None


@contextlib.contextmanager
def opened(export_dir):
    """Yields a function of a signature's name and inputs that returns its Candidate.

    Each call of it loads the page and the model again; the Candidate before is then gone.

    Args:
        export_dir: a directory that holds tflite/<name>-float32.tflite.
    """
    with contextlib.ExitStack() as stack:
        demo = stack.enter_context(server.make_server(export_dir))
        threading.Thread(target=demo.serve_forever, daemon=True).start()
        stack.callback(demo.shutdown)
        profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        browser = stack.enter_context(chromium.Chromium(profile))
        browser.call("Network.setBlockedURLs", urls=["*/demo.js"])  # the page would draw

        def load(name, inputs):
            browser.open(server.address(demo))
            browser.evaluate(_LOAD)
            return Candidate(browser, name, inputs)

        yield load


class Candidate:
    """A signature in the page, from typed arrays to typed arrays; see runtimes.

    Args:
        browser: a Chromium with `model`.
        name: decode or sample.
        inputs: {name: array [N, ...]}.
    """

    def __init__(self, browser, name, inputs):
        self.browser = browser
        count = len(next(iter(inputs.values())))
        arrays = ", ".join(
            f"{key}: {_ARRAYS[value.dtype.name]}.from({json.dumps(value.ravel().tolist())})"
            for key, value in inputs.items()
        )
        browser.evaluate(
            f"(inputs => {{ self.call = () => model.run('{name}_{count}', {count}, inputs); }})"
            f"({{{arrays}}})"
        )

    def times(self, calls):
        """Returns the milliseconds of each of some calls, by the page's clock."""
        return self.browser.evaluate(_TIMES % calls)

    def images(self):
        """Returns the images, as a list of all their values."""
        return self.browser.evaluate("call().then(({image}) => Array.from(image))")
