"""The page in a real browser, driven by playwright: Debian's Chromium, since playwright's own is a download."""

import io
import json
import re
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image
from predictor_toys import Draws, Paints

from inpaintzoo.predictor import Predictor
from inpaintzoo.removal import GrabCut, InstanceMap

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("needs a browser: apt-get install chromium", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
uvicorn = pytest.importorskip("uvicorn", reason="needs the extra app")
pytest.importorskip("fastapi", reason="needs the extra app")

TIMES = "\N{MULTIPLICATION SIGN}"
IDS = np.zeros((300, 400), np.uint8)
IDS[50:120, 60:140] = 1
IDS[180:260, 240:340] = 2


class Slow(Paints):
    """Waits until it is let go."""

    go = threading.Event()

    def forward(self, image, mask):
        assert self.go.wait(30)
        return super().forward(image, mask)


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    pixels = np.random.default_rng(0).integers(60, 90, (*IDS.shape, 3), dtype=np.uint8)
    pixels[IDS > 0] = [220, 40, 30]
    file = tmp_path_factory.mktemp("photo") / "a beach.png"
    Image.fromarray(pixels).save(file, dpi=(72, 72))
    return file


@pytest.fixture(scope="module")
def address():
    from inpaintzoo.app.server import create_app
    from inpaintzoo.app.workplace import Workplace

    segmenters = {"grabcut": GrabCut(), "known": InstanceMap(IDS, {1: "person", 2: "dog"})}
    with Workplace({"draws": Draws(), "slow": Slow()}, segmenters, device="cpu") as workplace:
        server = uvicorn.Server(uvicorn.Config(create_app(workplace), port=0, log_level="error"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        Slow.go.set()
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, address):
    """A visit of the page, whose requests all go to the server and which logs no error."""
    contexts, trouble = [], []

    def visited(**options):
        contexts.append(
            browser.new_context(viewport={"width": 1000, "height": 700}, **options)
            if "viewport" not in options
            else browser.new_context(**options)
        )
        page = contexts[-1].new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on(
            "request",
            lambda request: request.url.startswith((address, "blob:", "data:")) or trouble.append(request.url),
        )
        page.goto(address)
        page.wait_for_selector("#model option", state="attached")
        return page

    yield visited
    for context in contexts:
        context.close()
    assert trouble == []


def opened(page, *files):
    page.set_input_files("#files", list(files))
    says(page, TIMES)
    return page


def place(page, x, y):
    """Where a pixel of the picture is on the screen, when the whole picture is shown."""
    frame = page.locator("#drawing").bounding_box()
    scale = min(frame["width"] / 400, frame["height"] / 300)
    left, top = (frame["width"] - 400 * scale) / 2, (frame["height"] - 300 * scale) / 2
    return frame["x"] + left + x * scale, frame["y"] + top + y * scale


def colour(page, canvas, x, y):
    """The RGBA levels that a canvas shows at a pixel of the picture."""
    frame = page.locator("#drawing").bounding_box()
    left, top = place(page, x, y)
    read = """([id, x, y]) => [...document.getElementById(id).getContext("2d").getImageData(x, y, 1, 1).data]"""
    return page.evaluate(read, [canvas, round(left - frame["x"]), round(top - frame["y"])])


def draw(page, *points):
    page.mouse.move(*place(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*place(page, *point), steps=4)
    page.mouse.up()


def masked(page, folder):
    """The mask, as the page saves it."""
    with page.expect_download() as download:
        page.click("#save-mask")
    download.value.save_as(folder / "mask.png")
    return np.array(Image.open(folder / "mask.png").convert("L")) > 127


def says(page, text):
    playwright.expect(page.locator("#status")).to_contain_text(text, timeout=15_000)


def test_draw_undo_fill_compare_and_download(visit, photo, tmp_path):
    page = opened(visit(), photo)
    assert page.evaluate("document.querySelector('#undo').disabled") is False
    draw(page, (70, 85), (130, 85))
    draw(page, (300, 20), (380, 20))
    both = masked(page, tmp_path)
    assert both[85, 100] and both[20, 340]
    page.keyboard.press("Control+z")
    hole = masked(page, tmp_path)
    assert hole[85, 100] and not hole[20, 340]
    page.keyboard.press("Control+Shift+z")
    assert (masked(page, tmp_path) == both).all()
    page.click("#undo")
    page.check("[value=eraser]")
    draw(page, (130, 85), (131, 86))
    hole = masked(page, tmp_path)
    assert not hole[85, 130] and hole[85, 80]

    page.select_option("#model", "diffusion")
    page.click("#fill")
    says(page, "Done.")
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "a beach-filled.png"
    download.value.save_as(tmp_path / "page.png")
    Predictor(fill="diffusion", device="cpu").fill_file(photo, tmp_path / "mask.png", tmp_path / "library.png")
    assert (tmp_path / "page.png").read_bytes() == (tmp_path / "library.png").read_bytes()
    before, after = (np.array(Image.open(file)) for file in (photo, tmp_path / "page.png"))
    assert (before[~hole] == after[~hole]).all() and (before[hole] != after[hole]).any()

    filled = colour(page, "picture", 90, 85)
    page.fill("#slider", "100")
    assert colour(page, "picture", 90, 85) == [220, 40, 30, 255] != filled
    page.fill("#slider", "0")
    page.focus("#drawing")
    page.keyboard.down("Tab")
    assert colour(page, "picture", 90, 85) == [220, 40, 30, 255]
    page.keyboard.up("Tab")
    assert colour(page, "picture", 90, 85) == filled
    page.click("#history button >> nth=0")
    assert colour(page, "picture", 90, 85) == [220, 40, 30, 255]
    page.click("#again")
    assert (masked(page, tmp_path) == hole).all()


def test_objects_by_clicks(visit, photo, tmp_path):
    page = opened(visit(), photo)
    page.keyboard.press("s")
    page.mouse.click(*place(page, 100, 85))
    says(page, "Selected")
    assert masked(page, tmp_path)[IDS == 1].all()
    page.fill("#grow", "10")
    page.dispatch_event("#grow", "change")
    says(page, "Looking")
    says(page, "Selected")
    grown = masked(page, tmp_path)
    assert grown[45, 100] and grown[IDS == 1].all()
    page.keyboard.press("n")
    page.mouse.click(*place(page, 290, 220))
    says(page, "Selected")
    two = masked(page, tmp_path)
    assert two[IDS > 0].all()
    page.mouse.click(*place(page, 10, 290), button="right")
    says(page, "Looking")
    says(page, "Selected")
    assert page.evaluate("document.querySelector('#status').className") == ""
    for _ in range(2):
        page.click("#undo")
    assert (masked(page, tmp_path) == grown).all()


def test_the_object_under_the_mouse_is_shown(visit, photo, tmp_path):
    page = opened(visit(), photo)
    page.select_option("#segmenter", "known")
    with page.expect_response("**/segment"):
        page.keyboard.press("s")
    page.wait_for_timeout(200)
    page.mouse.move(*place(page, 290, 220))
    page.mouse.move(*place(page, 291, 220))
    assert colour(page, "drawing", 250, 190)[3] > 0
    page.mouse.move(*place(page, 20, 20))
    assert colour(page, "drawing", 250, 190)[3] == 0
    page.mouse.click(*place(page, 20, 20))
    says(page, "No object was found")
    page.mouse.click(*place(page, 290, 220))
    says(page, "Selected: dog.")


def test_samples_lie_side_by_side(visit, photo):
    page = opened(visit(), photo)
    draw(page, (70, 85), (130, 85))
    page.select_option("#model", "draws")
    page.fill("#samples", "3")
    page.click("#fill")
    page.wait_for_selector("#choose[open]")
    assert page.locator("#choose img").count() == 3
    page.click("#choose button >> nth=1")
    assert page.locator("#history button").count() == 4
    assert page.locator("#history button >> nth=2").get_attribute("aria-current") == "true"


def test_a_fill_can_be_cancelled(visit, photo):
    page = opened(visit(), photo)
    draw(page, (70, 85), (130, 85))
    page.select_option("#model", "slow")
    page.click("#fill")
    says(page, "Filling: ")
    assert page.is_visible("#progress")
    page.click("#cancel")
    says(page, "Cancelled as you asked.")
    assert page.is_hidden("#progress") and page.is_enabled("#fill")
    Slow.go.set()


def test_failures_are_sentences(visit, tmp_path, photo):
    page = visit()
    (tmp_path / "<img src=x onerror=alert(1)>.png").write_bytes(b"nothing")
    page.set_input_files("#files", tmp_path / "<img src=x onerror=alert(1)>.png")
    says(page, "not an image")
    assert page.locator("img").count() == 0
    opened(page, photo)
    page.click("#fill")
    says(page, "Nothing is marked")
    Image.new("L", (10, 10)).save(tmp_path / "small.png")
    page.set_input_files("#mask-file", tmp_path / "small.png")
    says(page, f"The mask is 10 {TIMES} 10, and the picture 400 {TIMES} 300.")


def test_a_saved_mask_can_be_loaded(visit, photo, tmp_path):
    page = opened(visit(), photo)
    Image.fromarray(IDS == 2).save(tmp_path / "hole.png")
    page.set_input_files("#mask-file", tmp_path / "hole.png")
    page.wait_for_timeout(200)
    assert (masked(page, tmp_path) == (IDS == 2)).all()


def test_the_same_mask_for_several_pictures(visit, photo, tmp_path):
    shutil.copy(photo, tmp_path / "b.png")
    page = opened(visit(), photo, tmp_path / "b.png")
    draw(page, (70, 85), (130, 85))
    page.select_option("#model", "mean")
    page.click("#fill-all")
    says(page, "2 of 2 pictures filled.")
    page.keyboard.press("PageDown")
    says(page, "b.png")
    assert page.locator("#history button").count() == 2


@pytest.mark.parametrize("how", ["ClipboardEvent('paste', {clipboardData: d})", "DragEvent('drop', {dataTransfer: d})"])
def test_a_picture_comes_by_paste_and_drop_and_goes_by_copy(visit, how):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.evaluate(f"""async () => {{
      const canvas = document.createElement("canvas");
      canvas.width = 40;
      const d = new DataTransfer();
      d.items.add(new File([await new Promise((r) => canvas.toBlob(r))], "given.png", {{ type: "image/png" }}));
      document.dispatchEvent(new {how});
    }}""")
    says(page, f"given.png, 40 {TIMES} 150")
    page.keyboard.press("Control+c")
    says(page, "Copied.")
    assert page.evaluate("navigator.clipboard.read().then(([item]) => item.types)") == ["image/png"]


def test_a_folder_is_a_list_of_its_pictures(visit, photo, tmp_path):
    for name in ("b.png", "a.png"):
        shutil.copy(photo, tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    page = visit()
    page.set_input_files("#folder", tmp_path)
    says(page, TIMES)
    assert sorted(page.locator("#pictures span").all_inner_texts()) == ["a.png", "b.png"]


def test_a_fill_after_each_stroke(visit, photo):
    page = opened(visit(), photo)
    page.check("#at-once")
    page.select_option("#model", "mean")
    draw(page, (70, 85), (130, 85))
    says(page, "Done.")
    assert page.locator("#history button").count() == 2


def test_a_client_that_leaves_cancels_its_fill(address):
    Slow.go.clear()
    with asking_for_a_fill(address, "stays"):
        wait_until(lambda: state(address, "stays") == "running")
        with asking_for_a_fill(address, "leaves"):
            wait_until(lambda: state(address, "leaves") == "waiting")
        wait_until(lambda: state(address, "leaves") is None)
        assert state(address, "stays") == "running"
        Slow.go.set()
        wait_until(lambda: state(address, "stays") is None)


def asking_for_a_fill(address, job):
    """A connection on which a fill has been asked for."""
    alpha = io.BytesIO()
    Image.new("RGBA", (16, 16)).save(alpha, "PNG")
    parts = b""
    for name, value in {"model": b"slow", "job": job.encode(), 'image"; filename="a.png': alpha.getvalue()}.items():
        parts += f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value + b"\r\n"
    parts += b"--b--\r\n"
    host, port = address.removeprefix("http://").split(":")
    head = f"POST /fill HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(parts)}\r\n"
    client = socket.create_connection((host, int(port)))
    client.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode() + parts)
    return client


def state(address, job):
    try:
        with urllib.request.urlopen(f"{address}/jobs/{job}") as answer:
            return json.load(answer)["state"]
    except urllib.error.HTTPError:
        return None


def wait_until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def test_with_the_keyboard_alone(visit, photo, tmp_path):
    page = opened(visit(), photo)
    page.focus("#drawing")
    for key in ("ArrowLeft", "Enter"):
        page.keyboard.press(key)
    hole = masked(page, tmp_path)
    assert hole[150, 190] and not hole[10, 10]
    page.focus("#drawing")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "fill"
    before = page.input_value("#size")
    page.keyboard.press("]")
    assert int(page.input_value("#size")) > int(before)
    page.keyboard.press("e")
    assert page.is_checked("[value=eraser]")


def test_zoom_and_pan_keep_places(visit, photo, tmp_path):
    page = opened(visit(), photo)
    page.fill("#size", "3")
    x, y = place(page, 100, 100)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    page.wait_for_timeout(50)
    page.keyboard.down(" ")
    page.mouse.down()
    page.mouse.move(x + 60, y + 30)
    page.mouse.up()
    page.keyboard.up(" ")
    page.mouse.move(x + 60, y + 30)
    page.mouse.down()
    page.mouse.up()
    rows, columns = np.nonzero(masked(page, tmp_path))
    assert abs(rows.mean() - 100) < 2 and abs(columns.mean() - 100) < 2 and len(rows) < 30


def touch(page, kind, *points):
    session = touch.sessions.setdefault(page, page.context.new_cdp_session(page))
    session.send(
        "Input.dispatchTouchEvent",
        {"type": kind, "touchPoints": [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]},
    )


touch.sessions = {}


def test_on_a_phone_one_finger_draws_and_two_zoom(visit, photo, tmp_path):
    page = opened(
        visit(viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True, device_scale_factor=2), photo
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    touch(page, "touchStart", place(page, 70, 85))
    for x in range(75, 131, 5):
        touch(page, "touchMove", place(page, x, 85))
    touch(page, "touchEnd")
    hole = masked(page, tmp_path)
    assert hole[85, 100]
    a, b = place(page, 180, 150), place(page, 220, 150)
    touch(page, "touchStart", a)
    touch(page, "touchStart", a, b)
    touch(page, "touchMove", (a[0] - 40, a[1]), (b[0] + 40, b[1]))
    touch(page, "touchEnd")
    assert (masked(page, tmp_path) == hole).all()
    page.select_option("#model", "mean")
    page.tap("#fill")
    says(page, "Done.")
    page.screenshot(path=tmp_path / "phone.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_contrast(visit, photo, scheme):
    page = opened(visit(color_scheme=scheme), photo)
    page.click("summary")
    found = page.evaluate("""[...document.querySelectorAll("button, label, dt, dd, h2, a, select, #status, summary")]
      .filter((each) => each.offsetParent && !each.disabled)
      .map((each) => {
        let ground = each;
        while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
        return [each.textContent, getComputedStyle(each).color, getComputedStyle(ground).backgroundColor];
      })""")
    assert len(found) > 20
    low = [text for text, *colours in found if contrast(*colours) < 4.5]
    assert low == []


def contrast(one, other):
    """WCAG 2's ratio of two CSS colours."""

    def luminance(colour):
        levels = np.array([int(part) for part in re.findall(r"\d+", colour)[:3]]) / 255
        return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)
