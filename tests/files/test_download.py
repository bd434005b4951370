"""Downloads: whole or not at all, resumed where they were cut off, checked before anything reads them."""

import hashlib
import os
import random

import pytest
from weight_server import serving

from inpaintzoo.files.download import download_file
from inpaintzoo.types import WeightsError

CONTENT = random.Random(1).randbytes(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def running():
    with serving() as server:
        yield server


@pytest.fixture
def server(running):
    running.files, running.cuts = {"/net.pth": CONTENT}, 0
    running.requests.clear()
    return running


def ranges(server):
    return [asked for _, _, asked in server.requests]


@pytest.mark.parametrize("digest", [DIGEST, DIGEST[:8], None])
def test_a_file_arrives_whole(digest, server, tmp_path):
    download_file(f"{server.url}/net.pth", tmp_path / "new" / "net.pth", digest)
    assert (tmp_path / "new" / "net.pth").read_bytes() == CONTENT
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["net.pth"]


def test_an_answer_that_is_cut_off_is_continued(server, tmp_path):
    server.cuts = 2
    download_file(f"{server.url}/net.pth", tmp_path / "net.pth", DIGEST)
    assert (tmp_path / "net.pth").read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=150000-", "bytes=225000-"]


def test_a_later_call_continues_where_an_earlier_one_stopped(server, tmp_path, monkeypatch):
    server.cuts = 1
    monkeypatch.setattr("inpaintzoo.files.download.ATTEMPTS", 1)
    with pytest.raises(OSError, match=r"ended after 150,000 of 300,000 bytes; the next try continues there"):
        download_file(f"{server.url}/net.pth", tmp_path / "net.pth", DIGEST)
    assert not (tmp_path / "net.pth").exists()
    download_file(f"{server.url}/net.pth", tmp_path / "net.pth", DIGEST)
    assert (tmp_path / "net.pth").read_bytes() == CONTENT and ranges(server) == [None, "bytes=150000-"]


def test_the_rest_of_another_version_is_not_appended(server, tmp_path):
    (tmp_path / "net.pth.part").write_bytes(b"of a file that has changed since")
    download_file(f"{server.url}/net.pth", tmp_path / "net.pth")
    assert (tmp_path / "net.pth").read_bytes() == CONTENT


def test_a_complete_part_that_was_never_checked_is_fetched_again(server, tmp_path):
    (tmp_path / "net.pth.part").write_bytes(CONTENT)
    os.utime(tmp_path / "net.pth.part", (0, 1_700_000_000))  # the time of the server's file
    download_file(f"{server.url}/net.pth", tmp_path / "net.pth", DIGEST)
    assert (tmp_path / "net.pth").read_bytes() == CONTENT


def test_a_wrong_digest_leaves_nothing(server, tmp_path):
    with pytest.raises(WeightsError, match=rf"net\.pth has the SHA-256 {DIGEST} instead of 0000"):
        download_file(f"{server.url}/net.pth", tmp_path / "net.pth", "0" * 64)
    assert not list(tmp_path.iterdir())


def test_what_is_not_there_is_an_error_of_the_system(server, tmp_path):
    with pytest.raises(OSError, match="404"):
        download_file(f"{server.url}/other.pth", tmp_path / "other.pth")
    with pytest.raises(OSError, match="refused"):
        download_file("http://127.0.0.1:9/net.pth", tmp_path / "net.pth")  # nothing listens there


def test_offline_is_said_before_anything_is_asked(server, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match="HF_HUB_OFFLINE is set"):
        download_file(f"{server.url}/net.pth", tmp_path / "net.pth")
    assert server.requests == []
