"""`inpaintzoo list --weights`, `download`, `push`, and names in place of paths, through the command line."""

import pytest
from PIL import Image
from weight_server import serving

from inpaintzoo.commands import main
from inpaintzoo.models import PENNet
from inpaintzoo.weights import registry, save_model
from inpaintzoo.weights.registry import Entry


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server with a small network at `/net`, which the registry calls `net-places2` and nobody has verified."""
    monkeypatch.setenv("INPAINTZOO_CACHE", str(tmp_path / "cache"))
    save_model(PENNet(width=4), tmp_path / "net.safetensors")
    with serving() as server:
        server.files["/net"] = (tmp_path / "net.safetensors").read_bytes()
        facts = {"paper": "https://arxiv.org/abs/1", "data": "Places2", "masks": None, "licence": None}
        entry = Entry(**facts, commercial=False, urls=(f"{server.url}/net",), bytes=2_600_000)
        monkeypatch.setattr(registry, "entries", lambda: {"net-places2": entry})
        yield server


def test_weights_are_listed_with_their_terms(server, capsys):
    assert main(["list", "--weights"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "trained", "on", "masks", "licence", "commercial", "use", "MB", "state", "source"]
    assert row.split() == f"net-places2 Places2 - not stated no 3 download --trust {server.url}/net".split()


def test_the_zoos_own_registry_is_listed(capsys):
    assert main(["list", "--weights"]) == 0
    text = capsys.readouterr().out
    assert "pennet-places2" in text and "by hand" in text and "https://github.com/researchmm" in text


def test_a_name_is_downloaded_with_trust_and_then_fills(server, tmp_path, capsys):
    Image.new("RGB", (64, 64), (200, 30, 30)).save(tmp_path / "photo.png")
    Image.new("L", (64, 64), 0).save(tmp_path / "mask.png")
    fill = ["inpaint", str(tmp_path / "photo.png"), str(tmp_path / "mask.png"), "-o", str(tmp_path / "out.png")]
    fill += ["--device", "cpu", "--model", "net-places2"]
    assert main(fill) == 1
    assert "`inpaintzoo download net-places2 --trust`" in capsys.readouterr().err
    assert main(["download", "net-places2", "--trust"]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(registry.kept_file("net-places2"))
    assert said.err == (
        "net-places2: licence not stated, commercial use not allowed; trained on Places2; https://arxiv.org/abs/1\n"
    )
    assert main(fill) == 0 and (tmp_path / "out.png").is_file()
    assert main(["list", "--weights"]) == 0 and " here " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("net-places", "no weights are called net-places; did you mean net-places2?"),
        ("x", "`inpaintzoo list --weights`"),
    ],
)
def test_a_name_that_is_not_there(name, reason, server, capsys):
    assert main(["download", name]) == 1
    assert reason in capsys.readouterr().err
