"""Published weights: where they are found, and what is refused in them."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from inpaintzoo.files.published import load_state, published_file, read_state
from inpaintzoo.types import WeightsError

URL = "https://example.org/models/net-0123abcd.pth"


def offline(*_, **__):
    raise OSError("no way out")


def test_a_copy_is_taken_before_the_cache_and_the_cache_before_a_download(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    cached = tmp_path / "hub" / "checkpoints" / "net-0123abcd.pth"
    with pytest.raises(
        WeightsError, match=r"me needs the weights net-0123abcd\.pth.*no way out.*download https:"
    ) as told:
        published_file(URL, "me")
    assert str(cached) in str(told.value)
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.touch()
    assert published_file(URL, "me") == cached
    with pytest.raises(WeightsError, match=r"me: there is no weight file .*copy\.pth; download it from https:"):
        published_file(URL, "me", tmp_path / "copy.pth")
    (tmp_path / "copy.pth").touch()
    assert published_file(URL, "me", str(tmp_path / "copy.pth")) == tmp_path / "copy.pth"


def test_the_hash_in_a_name_is_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    wanted = []
    monkeypatch.setattr("inpaintzoo.files.published.download_file", lambda url, file, sha256: wanted.append(sha256))
    published_file(URL, "me")
    published_file("https://example.org/net.pth", "me")
    assert wanted == ["0123abcd", None]


def test_states_are_read_from_both_kinds_of_files(tmp_path):
    state = {"weight": torch.rand(2, 3), "bias": torch.rand(2)}
    save_file(state, tmp_path / "a.safetensors")
    torch.save({"model": state}, tmp_path / "a.pth")
    for found in (read_state(tmp_path / "a.safetensors", "me"), read_state(tmp_path / "a.pth", "me", key="model")):
        assert found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)
    with pytest.raises(WeightsError, match=r"must hold a plain state dict .* but has model"):
        read_state(tmp_path / "a.pth", "me")


def test_code_in_a_file_is_not_run(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(WeightsError, match="whose code is never run"):
        read_state(tmp_path / "module.pth", "me")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bias": None}, r"of 2 tensors 1 are missing \(bias\) and 0 are unknown \(none\)"),
        ({"more": torch.zeros(1)}, r"0 are missing \(none\) and 1 are unknown \(more\)"),
        ({"bias": torch.zeros(3)}, r"such as bias, which is \(3,\) instead of \(2,\)"),
        ({"bias": torch.zeros(2, dtype=torch.long)}, "bias holds int64 and not floating-point numbers"),
    ],
)
def test_states_that_do_not_fit_are_refused(change, reason):
    state = {"weight": torch.zeros(2, 3), "bias": torch.zeros(2), **change}
    with pytest.raises(WeightsError, match=reason):
        load_state(nn.Linear(3, 2), {name: value for name, value in state.items() if value is not None}, "me")


def test_half_precision_is_loaded_as_float32():
    network = nn.Linear(3, 2)
    load_state(network, {"weight": torch.ones(2, 3).half(), "bias": torch.ones(2, dtype=torch.float64)}, "me")
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32} and bool(
        network.weight.eq(1).all()
    )
