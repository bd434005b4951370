"""The page's server over HTTP: fill, segment, remove and models, and what hostile clients send."""

import base64
import io
import json
import struct
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image
from predictor_toys import Draws, Paints

from inpaintzoo.predictor import Predictor
from inpaintzoo.removal import GrabCut, InstanceMap

pytest.importorskip("fastapi", reason="needs the extra app")
pytest.importorskip("httpx", reason="TestClient needs httpx")
from starlette.testclient import TestClient

from inpaintzoo.app.server import create_app
from inpaintzoo.app.workplace import Limits, Workplace

HOST = "http://127.0.0.1:8000"
IDS = np.zeros((48, 64), np.uint8)
IDS[10:20, 10:20] = 1
IDS[30:40, 40:55] = 2
PIXELS = np.random.default_rng(0).integers(60, 90, (48, 64, 3), dtype=np.uint8)
PIXELS[IDS > 0] = [220, 40, 30]


def file_of(pixels, form="PNG", **options):
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, form, **options)
    return data.getvalue()


PHOTO = file_of(PIXELS)
TIFF = file_of(PIXELS, "TIFF")
HOLE = file_of((IDS == 1).astype(np.uint8) * 255)


class Slow(Paints):
    """Waits until it is let go."""

    def __init__(self):
        super().__init__()
        self.began, self.go = threading.Event(), threading.Event()

    def forward(self, image, mask):
        self.began.set()
        assert self.go.wait(30)
        return super().forward(image, mask)


@pytest.fixture
def slow():
    network = Slow()
    yield network
    network.go.set()


@pytest.fixture
def workplace(slow):
    segmenters = {"grabcut": GrabCut(), "known": InstanceMap(IDS, {1: "person", 2: "dog"})}
    models = {"red": Paints(), "draws": Draws(), "slow": slow}
    with Workplace(models, segmenters, Limits(megabytes=1, megapixels=0.05), device="cpu") as place:
        yield place


@pytest.fixture
def client(workplace):
    with TestClient(create_app(workplace), base_url=HOST) as client:
        yield client


def post(client, path, image=PHOTO, name="photo.png", mask=None, **fields):
    files = {key: (name, data) for key, data in (("image", image), ("mask", mask)) if data is not None}
    return client.post(path, files=files or None, data=fields)


def pixels_of(answer):
    assert answer.status_code == 200, answer.text
    return np.array(Image.open(io.BytesIO(answer.content)))


def refused(answer, status, *words):
    assert answer.status_code == status, answer.text
    said = answer.json()["error"]
    assert all(word in said for word in words), said
    assert "\n" not in said and "Traceback" not in said
    return said


# -- what it does ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*JPEG changes known pixels")
def test_a_fill_is_the_librarys_own_file(client, tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "a beach"
    for form, suffix in (("JPEG", "jpg"), ("PNG", "png"), ("TIFF", "tif")):
        (tmp_path / f"photo.{suffix}").write_bytes(file_of(PIXELS, form, exif=exif))
        (tmp_path / "mask.png").write_bytes(HOLE)
        answer = post(
            client, "/fill", (tmp_path / f"photo.{suffix}").read_bytes(), f"photo.{suffix}", HOLE, model="diffusion"
        )
        out = tmp_path / f"out.{suffix}"
        Predictor(fill="diffusion", device="cpu").fill_file(
            tmp_path / f"photo.{suffix}", tmp_path / "mask.png", out, overwrite=True
        )
        assert answer.content == out.read_bytes()
        assert f'filename="photo-filled.{suffix}"' in answer.headers["content-disposition"]
        assert Image.open(io.BytesIO(answer.content)).getexif()[0x010E] == "a beach"


def test_a_fill_goes_on_from_a_kept_picture(client):
    picture = post(client, "/pictures").json()
    assert {key: picture[key] for key in ("name", "width", "height", "format")} == {
        "name": "photo.png",
        "width": 64,
        "height": 48,
        "format": "PNG",
    }
    first = post(client, "/fill", None, mask=HOLE, picture=picture["id"], model="red", answer="json").json()
    (filled,) = first["pictures"]
    after = pixels_of(client.get(f"/pictures/{filled['id']}/file"))
    assert (after[IDS == 1] == [255, 0, 0]).all() and (after[IDS != 1] == PIXELS[IDS != 1]).all()
    second = post(client, "/fill", None, mask=HOLE, picture=filled["id"], model="mean", format="webp", answer="json")
    (filled,) = second.json()["pictures"]
    assert filled["name"] == "photo-filled.webp" and filled["format"] == "WEBP"


def test_samples_of_a_stochastic_model(client):
    answer = post(client, "/fill", mask=HOLE, model="draws", samples=3, seed=5, answer="json").json()
    fills = [pixels_of(client.get(f"/pictures/{each['id']}/file")) for each in answer["pictures"]]
    assert len(fills) == 3 and (fills[0] != fills[1]).any() and (fills[1] != fills[2]).any()
    refused(post(client, "/fill", mask=HOLE, model="draws", samples=3), 400, "answer=json")
    refused(post(client, "/fill", mask=HOLE, model="red", samples=3, answer="json"), 400, "deterministic")
    refused(post(client, "/fill", mask=HOLE, model="draws", samples=99, answer="json"), 400, "samples", "99")


def test_notes_name_the_users_file(client):
    answer = post(client, "/fill", file_of(PIXELS, "JPEG"), "sea.jpg", HOLE, model="red", answer="json").json()
    assert any("JPEG changes known pixels" in note and "sea" in note for note in answer["notes"])
    assert "/tmp" not in json.dumps(answer)


def test_segment_answers_clicks(client):
    hole = pixels_of(post(client, "/segment", at="45,35", segmenter="known", grow=1))
    assert hole.dtype == bool and (np.argwhere(hole)[[0, -1]] == [[29, 39], [40, 55]]).all()
    answer = post(client, "/segment", at="45,35", segmenter="known", grow=0, answer="json").json()
    (found,) = answer["objects"]
    assert found["name"] == "dog" and found["box"] == [40, 30, 55, 40]
    hole = np.array(Image.open(io.BytesIO(base64.b64decode(answer["hole"]))))
    assert (hole == (IDS == 2)).all()
    without = pixels_of(post(client, "/segment", at="14,14", away="45,35", segmenter="grabcut"))
    assert without[15, 15] and not without[35, 45]


def test_segment_lists_what_a_segmenter_finds_by_itself(client):
    found = post(client, "/segment", segmenter="known", answer="json").json()["objects"]
    assert [(each["name"], each["box"]) for each in found] == [
        ("person", [10, 10, 20, 20]),
        ("dog", [40, 30, 55, 40]),
    ]
    cut = np.array(Image.open(io.BytesIO(base64.b64decode(found[1]["mask"]))))
    assert cut.shape == (10, 15) and cut.all()
    refused(post(client, "/segment"), 400, "nothing", "at")


def test_remove_is_the_command_over_http(client):
    drawn = np.zeros(IDS.shape, np.uint8)
    drawn[2:5, 2:5] = 255
    fields = {"at": "45,35", "class": "person", "segmenter": "known", "grow": 0, "model": "red"}
    after = pixels_of(post(client, "/remove", mask=file_of(drawn), **fields))
    hole = (IDS > 0) | (drawn > 0)
    assert (after[hole] == [255, 0, 0]).all() and (after[~hole] == PIXELS[~hole]).all()
    refused(post(client, "/remove", at="1,1", segmenter="known"), 422, "no object was found", "1,1")
    refused(post(client, "/remove", at="1;1", segmenter="known"), 400, "X,Y", "1;1")
    refused(post(client, "/remove", segmenter="known"), 400, "nothing to remove")


def test_a_transparent_picture_needs_no_mask(client):
    alpha = np.where(IDS == 1, 0, 255).astype(np.uint8)[..., None]
    after = pixels_of(post(client, "/fill", file_of(np.concatenate([PIXELS, alpha], axis=2)), model="red"))
    assert (after[IDS == 1] == [255, 0, 0, 255]).all()
    refused(post(client, "/fill", model="red"), 422, "mask")


def test_models_lists_only_what_is_there(client):
    listed = client.get("/models").json()
    models = {each["name"]: each for each in listed["models"]}
    assert {"shiftmap", "diffusion", "red", "draws"} <= models.keys()
    assert "pennet-places2" not in models  # not downloaded
    assert models["draws"]["stochastic"] and not models["shiftmap"]["stochastic"]
    assert listed["segmenters"] == [
        {"name": "grabcut", "finds_all": False},
        {"name": "known", "finds_all": True},
    ]
    assert listed["limits"] == {"megabytes": 1, "megapixels": 0.05, "samples": 16}


def test_what_a_browser_cannot_show_is_shown_as_png(client):
    tiff = post(client, "/pictures", file_of(PIXELS, "TIFF"), "a.tif").json()
    assert (pixels_of(client.get(f"/pictures/{tiff['id']}/shown")) == PIXELS).all()
    png = post(client, "/pictures").json()
    assert client.get(f"/pictures/{png['id']}/shown").content == PHOTO


def test_the_documentation_names_every_route_and_loads_nothing(client):
    page = client.get("/docs")
    assert all(f"/{name}" in page.text for name in ("fill", "segment", "remove", "models", "openapi.json"))
    forms = client.get("/openapi.json").json()["paths"]["/fill"]["post"]["requestBody"]["content"]
    assert list(forms) == ["multipart/form-data"]
    assert (
        "curl" in page.text
        and "127.0.0.1:8000/fill" in page.text
        and "https://" not in page.text
        and "<script" not in page.text
    )
    for path in ("/", "/page/app.js", "/page/style.css"):
        answer = client.get(path)
        assert answer.status_code == 200 and "https://" not in answer.text and "http://" not in answer.text
        assert "default-src 'self'" in answer.headers["content-security-policy"]


# -- one at a time, and cancelled --------------------------------------------------------------------------------------


def in_background(*arguments, **fields):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(post(*arguments, **fields)), daemon=True)
    thread.start()
    return thread, answers


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def test_two_clients_take_turns_and_either_may_cancel(client, slow):
    first, answers = in_background(client, "/fill", mask=HOLE, model="slow", job="first")
    assert slow.began.wait(20)
    second, others = in_background(client, "/fill", mask=HOLE, model="red", job="second")
    until(lambda: client.get("/jobs/second").status_code == 200)
    assert client.get("/jobs/first").json()["state"] == "running"
    assert client.get("/jobs/second").json() | {"seconds": 0} == {"state": "waiting", "before": 1, "seconds": 0}
    refused(post(client, "/fill", mask=HOLE, model="red", job="second"), 409, "second")
    assert client.delete("/jobs/second").status_code == 200
    second.join(20)
    refused(others[0], 409, "cancelled")
    third, thirds = in_background(client, "/fill", mask=HOLE, model="red", job="third")
    until(lambda: client.get("/jobs/third").status_code == 200)
    assert client.delete("/jobs/first").status_code == 200
    first.join(20)
    refused(answers[0], 409, "cancelled")
    slow.go.set()
    third.join(20)
    assert thirds[0].status_code == 200
    refused(client.get("/jobs/third"), 404, "third")
    refused(client.delete("/jobs/nothing"), 404, "nothing")


def test_a_long_queue_is_refused(client, slow, workplace):
    workplace.line.most = 1
    first, _ = in_background(client, "/fill", mask=HOLE, model="slow")
    assert slow.began.wait(20)
    refused(post(client, "/fill", mask=HOLE, model="red"), 503, "busy")
    slow.go.set()
    first.join(20)


# -- hostile clients ---------------------------------------------------------------------------------------------------


def bomb(side):
    """A PNG file of a few bytes that says it has this many pixels a side."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (bomb(13_000), 413, ["169 megapixels", "0.05"]),
        (bomb(20_000), 413, ["400000000 pixels", "scale"]),
        (file_of(np.zeros((300, 300), np.uint8)), 413, ["0.09 megapixels", "0.05"]),
        (b"<svg onload=alert(1)>", 422, ["photo.png", "not an image"]),
        (b"%!PS-Adobe-3.0 EPSF-3.0", 422, ["not an image"]),
        (b"", 422, ["empty"]),
        (PHOTO[:400], 422, ["photo.png"]),
        (b"x" * 1_100_000, 413, ["1 MB"]),
    ],
    ids=["bomb", "larger", "large", "svg", "postscript", "empty", "cut", "heavy"],
)
def test_files_that_are_no_pictures(client, workplace, data, status, words):
    said = refused(post(client, "/pictures", data), status, *words)
    assert str(workplace.folder) not in said
    assert list(workplace.folder.iterdir()) == []
    said = refused(post(client, "/fill", mask=data, name="photo.png"), status, *words)
    assert str(workplace.folder) not in said


def test_an_upload_without_a_length_is_cut_off(client):
    def endless():
        head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
        yield head
        for _ in range(100):
            yield b"x" * 100_000

    answer = client.post("/pictures", content=endless(), headers={"content-type": "multipart/form-data; boundary=b"})
    refused(answer, 413, "1 MB")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("<img src=x onerror=alert(1)>.png", "<img src=x onerror=alert(1)>.png"),
        ("../../etc/passwd", "passwd.png"),
        ("C:\\photos\\a.png", "a.png"),
        ("a\r\nSet-Cookie: x.png", "aSet-Cookie: x.png"),
        ("", "picture.png"),
        ("x" * 5000 + ".png", "x" * 100 + ".png"),
        ("photo.jpg", "photo.png"),
    ],
)
def test_names_are_only_shown(client, workplace, given, kept):
    picture = workplace.keep(io.BytesIO(PHOTO), given)
    assert picture.name == kept
    assert picture.file.parent == workplace.folder
    answer = client.get(f"/pictures/{picture.id}/file")
    assert answer.status_code == 200 and "set-cookie" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8000", "", "localhost:x@evil"]
)
def test_forged_hosts_are_refused(client, host):
    refused(client.get("/models", headers={"host": host}), 421, "Host")


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
def test_local_hosts_are_served(client, host):
    assert client.get("/models", headers={"host": host}).status_code == 200


def test_other_sites_may_not_post(client):
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        answer = client.post("/pictures", files={"image": ("a.png", PHOTO)}, headers=headers)
        refused(answer, 403, "another site")
    answer = client.post("/pictures", files={"image": ("a.png", PHOTO)}, headers={"origin": HOST})
    assert answer.status_code == 200


def test_wrong_requests_are_sentences(client):
    refused(client.get("/nothing"), 404, "/nothing")
    refused(client.get("/page/../server.py"), 404)
    refused(client.get("/page/%2e%2e/server.py"), 404)
    refused(client.get("/fill"), 405, "GET")
    refused(client.post("/pictures"), 400, "image")
    refused(client.get("/pictures/nothing/file"), 404, "open it again")
    refused(post(client, "/fill", None, picture="nothing", model="red"), 404, "open it again")
    refused(post(client, "/fill", mask=HOLE, model="shiftmpa"), 400, "shiftmpa", "shiftmap")
    refused(post(client, "/fill", mask=HOLE, model="/etc/passwd"), 400, "/etc/passwd")
    refused(post(client, "/fill", mask=HOLE, samples="many"), 400, "samples")
    refused(post(client, "/fill", mask=HOLE, format="exe"), 400, "format")
    refused(post(client, "/segment", at="1,1", segmenter="sam2"), 400, "sam2")


def test_mistakes_inside_are_told_too(client, workplace, monkeypatch):
    monkeypatch.setattr(Paints, "forward", lambda self, image, mask: 1 / 0)
    refused(post(client, "/fill", mask=HOLE, model="red"), 500, "ZeroDivisionError")


# -- nothing stays -----------------------------------------------------------------------------------------------------


def test_uploads_lie_in_a_private_folder_that_goes(tmp_path, monkeypatch):
    with Workplace({}, {"grabcut": GrabCut()}, device="cpu") as workplace:
        workplace.keep(io.BytesIO(PHOTO), "a.png")
        assert workplace.folder.stat().st_mode & 0o077 == 0
        assert len(list(workplace.folder.iterdir())) == 1
    assert not workplace.folder.exists()


def test_the_oldest_pictures_are_dropped(client, workplace):
    workplace.limits = Limits(1, 0.05, kept=2 * len(TIFF))
    first, *others = [post(client, "/pictures", TIFF, "a.tif").json()["id"] for _ in range(2)]
    client.get(f"/pictures/{first}/shown")
    others.append(post(client, "/pictures", TIFF, "a.tif").json()["id"])
    refused(client.get(f"/pictures/{first}/file"), 404, "open it again")
    assert all(client.get(f"/pictures/{each}/file").status_code == 200 for each in others)
    assert len(list(workplace.folder.iterdir())) == 2
