"""Weight files: they rebuild what was saved, and whatever is wrong with one is a named error and runs no code."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn
from toys import TinyGenerator

from inpaintzoo import Predictor, discriminators
from inpaintzoo.layers.structure import BilateralStructure
from inpaintzoo.models import SPL, SPN, GatedNet, PENNet, PyramidGenerator, SGENet, SRPNet
from inpaintzoo.types import WeightsError
from inpaintzoo.weights import load_model, load_network, read_about, save_model
from inpaintzoo.weights.initialise import initialise

SMALL = {"width": 8, "growth": 4, "dense_blocks": 1, "blocks": 1, "hidden": 8}
NETWORKS = [
    PENNet(width=4, faithful="paper"),
    SRPNet(width=4, kernel=3),
    SPN(**SMALL, levels=2, stochastic=True, latent=4, prior_channels=(4, 6)),
    SPL(**SMALL),
    SGENet("guided", 3, width=4, hidden=4),  # positional arguments are kept too
    GatedNet(width=4),
    discriminators.PENNetDiscriminator(4),
    discriminators.PatchDiscriminator(width=4, norm="spectral+instance"),
]


@pytest.fixture
def file(tmp_path):
    """A small network and its file."""
    network = PENNet(width=4)
    save_model(network, tmp_path / "net.safetensors", {"iterations": 7}, "free to use")
    return network, tmp_path / "net.safetensors"


class OwnGenerator(TinyGenerator):
    """A user's class, in a module that is imported."""

    def __init__(self, act: nn.Module | None = None, width: int = 4) -> None:
        super().__init__(width)
        self.act = act


def rewritten(path, metadata=None, **tensors):
    """The file with other metadata and tensors."""
    from safetensors import safe_open

    with safe_open(str(path), "pt") as content:
        old = content.metadata()
    save_file({**load_file(path), **tensors}, path, {**old, **(metadata or {})})
    return path


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: type(network).__name__)
def test_round_trip_is_bit_identical(network, tmp_path):
    save_model(network, tmp_path / "net.safetensors")
    again = load_network(tmp_path / "net.safetensors")
    assert type(again) is type(network) and again.settings == network.settings and not again.training
    assert list(again.state_dict()) == list(network.state_dict())
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    assert not any(value.is_meta for value in [*again.parameters(), *again.buffers()])
    assert [p.requires_grad for p in again.parameters()] == [p.requires_grad for p in network.parameters()]


@pytest.mark.parametrize("network", [SPN(**SMALL, levels=2), SPL(**SMALL)], ids=["SPN", "SPL"])
def test_heads_that_a_teacher_has_sized_are_rebuilt(network, tmp_path):
    network.set_prior_channels([5] * len(network.prior_strides))
    save_model(network, tmp_path / "net.safetensors")
    again = load_network(tmp_path / "net.safetensors")
    assert again.prior_channels == network.prior_channels == (5,) * len(network.prior_strides)
    assert again.state_dict().keys() == network.state_dict().keys()


def test_a_part_of_a_network_is_rebuilt_with_it(tmp_path):
    network = PyramidGenerator((2, 1), structure_filter=BilateralStructure(kernel=5), width=4)
    save_model(network, tmp_path / "net.safetensors")
    again = load_network(tmp_path / "net.safetensors")
    assert isinstance(again.structure_filter, BilateralStructure)
    assert again.structure_filter.settings == network.structure_filter.settings
    arguments = json.dumps({"structure_filter": {"class_path": "os.system", "init_args": {}}})
    rewritten(tmp_path / "net.safetensors", {"init_args": arguments})
    with pytest.raises(WeightsError, match=r"os\.system is neither the zoo's nor of an imported module"):
        load_network(tmp_path / "net.safetensors")
    wrong = {"class_path": "inpaintzoo.layers.structure.BilateralStructure", "init_args": {"kernel": "wide"}}
    rewritten(tmp_path / "net.safetensors", {"init_args": json.dumps({"structure_filter": wrong})})
    with pytest.raises(WeightsError, match="a part of PyramidGenerator cannot be built"):
        load_network(tmp_path / "net.safetensors")


def test_a_loaded_network_fills_as_the_saved_one_and_can_train_on(file):
    network, path = file
    again = load_model(str(path), device="cpu")
    image, mask = torch.rand(1, 3, 64, 64), (torch.rand(1, 1, 64, 64) > 0.7).float()
    with torch.no_grad():
        assert torch.equal(again(image, mask).image, network.eval()(image, mask).image)
    again.train()(image, mask).image.sum().backward()
    assert all(parameter.grad is not None for parameter in again.decoder.output.parameters())


def test_what_a_file_says_about_itself(file):
    about = read_about(file[1])
    assert about.class_path == "inpaintzoo.models.pennet.PENNet" and about.init_args["width"] == 4
    assert about.facts["iterations"] == 7 and about.licence == "free to use"
    assert about.facts["inpaintzoo"] == __import__("inpaintzoo").__version__


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_half_the_size_and_come_back_as_float32(dtype, file, tmp_path):
    network, whole = file
    half = tmp_path / "half.safetensors"
    save_model(network, half, dtype=dtype)
    assert 0.45 < half.stat().st_size / whole.stat().st_size < 0.6
    for name, value in load_model(half).state_dict().items():
        assert torch.equal(value, network.state_dict()[name].to(dtype).float()), name
    assert {value.dtype for value in load_model(half, dtype=dtype).state_dict().values()} == {dtype}


def test_values_beyond_float16_are_refused(tmp_path):
    network = PENNet(width=4)
    nn.init.constant_(network.decoder.output[0].weight, 1e5)
    with pytest.raises(
        WeightsError, match=r"decoder\.output\.0\.weight does not fit into torch\.float16: use bfloat16"
    ):
        save_model(network, tmp_path / "net.safetensors", dtype=torch.float16)
    save_model(network, tmp_path / "net.safetensors", dtype=torch.bfloat16)
    assert list(tmp_path.iterdir()) == [tmp_path / "net.safetensors"]


def test_what_cannot_be_saved(tmp_path, file):
    path = tmp_path / "other.safetensors"

    class Local(TinyGenerator):
        """Of this function alone."""

    with pytest.raises(WeightsError, match="a class within a function, which no file can name"):
        save_model(Local(), path)
    with pytest.raises(WeightsError, match="was built with a ReLU as act, which no file can hold"):
        save_model(OwnGenerator(nn.ReLU()), path)
    with pytest.raises(WeightsError, match="a Sequential cannot be described"):
        save_model(nn.Sequential(PENNet(width=4)), path)
    changed = PENNet(width=4)
    changed.decoder.output[0] = nn.Conv2d(1, 1, 1)
    with pytest.raises(WeightsError, match=r"another shape, such as decoder\.output\.0\.weight"):
        save_model(changed, path)
    broken = PENNet(width=4)
    nn.init.constant_(broken.decoder.output[0].weight, torch.nan)
    with pytest.raises(
        WeightsError, match=r"1 tensors hold values that are not finite, such as decoder\.output\.0\.weight"
    ):
        save_model(broken, path)
    with pytest.raises(WeightsError, match=r"must end in \.safetensors"):
        save_model(PENNet(width=4), tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="there is no folder"):
        save_model(PENNet(width=4), tmp_path / "none" / "net.safetensors")
    with pytest.raises(WeightsError, match="already exists"):
        save_model(PENNet(width=4), file[1], overwrite=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.safetensors"], "nothing half-written is left"


def test_an_own_generator_is_saved_and_rebuilt(tmp_path):
    network = OwnGenerator(width=6).eval()
    save_model(network, tmp_path / "own.safetensors")
    again = load_model(tmp_path / "own.safetensors")
    image, mask = torch.rand(1, 3, 8, 8), (torch.rand(1, 1, 8, 8) > 0.7).float()
    assert type(again) is OwnGenerator and again.settings == {"act": None, "width": 6}
    with torch.no_grad():
        assert torch.equal(again(image, mask).image, network(image, mask).image)


@pytest.mark.parametrize(
    ("class_path", "reason"),
    [
        ("os.system", "on the command line with --import os$"),
        ("inpaintzoo_evil.PENNet", "no file makes inpaintzoo import one"),
        ("inpaintzoo.commands.main", "not a generator or discriminator"),
        ("inpaintzoo.commands.os.system", "not a generator or discriminator"),
        ("inpaintzoo.models.pennet.PENNet.__init__", "not a generator or discriminator"),
        ("inpaintzoo.models.pennet.PyramidEncoder", "not a generator or discriminator"),
        ("notimported.Net", "on the command line with --import notimported$"),
        ("toys.Generator", "--import toys"),
        ("inpaintzoo.generator.Generator", "not a generator or discriminator"),
        ("__main__.Net", "a class in a script"),
        ("", "--import MODULE"),
    ],
)
def test_class_paths_that_are_not_the_zoos_are_refused(class_path, reason, file):
    with pytest.raises(WeightsError, match=reason):
        load_model(rewritten(file[1], {"class_path": class_path}))


def test_a_class_path_imports_nothing(file, tmp_path, monkeypatch):
    (tmp_path / "inpaintzoo_trap.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(WeightsError):
        load_model(rewritten(file[1], {"class_path": "inpaintzoo_trap.Net"}))


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"inpaintzoo_format": "2"}, "has format 2, and this version reads format 1"),
        ({"init_args": "{"}, "what the file says about its network is incomplete or damaged"),
        ({"init_args": "[1]"}, "arguments and facts have names"),
        ({"init_args": json.dumps({"width": 4, "depth": 3})}, "PENNet has no arguments depth"),
        ({"init_args": json.dumps({"width": 5})}, "PENNet: width must be a positive multiple of 4, got 5"),
        ({"init_args": json.dumps({"width": "4; import os"})}, "PENNet cannot be built from its arguments"),
        ({"init_args": json.dumps({"width": 8})}, "have another shape, such as"),
        ({"init_args": json.dumps({"width": 4, "attention": "none"})}, "are unknown"),
        ({"class_path": "inpaintzoo.models.srpnet.SRPNet", "init_args": '{"width": 4}'}, r"\d+ are missing"),
    ],
)
def test_files_that_do_not_fit_what_they_say(metadata, reason, file):
    with pytest.raises(WeightsError, match=reason):
        load_model(rewritten(file[1], metadata))


def test_tensors_too_many_or_not_finite(file):
    rewritten(file[1], extra=torch.zeros(2))
    with pytest.raises(WeightsError, match=r"0 are missing \(none\) and 1 are unknown \(extra\)"):
        load_model(file[1])
    save_model(file[0], file[1])
    name = "decoder.output.0.bias"
    rewritten(file[1], **{name: torch.full_like(load_file(file[1])[name], torch.inf)})
    with pytest.raises(WeightsError, match=rf"not finite, such as {name}"):
        load_model(file[1])


def test_files_of_other_kinds(tmp_path):
    with pytest.raises(WeightsError, match="there is no such weight file"):
        load_model(tmp_path / "none.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "plain.safetensors")
    with pytest.raises(WeightsError, match=r"it does not say which network it holds; convert.*`inpaintzoo convert`"):
        load_model(tmp_path / "plain.safetensors")
    torch.save({"a": torch.zeros(1)}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="convert authors' released files with `inpaintzoo convert`"):
        load_model(tmp_path / "net.pth")
    save_model(discriminators.PENNetDiscriminator(4), tmp_path / "judge.safetensors")
    with pytest.raises(WeightsError, match="a PENNetDiscriminator, which fills no holes"):
        load_model(tmp_path / "judge.safetensors")


class Payload:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol 4")
@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
def test_pickled_code_never_runs(suffix, tmp_path):
    path, trace = tmp_path / f"net.{suffix}", tmp_path / "ran"
    torch.save({"state_dict": {}, "inpainter": Payload(trace)}, path)
    with pytest.raises(WeightsError, match="damaged"):
        load_model(path)
    path.write_bytes(pickle.dumps(Payload(trace)))
    with pytest.raises(WeightsError, match="damaged"):
        load_model(path)
    assert not trace.exists()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.floats(0, 0.999), junk=st.binary(max_size=16), where=st.floats(0, 0.999))
def test_damaged_files_are_named_errors(cut, junk, where, file):
    whole = file[1].read_bytes()
    damaged = file[1].with_name("damaged.safetensors")
    damaged.write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(WeightsError, match="damaged"):
        load_model(damaged)
    header = 8 + int.from_bytes(whole[:8], "little")
    at = int(where * header)
    damaged.write_bytes(whole[:at] + junk + whole[at + len(junk) :])
    try:
        load_model(damaged)  # bytes that happen to say the same
    except WeightsError as error:
        assert "damaged.safetensors" in str(error)


# --- kinds of numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_weights_that_are_no_floating_point_numbers_are_named(dtype, tmp_path):
    network = PENNet(width=4)
    state = {name: tensor.to(dtype) for name, tensor in network.state_dict().items()}
    about = {"inpaintzoo_format": "1", "class_path": network.class_path, "facts": "{}", "licence": ""}
    save_file(state, tmp_path / "net.safetensors", {**about, "init_args": json.dumps({"width": 4})})
    kind = str(dtype).removeprefix("torch.")
    for load in (load_model, lambda path: initialise(network, torch.nn.ModuleDict(), str(path))):
        with pytest.raises(WeightsError, match=rf"safetensors: \S+ holds {kind} and not floating-point numbers"):
            load(tmp_path / "net.safetensors")


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn, torch.complex64, "fp16"])
def test_types_that_no_file_has_are_refused(dtype, file, tmp_path):
    with pytest.raises(WeightsError, match="dtype must be one of"):
        save_model(PENNet(width=4), tmp_path / "net.safetensors", dtype=dtype)
    with pytest.raises(WeightsError, match="dtype must be one of"):
        load_model(file, dtype=dtype)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"facts": {"path": Path("x")}}, "facts must be plain values"),
        ({"licence": None}, "licence must be a text"),
        ({"licence": "\ud800"}, "licence must be a text"),
    ],
)
def test_what_no_file_can_hold_is_refused(options, reason, tmp_path):
    with pytest.raises(WeightsError, match=reason):
        save_model(PENNet(width=4), tmp_path / "net.safetensors", **options)


def test_a_link_that_leads_nowhere_is_not_replaced(tmp_path):
    (tmp_path / "net.safetensors").symlink_to(tmp_path / "nowhere")
    with pytest.raises(WeightsError, match="already exists"):
        save_model(PENNet(width=4), tmp_path / "net.safetensors", overwrite=False)
    assert (tmp_path / "net.safetensors").is_symlink()


# --- checkpoints ---------------------------------------------------------------------------------------------------


def checkpoint(**changes):
    network = PENNet(width=4)
    described = {"class_path": network.class_path, "init_args": {"width": 4}}
    return {
        "inpainter": {"iteration": 1, "networks": {"generator": described}},
        "state_dict": {f"generator.{name}": tensor for name, tensor in network.state_dict().items()},
        **changes,
    }


@pytest.mark.parametrize("callbacks", [{}, None, {"GeneratorEMA": None}])
def test_a_checkpoint_as_runs_write_it_loads(callbacks, tmp_path):
    content = checkpoint(callbacks=callbacks)
    content["state_dict"]["losses.mine._extra_state"] = {"seen": 3}  # a loss of the user's
    torch.save(content, tmp_path / "last.ckpt")
    assert isinstance(load_model(tmp_path / "last.ckpt"), PENNet)


def test_a_predictor_reads_its_checkpoint_once(tmp_path, monkeypatch):
    torch.save(checkpoint(), tmp_path / "last.ckpt")
    read, load = [], torch.load
    monkeypatch.setattr(torch, "load", lambda *args, **options: read.append(args[0]) or load(*args, **options))
    assert isinstance(Predictor(tmp_path).generator, PENNet)
    assert read == [tmp_path / "last.ckpt"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"inpainter": 1}, "it does not say its iteration"),
        ({"inpainter": {}}, "it does not say its iteration"),
        ({"state_dict": 2}, "its weights hold something other than tensors"),
        ({"state_dict": {"generator.a": 3}}, "its weights hold something other than tensors"),
        ({"inpainter": {"iteration": 1, "networks": {"generator": "x"}}}, "what it says about its networks is damaged"),
        ({"state_dict": {"generator.a": torch.zeros(1).expand(9)}}, "a tensor is larger than what is stored of it"),
        ({"callbacks": {"GeneratorEMA": {"average": {"a": 1}}}}, "its weights hold something other than tensors"),
    ],
)
def test_checkpoints_that_no_run_wrote_are_one_sentence(changes, reason, tmp_path):
    torch.save(checkpoint(**changes), tmp_path / "last.ckpt")
    for load in (load_model, read_about, lambda path: initialise(PENNet(4), torch.nn.ModuleDict(), str(path))):
        with pytest.raises(WeightsError, match=f"last.ckpt is not a complete checkpoint: .*{reason}; use another"):
            load(tmp_path / "last.ckpt")
