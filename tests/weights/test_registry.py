"""Weights by name: found, fetched from a local server, checked, converted once."""

import hashlib
from pathlib import Path

import msgspec
import pytest
import torch
from gated_golden import released
from places import ROOT
from safetensors.torch import load_file
from weight_server import COMMIT, serving

from inpaintzoo import Predictor, load_model, save_model
from inpaintzoo.data.masks import mask_classes
from inpaintzoo.models import PENNet
from inpaintzoo.types import WeightsError
from inpaintzoo.weights import convert_state_dict, read_about, registry
from inpaintzoo.weights.registry import Entry, HubFile, fetch, find_checkpoint

FACTS = {"paper": "https://example.org/paper", "data": "Places2", "masks": "PENNetSquare", "licence": "MIT"}


@pytest.fixture(scope="module")
def running():
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A small network and its weight file."""
    file = tmp_path_factory.mktemp("network") / "net.safetensors"
    model = PENNet(width=4).eval()
    save_model(model, file, licence="MIT")
    return model, file.read_bytes()


@pytest.fixture
def server(running, tmp_path, monkeypatch):
    """A server, which also stands for the hub, with empty caches on this side."""
    running.files, running.cuts = {}, 0
    running.requests.clear()
    monkeypatch.setenv("INPAINTZOO_CACHE", str(tmp_path / "cache"))
    hub = "huggingface_hub.constants."
    monkeypatch.setattr(f"{hub}ENDPOINT", running.url)
    monkeypatch.setattr(f"{hub}HUGGINGFACE_CO_URL_TEMPLATE", running.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(f"{hub}HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(f"{hub}HF_HUB_DISABLE_XET", True)
    return running


def named(monkeypatch, **entries):
    """Let the registry hold these entries; underscores in names are hyphens."""
    facts = {"commercial": None, **FACTS}
    made = {name.replace("_", "-"): Entry(**{**facts, **entry}) for name, entry in entries.items()}
    monkeypatch.setattr(registry, "entries", lambda: made)


def digest(content):
    return hashlib.sha256(content).hexdigest()


def same(model, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())


# -- the registry itself -----------------------------------------------------------------------------------------------


def test_every_entry_is_complete_and_its_name_says_method_and_data():
    assert registry.entries()
    for name, entry in registry.entries().items():
        assert name == name.lower() and len(name.split("-")) in (2, 3)
        assert entry.paper.startswith("https://arxiv.org/")
        assert not (entry.urls and entry.released_as is None and entry.sha256 is None)
        assert entry.masks is None or entry.masks in mask_classes() or entry.masks == "irregular"
        assert not entry.hub or len(entry.hub.revision) == 40


def test_the_page_of_models_says_what_the_registry_says():
    rows = {}
    for line in (ROOT / "docs" / "models.md").read_text(encoding="utf-8").splitlines():
        cells = line.strip("| ").split(" | ")
        if line.startswith("| `") and len(cells) == 7:
            name, data, _, licence, commercial, where, paper = cells
            rows[name.strip("`")] = (data, licence, commercial, where.split("(")[1], paper.split("(")[1])
    assert rows == {
        name: (
            entry.data.partition(" (")[0],
            entry.licence or "not stated",
            {True: "yes", False: "no", None: "not known"}[entry.commercial],
            f"{entry.source})",
            f"{entry.paper})",
        )
        for name, entry in registry.entries().items()
    }


@pytest.mark.parametrize("places", [{}, {"page": "https://a.org", "urls": ["https://a.org/b"]}])
def test_an_entry_lies_in_one_place(places):
    with pytest.raises(msgspec.ValidationError, match="exactly one of"):
        msgspec.convert({**FACTS, "commercial": None, **places}, Entry)


# -- fetching ----------------------------------------------------------------------------------------------------------


def test_an_address_is_fetched_checked_and_converted_once(server, tmp_path, monkeypatch, capsys):
    state = released("torch")[0]
    torch.save(state, tmp_path / "gated.pth")
    content = (tmp_path / "gated.pth").read_bytes()
    server.files["/gated.pth"], server.cuts = content, 1
    url = f"{server.url}/gated.pth"
    named(monkeypatch, gated_places2={"urls": (url,), "sha256": digest(content), "released_as": "gated"})
    kept = fetch("gated-places2")
    assert capsys.readouterr().err == (
        "gated-places2: licence MIT, commercial use not known to be allowed; trained on Places2; "
        "https://example.org/paper\n"
    )
    converted, kept_state = convert_state_dict("gated", state), load_file(kept)
    assert all(torch.equal(value, kept_state[name]) for name, value in converted.items())
    about = read_about(kept)
    assert about.licence == "licence MIT, commercial use not known to be allowed"
    assert about.facts.items() >= {"name": "gated-places2", "source": url, "sha256": digest(content)}.items()
    assert len(server.requests) == 2, "cut off and continued"
    assert fetch("gated-places2") == kept and capsys.readouterr().err == "" and len(server.requests) == 2
    assert [path.name for path in kept.parent.rglob("*") if path.is_file()] == [kept.name]


def test_the_second_address_serves_when_the_first_does_not(server, network, monkeypatch):
    server.files["/b"] = network[1]
    named(monkeypatch, net_a={"urls": (f"{server.url}/a", f"{server.url}/b"), "sha256": digest(network[1])})
    assert same(network[0], load_model("net-a"))


@pytest.mark.parametrize(
    ("sha256", "path", "reason"),
    [
        ("0" * 64, "net", r"/net has the SHA-256 \w{64} instead of 0000"),
        ("0" * 64, "typo", r"net-a cannot be downloaded \(http.*/typo: HTTP Error 404.*try again when"),
        (None, "net", r"net-a: nobody has verified the digest of http.*/net; .*`inpaintzoo download net-a --trust`"),
    ],
)
def test_what_is_not_taken(sha256, path, reason, server, network, monkeypatch):
    server.files["/net"] = network[1]
    named(monkeypatch, net_a={"urls": (f"{server.url}/{path}",), "sha256": sha256})
    with pytest.raises(WeightsError, match=reason):
        find_checkpoint("net-a")
    assert not registry.kept_file("net-a").exists()


def test_trust_is_asked_for_once(server, network, monkeypatch):
    server.files["/net"] = network[1]
    named(monkeypatch, net_a={"urls": (f"{server.url}/net",)})
    assert fetch("net-a", trust=True) == find_checkpoint("net-a")


def test_a_file_that_cannot_be_converted_is_not_kept(server, network, monkeypatch):
    server.files["/net.pth"] = network[1]
    named(monkeypatch, net_a={"urls": (f"{server.url}/net.pth",), "released_as": "gated"})
    with pytest.raises(WeightsError, match="convert"):
        fetch("net-a", trust=True)
    assert not [path for path in registry.cache_folder().rglob("*") if path.is_file()]


def test_a_file_of_another_revision_is_another_file(server, network, monkeypatch):
    server.files["/net"] = network[1]
    named(monkeypatch, net_a={"urls": (f"{server.url}/net",)})
    old = fetch("net-a", trust=True)
    named(monkeypatch, net_a={"urls": (f"{server.url}/net",), "sha256": digest(network[1])})
    assert fetch("net-a") != old


def test_a_browser_is_asked_for(server, network, monkeypatch):
    page = {"page": "https://example.org/models"}
    named(monkeypatch, net_a=page)
    with pytest.raises(WeightsError, match=r"with a browser: get the authors' weights for Places2 from https.*models,"):
        find_checkpoint("net-a")
    place = registry.by_hand("net-a")
    place.parent.mkdir(parents=True)
    place.write_bytes(network[1])
    assert same(network[0], load_model("net-a"))
    named(monkeypatch, net_a={**page, "sha256": "0" * 64})
    with pytest.raises(WeightsError, match=r"net-a\.pth has the SHA-256 \w{64} instead of 0000.*delete"):
        find_checkpoint("net-a")


def test_a_file_of_the_hub_comes_from_its_cache_when_offline(server, network, monkeypatch):
    server.add_to_hub("me/net", "model.safetensors", network[1], COMMIT)
    hub = {"hub": HubFile("me/net", COMMIT), "sha256": digest(network[1])}
    named(monkeypatch, net_hub=hub)
    assert same(network[0], load_model("net-hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    server.requests.clear()
    registry.kept_file("net-hub").unlink()
    assert same(network[0], load_model("net-hub")) and server.requests == []
    registry.kept_file("net-hub").unlink()
    named(monkeypatch, net_hub={**hub, "sha256": "0" * 64})
    with pytest.raises(WeightsError, match="instead of 0000"):
        load_model("net-hub")


def test_a_bundled_file_is_in_the_package(monkeypatch):
    named(monkeypatch, net_a={"bundled": "weights/net.safetensors"})
    assert registry.kept_file("net-a") == Path(registry.__file__).with_name("net.safetensors")


# -- names in place of paths -------------------------------------------------------------------------------------------


def test_any_repository_of_the_hub_has_a_name(server, network):
    server.add_to_hub("me/net", "model.safetensors", network[1], "v1")
    assert same(network[0], load_model("hf-hub:me/net@v1"))
    with pytest.raises(WeightsError, match=r"hf-hub:me/other: model\.safetensors cannot be fetched \(.*404"):
        load_model("hf-hub:me/other")


@pytest.mark.parametrize("repository", ["net", "a/b/c", "me/", "/net", "", "me/my net"])
def test_what_is_no_repository_is_told_without_a_connection(repository, monkeypatch):
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *args, **named: pytest.fail("the hub is asked"))
    with pytest.raises(WeightsError, match=rf"hf-hub:{repository}: give it as hf-hub:owner/name, or"):
        load_model(f"hf-hub:{repository}@v1")


def test_what_is_on_disk_comes_first_and_near_misses_are_suggested(network, tmp_path, monkeypatch):
    named(monkeypatch, net_places2={"page": "https://example.org"}, net_dtd={"page": "https://example.org"})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=r"net_places: there is no such file .* did you mean net-places2"):
        find_checkpoint("net_places")
    with pytest.raises(WeightsError, match=r"xyz: there is no such file .*`inpaintzoo list --weights` lists"):
        find_checkpoint("xyz")
    assert find_checkpoint("runs/net-dtd") == Path("runs/net-dtd") and find_checkpoint("a.ckpt") == Path("a.ckpt")
    (tmp_path / "net-dtd").write_bytes(network[1])
    assert find_checkpoint("net-dtd") == Path("net-dtd")


def test_a_predictor_takes_a_name_and_says_which_in_its_record(server, network, tmp_path, monkeypatch):
    server.files["/net"] = network[1]
    named(monkeypatch, net_a={"urls": (f"{server.url}/net",), "sha256": digest(network[1])})
    made_with = Predictor("net-a", device="cpu").made_with()
    monkeypatch.chdir(tmp_path)
    assert Predictor("net-a", device="cpu").made_with() == made_with and made_with["model"] == "net-a"
