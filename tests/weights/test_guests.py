"""LaMa as a guest: a small one, from the file to the filled picture and the benchmark's table."""

import functools
import importlib
import sys

import pytest
import torch
from benchmark_toys import ran
from torch import nn

from inpaintzoo import Predictor, WeightsError, load_model, save_model
from inpaintzoo.benchmark.run.contenders import Weights


@pytest.fixture
def lama(monkeypatch):
    """Spandrel's LaMa with few channels."""
    pytest.importorskip("spandrel")
    module = importlib.import_module("spandrel.architectures.LaMa.__arch.LaMa")
    small = functools.partial(module.FFCResNetGenerator, ngf=4, n_blocks=1)
    monkeypatch.setattr(module, "FFCResNetGenerator", small)
    torch.manual_seed(0)
    return module.LaMa(in_nc=4, out_nc=3).eval()


@pytest.fixture
def file(lama, tmp_path):
    torch.save(lama.state_dict(), tmp_path / "big-lama.pt")
    return tmp_path / "big-lama.pt"


@pytest.fixture
def pair():
    image, mask = torch.rand(1, 3, 32, 40), torch.zeros(1, 1, 32, 40)
    mask[:, :, 8:20, 10:30] = 1
    return image, mask


@pytest.mark.parametrize("wrap", [dict, lambda state: {"state_dict": state, "epoch": 3}])
def test_the_network_is_lamas(wrap, lama, pair, tmp_path):
    torch.save(wrap(lama.state_dict()), tmp_path / "lama.pth")
    guest = load_model(tmp_path / "lama.pth")
    with torch.no_grad():
        assert torch.equal(guest(*pair).image, lama(pair[0] * (1 - pair[1]), pair[1]))
    assert not guest.training and guest.size_multiple == 8
    with pytest.raises(ValueError, match="multiples of 8"):
        guest(pair[0][..., :39], pair[1][..., :39])


def test_the_hole_is_never_seen(file, pair):
    image, mask = pair
    other = torch.where(mask.bool(), torch.nan, image)
    with torch.no_grad():
        assert torch.equal(load_model(file)(image, mask).image, load_model(file)(other, mask).image)


def test_a_predictor_takes_it(file, pair):
    image, mask = pair[0][0], pair[1][0]
    filled = Predictor(file, device="cpu")(image[:, :30, :37], mask[:, :30, :37])[0]
    known = mask[:, :30, :37] == 0
    assert torch.equal(filled[known.expand(3, -1, -1)], image[:, :30, :37][known.expand(3, -1, -1)])
    assert torch.isfinite(filled).all()


def test_a_benchmark_measures_it_as_a_guest(file, tmp_path):
    results = ran(tmp_path / "out", {"LaMa": Weights(str(file))}).results()
    (contender,) = results.contenders
    assert (contender.name, contender.kind, contender.facts["network"]) == ("LaMa", "guest", "LaMa")
    assert "spandrel" in contender.facts["guest"]
    assert len(results.cells["LaMa", "noise", "zoo"].rows) == 5
    assert Weights("net.safetensors").kind == "weights"


def test_a_guest_is_not_saved_as_one_of_the_zoo(file, tmp_path):
    with pytest.raises(WeightsError, match="which no file can hold"):
        save_model(load_model(file), tmp_path / "lama.safetensors")


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_what_is_not_lama_or_would_run_is_refused(lama, tmp_path):
    program = torch.jit.script(nn.Linear(2, 2))
    program.save(tmp_path / "program.pt")
    with pytest.raises(WeightsError, match=r"program\.pt is a TorchScript program, .*torch\.jit\.load\('program\.pt'"):
        load_model(tmp_path / "program.pt")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(WeightsError, match="whose code is never run"):
        load_model(tmp_path / "module.pth")
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth holds neither one of the zoo's networks nor LaMa; convert"):
        load_model(tmp_path / "other.pth")
    state = lama.state_dict()
    state["model.model.1.bn_l.weight"][0] = torch.nan
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(WeightsError, match=r"nan\.pth: model\.model\.1\.bn_l\.weight holds values that are not finite"):
        load_model(tmp_path / "nan.pth")
    with pytest.raises(WeightsError, match="no such weight file"):
        load_model(tmp_path / "missing.pth")


def test_without_spandrel_a_sentence_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "spandrel", None)
    (tmp_path / "big-lama.pt").touch()
    with pytest.raises(WeightsError, match=r"big-lama\.pt is not one of .*`inpaintzoo convert`, .*inpaintzoo\[spandr"):
        load_model(tmp_path / "big-lama.pt")
