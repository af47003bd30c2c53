"""The demonstration: its server, and its page in a real browser."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT

import vae_zoo
from benchmarks import chromium
from export import tflite
from export.demo import server
from vae_zoo import registry
from vae_zoo.probability import noise

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
READY = "import('/demo.js').then(module => module.ready).then(() => true)"

needs_litert = pytest.mark.skipif(
    not (server.NODE_MODULES / "@litertjs").is_dir(),
    reason="no LiteRT.js: npm ci --prefix export/demo",
)
needs_browser = pytest.mark.skipif(not chromium.PATH, reason="no chromium on the PATH")


def vivid(model):
    """Returns a model whose untrained decoder draws pictures that differ."""
    for variable in model.decoder.trainable_variables:
        variable.assign(4 * variable)
    return model


@pytest.fixture(scope="module")
def plane(tiny):
    """A model of two latent dimensions: the page has a plane."""
    return vivid(tiny("vae", latent_size=2))


@pytest.fixture(scope="module")
def export_of(tmp_path_factory):
    """A function that writes a model's TFLite file into a directory of its own."""

    def write(model, names=("decode", "sample"), **options):
        directory = tmp_path_factory.mktemp("export")
        tflite.export_tflite(model, directory / "tflite", quantize=(), names=names, **options)
        return directory

    return write


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium.Chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@contextlib.contextmanager
def serving(export_dir):
    """Yields the address that the command prints."""
    command = [sys.executable, "-m", "export.demo", f"--export_dir={export_dir}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process.stdout.readline().split()[0]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def export_dir(plane, export_of):
    return export_of(plane)


@pytest.fixture(scope="module")
def address(export_dir):
    with serving(export_dir) as served:
        yield served


def open_page(browser, address, size="desktop", dark=False):
    browser.requests.clear()
    browser.complaints.clear()
    browser.show(*SIZES[size], dark=dark)
    browser.open(address)
    assert browser.evaluate(READY)


def pixels(browser, canvas):
    """Returns what a canvas shows, uint8 [height, width, 4]."""
    code = (
        f"(canvas => [canvas.height, canvas.width, Array.from(canvas.getContext('2d')"
        f".getImageData(0, 0, canvas.width, canvas.height).data)])"
        f"(document.getElementById('{canvas}'))"
    )
    height, width, data = browser.evaluate(code)
    return np.reshape(np.array(data, np.uint8), [height, width, 4])


def tiles(picture, shape, count, channel=0):
    """Returns a channel of the images of a grid, [count, H, W], from the pixels of its canvas."""
    height, width = shape[:2]
    grid = [
        picture[top : top + height, left : left + width, channel]
        for top in range(0, len(picture), height + 2)
        for left in range(0, picture.shape[1], width + 2)
    ]
    return np.stack(grid)[:count]


def set_value(browser, selector, value, event="input"):
    """Sets a control as a user does."""
    browser.evaluate(
        f"(control => {{ control.value = {value}; "
        f"control.dispatchEvent(new Event('{event}', {{bubbles: true}})); }})"
        f"(document.querySelector('{selector}'))"
    )


def eventually(check, *arguments):
    """Makes a check until it holds: the page draws when it comes to it."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return check(*arguments)
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@needs_litert
@needs_browser
@pytest.mark.parametrize("size", SIZES)
def test_grid_is_keras_own_and_nothing_leaves_the_machine(size, browser, address, plane, tmp_path):
    open_page(browser, address, size, dark=size == "phone")
    expected = np.asarray(plane.generate(7))  # [64, 28, 28, 1]
    values = browser.evaluate(
        "Promise.all([import('/demo.js'), import('/samples.js')]).then(async ([demo, samples]) => {"
        "  const values = [];"
        "  for await (const batch of samples.generate(await demo.ready, 7))"
        "    values.push(...batch.image);"
        "  return values; })"
    )
    np.testing.assert_allclose(np.reshape(values, expected.shape), expected, atol=1e-5)
    shown = tiles(pixels(browser, "grid"), expected.shape[1:], 64).astype(int)
    assert np.abs(shown - np.round(255 * expected[..., 0])).max() <= 1
    assert browser.requests and all(url.startswith(address) for url in browser.requests)
    assert not browser.complaints
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert "ms per image" in browser.evaluate("document.getElementById('samples-time').innerText")
    browser.screenshot(tmp_path / f"{size}.png")


@needs_litert
@needs_browser
def test_sliders_plane_and_grid_move_the_picture(browser, address, plane):
    open_page(browser, address)

    def check(z):
        expected = np.round(255 * np.asarray(plane.decode(np.array([z], np.float32))))[0, ..., 0]
        assert np.abs(pixels(browser, "picture")[..., 0] - expected).max() <= 1

    z = np.asarray(plane.sample([[7, 0]])[1])[0]
    eventually(check, z)
    before = pixels(browser, "picture")
    set_value(browser, "#sliders label:nth-child(2) input", 2.5)
    eventually(check, [z[0], 2.5])
    assert np.abs(pixels(browser, "picture").astype(int) - before).max() > 20
    browser.evaluate("document.getElementById('centre').click()")
    set_value(browser, "#sliders label:nth-child(1) input", -1)
    eventually(check, [-1, 0])
    left, top, width, height = box(browser, "map")
    browser.press(left + 0.75 * width, top + 0.25 * height)
    shown = browser.evaluate("[...document.querySelectorAll('#sliders input')].map(x => +x.value)")
    np.testing.assert_allclose(shown, [1.5, 1.5], atol=0.05)
    left, top, width, height = box(browser, "grid")
    browser.press(left + width - 5, top + 5)  # the last of the first row
    eventually(check, np.asarray(plane.sample([[7, 7]])[1])[0])
    assert not browser.complaints


def box(browser, element):
    """Returns [left, top, width, height] in the window of an element, scrolled into sight."""
    return browser.evaluate(
        f"(element => {{ element.scrollIntoView({{block: 'center'}}); "
        f"const box = element.getBoundingClientRect(); "
        f"return [box.left, box.top, box.width, box.height]; }})"
        f"(document.getElementById('{element}'))"
    )


@needs_litert
@needs_browser
def test_path_joins_the_first_images_of_its_seeds(browser, address, plane):
    ends = np.round(255 * np.asarray(plane.generate([[7, 0], [11, 0]])))[..., 0]

    def check_ends():
        images = tiles(pixels(browser, "path"), plane.image_shape, 16).astype(int)
        assert np.abs(images[[0, -1]] - ends).max() <= 1
        return images

    open_page(browser, address)
    set_value(browser, "#to", 11)
    shown = eventually(check_ends)
    assert np.abs(shown[7] - shown[0]).max() > 5
    set_value(browser, "#to", 2**31)  # no int32: the field says so, the path stays
    assert browser.evaluate("document.getElementById('to').classList.contains('wrong')")
    np.testing.assert_array_equal(shown, tiles(pixels(browser, "path"), plane.image_shape, 16))


@needs_litert
@needs_browser
def test_tensors_are_deleted_after_use(browser, address):
    open_page(browser, address)
    grown = browser.evaluate(
        "Promise.all([import('/demo.js'), import('@litertjs/core')]).then(async ([demo, core]) => {"
        "  const model = await demo.ready;"
        "  const heap = () => core.getGlobalLiteRt().liteRtWasm.HEAPU8.length;"
        "  const before = heap();"
        "  for (let i = 0; i < 2000; i++) await model.sample(i);"  # 200 MB, were they kept
        "  return heap() - before; })"
    )
    assert grown == 0


@needs_litert
@needs_browser
def test_model_without_decode_has_the_grid_alone(browser, plane, export_of):
    with serving(export_of(plane, names=("sample",))) as address:
        open_page(browser, address)
        hidden = "['latent', 'interpolation'].every(id => document.getElementById(id).hidden)"
        assert browser.evaluate(hidden)
        expected = np.round(255 * np.asarray(plane.generate(7)))[..., 0]
        shown = tiles(pixels(browser, "grid"), plane.image_shape, 64)
        assert np.abs(shown - expected).max() <= 1
        assert not browser.complaints


@needs_litert
@needs_browser
@pytest.mark.parametrize("size", SIZES)
def test_a_trained_model_of_colour_shows_keras_own_colours(size, browser, export_of, tmp_path):
    """One that ships: 8-bit values, and a flow as prior."""
    model = vae_zoo.from_preset("conv_vae/shapes")
    with serving(export_of(model)) as address:
        open_page(browser, address, size)
        expected = np.asarray(model.generate(7))  # [64, 32, 32, 3]
        shown = pixels(browser, "grid")
        for channel in range(3):
            of_channel = tiles(shown, model.image_shape, 64, channel).astype(int)
            assert np.abs(of_channel - np.round(255 * expected[..., channel])).max() <= 1
        assert np.ptp(expected, axis=-1).mean() > 0.1  # they are no greys
        assert not browser.complaints
        browser.screenshot(tmp_path / f"colour-{size}.png")


@needs_litert
@needs_browser
def test_conditional_model_draws_the_chosen_label(browser, tiny, export_of):
    conditional = [n for n in vae_zoo.model_names() if registry.model_class(n).needs_labels]
    if not conditional:
        pytest.skip("no conditional model is registered")
    model = vivid(tiny(conditional[0]))
    names = [f"digit {label}" for label in range(10)]
    with serving(export_of(model, label_names=names)) as address:
        open_page(browser, address)
        assert browser.evaluate("document.getElementById('label').innerText").split("\n") == names
        set_value(browser, "#label", 3, event="change")
        rows, labels = noise.rows(7, 64), np.full(64, 3, np.int32)
        expected = np.round(255 * np.asarray(model.generate(rows, labels)))[..., 0]

        def check():
            shown = tiles(pixels(browser, "grid"), model.image_shape, 64)
            assert np.abs(shown - expected).max() <= 1

        eventually(check)


@needs_litert
def test_server_gives_its_files_and_no_others(address):
    connection = http.client.HTTPConnection(address.split("/")[2])

    def get(path):
        connection.request("GET", path)
        response = connection.getresponse()
        return response, response.read()

    response, description = get("/model.json")
    assert json.loads(description)["latent_size"] == 2
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    response, _ = get("/node_modules/@litertjs/core/dist/index.js")
    assert response.status == 200 and response.headers["Content-Type"] == "text/javascript"
    for path in ("/server.py", "/../server.py", "/node_modules/../server.py", "/package.json"):
        assert get(path)[0].status == 404


def test_wrong_exports_end_in_one_line(command, tmp_path, export_dir):
    whole = next(export_dir.glob("tflite/*.tflite"))
    corrupt = tmp_path / "corrupt" / "tflite" / whole.name
    corrupt.parent.mkdir(parents=True)
    corrupt.write_bytes(whole.read_bytes()[:1000])
    for flags, words in [
        ([], "--export_dir is missing"),
        ([f"--export_dir={tmp_path}"], "no float32 TFLite file"),
        ([f"--export_dir={corrupt.parent.parent}"], "is no readable TFLite file"),
    ]:
        result = command("export.demo", *flags)
        assert result.returncode == 2, result.stderr
        assert words in result.stderr and result.stderr.count("\n") == 1


def test_missing_litert_is_said_with_its_remedy(monkeypatch, tmp_path, export_dir):
    monkeypatch.setattr(server, "NODE_MODULES", tmp_path)
    with pytest.raises(vae_zoo.UserError, match="npm ci --prefix"):
        server.make_server(export_dir)
