"""`inpaintzoo export`, `convert` and `list` through the command line, and fits that start from weight files."""

import pytest
import safetensors.torch
import torch
from gated_golden import pictures, released_discriminator
from gated_golden import released as released_gated
from golden_recipe import golden_keys, golden_tensors, recipe_weights
from spn_golden import inputs, released_weights
from teacher_toys import published_file as published_teacher
from torch import nn
from toys import NoiseData, quiet_trainer

import inpaintzoo
from inpaintzoo import Adversary, Inpainter, load_model
from inpaintzoo.callbacks import GeneratorEMA
from inpaintzoo.commands import listing, main
from inpaintzoo.discriminators import PatchDiscriminator, PENNetDiscriminator, SNPatchDiscriminator
from inpaintzoo.losses import L1
from inpaintzoo.metrics import L1 as L1Metric
from inpaintzoo.metrics import MetricSuite
from inpaintzoo.models import GatedNet, PENNet, SGENet
from inpaintzoo.objectives import Hinge
from inpaintzoo.teachers import ASLTeacher
from inpaintzoo.types import ConfigError, WeightsError
from inpaintzoo.views import Composite
from inpaintzoo.weights import load_network, read_about, save_model
from inpaintzoo.weights.initialise import initialise


def inpainter(width=4, **settings):
    judge = Adversary(PatchDiscriminator(width=4, num_layers=2), Hinge(), 0.1, Composite())
    generator = SGENet("base", width=width, hidden=4)
    return Inpainter(
        generator, {"image": L1()}, {"image": judge}, metrics=MetricSuite([L1Metric()]), max_iterations=2, **settings
    )


def fit(model, folder, **settings):
    trainer = quiet_trainer(limit_val_batches=0, default_root_dir=folder, callbacks=[GeneratorEMA(0.5)])
    trainer.fit(model, NoiseData(count=4, size=64), **settings)
    return trainer


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An Inpainter that was trained, and its run folder."""
    folder = tmp_path_factory.mktemp("run")
    model = inpainter()
    fit(model, folder).save_checkpoint(folder / "checkpoints" / "last.ckpt")
    return model, folder


def same(state, other):
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("losses", "HoleL1(weight=1.0)"),
        ("views", "PyramidLevel("),
        ("masks", "CentreSquare("),
        ("objectives", "Hinge("),
        ("metrics", "PSNR("),
        ("teachers", "EdgeTeacher("),
        ("discriminators", "toys.TinyDiscriminator("),
    ],
)
def test_kinds_of_classes_are_listed_with_their_arguments(kind, line, capsys):
    assert main(["list", kind]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert any(text.startswith(line) for text in printed)
    assert not any(text.startswith(("_", "Loss(", "Metric(", "InceptionMetric(")) for text in printed)


# --- export --------------------------------------------------------------------------------------------------------


def test_a_run_becomes_a_file_with_the_average_in_it(run, tmp_path, capsys):
    folder = run[1]
    out = tmp_path / "net.safetensors"
    assert main(["export", "--ckpt", str(folder), "--to", str(out), "--licence", "free"]) == 0
    assert "SGENet, average weights after 2 iterations, fp32" in capsys.readouterr().out
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert same(load_model(out).state_dict(), checkpoint["callbacks"]["GeneratorEMA"]["average"])
    about = read_about(out)
    assert (about.facts["iterations"], about.facts["weights"], about.licence) == (2, "average", "free")
    assert about.init_args["variant"] == "base"


def test_raw_takes_the_trained_weights_and_the_library_agrees(run, tmp_path):
    model, folder = run
    out, ckpt = tmp_path / "net.safetensors", folder / "checkpoints" / "last.ckpt"
    assert main(["export", "--ckpt", str(ckpt), "--to", str(out), "--raw"]) == 0
    assert same(load_model(out).state_dict(), model.generator.state_dict())
    assert same(load_model(ckpt, raw=True).state_dict(), model.generator.state_dict())
    assert not same(load_model(ckpt).state_dict(), model.generator.state_dict())
    assert read_about(out).facts["weights"] == "trained"


def test_an_average_is_not_taken_for_trained_weights(run, tmp_path, capsys):
    average = tmp_path / "average.safetensors"
    assert main(["export", "--ckpt", str(run[1]), "--to", str(average)]) == 0
    assert main(["export", "--ckpt", str(average), "--raw", "--to", str(tmp_path / "raw.safetensors")]) == 1
    assert "holds the moving average only" in capsys.readouterr().err and not (tmp_path / "raw.safetensors").exists()


def test_fp32_is_what_it_says(tmp_path):
    save_model(PENNet(width=4).double(), tmp_path / "double.safetensors")
    out = tmp_path / "single.safetensors"
    assert main(["export", "--ckpt", str(tmp_path / "double.safetensors"), "--to", str(out)]) == 0
    assert {tensor.dtype for tensor in safetensors.torch.load_file(out).values()} == {torch.float32}


def test_export_overwrites_only_when_told(run, tmp_path, capsys):
    out = tmp_path / "net.safetensors"
    command = ["export", "--ckpt", str(run[1]), "--to", str(out)]
    assert main(command) == 0
    before = out.read_bytes()
    assert main([*command, "--dtype", "fp16"]) == 1
    assert "already exists" in capsys.readouterr().err and out.read_bytes() == before
    assert main([*command, "--dtype", "fp16", "--force"]) == 0
    assert len(out.read_bytes()) < 0.6 * len(before)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--to", "net.pth"], "'net.pth' must end in .safetensors, .onnx or .pt2"),
        (["--to", "net.onnx", "--dtype", "fp16"], "exported programs have float32 weights"),
        (["--ckpt", "none.ckpt", "--to", "net.safetensors"], "none.ckpt: there is no such checkpoint"),
        (["--ckpt", ".", "--to", "net.safetensors"], "a folder without a last.ckpt"),
    ],
)
def test_export_errors(options, reason, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "--ckpt", str(run[1]), *options]) == 1
    assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_several_runs_is_ambiguous(tmp_path, capsys):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "last.ckpt").touch()
    assert main(["export", "--ckpt", str(tmp_path), "--to", str(tmp_path / "net.safetensors")]) == 1
    assert "checkpoints of 2 runs" in capsys.readouterr().err


# --- convert -------------------------------------------------------------------------------------------------------


def converted(tmp_path, source, content):
    """The network that load_model makes of what the command makes of a released file."""
    released, out = tmp_path / "released.pth", tmp_path / f"{source}.safetensors"
    torch.save(content, released)
    assert main(["convert", "--from", source, str(released), "-o", str(out)]) == 0
    assert read_about(out).facts["converted_from"] == source and "terms" in read_about(out).licence
    return load_network(out)


@torch.inference_mode()
def test_pennet_file_to_golden_picture(tmp_path):
    network = converted(tmp_path, "pennet", {"netG": recipe_weights(golden_keys("pennet/keys_generator.json"))})
    golden = golden_tensors("pennet/inputs.safetensors")
    found = network((golden["image"] + 1) / 2, golden["mask_centre"].float()).image
    expected = golden_tensors("pennet/generator.safetensors")["centre.out"]
    torch.testing.assert_close(2 * found - 1, expected, atol=1e-4, rtol=0)


def test_pennet_discriminator_file(tmp_path):
    weights = recipe_weights(golden_keys("pennet/keys_discriminator.json"))
    network = converted(tmp_path, "pennet-discriminator", {"netD": weights})
    assert isinstance(network, PENNetDiscriminator)
    assert torch.equal(network.classifier.weight, weights["classifier.weight"])


@torch.inference_mode()
@pytest.mark.parametrize(("source", "golden"), [("spn", "det"), ("spl", "spl")])
def test_whole_model_files_to_golden_pictures(source, golden, tmp_path):
    parts = {"generator": released_weights(source), "discriminator": released_weights(source, "discriminator")}
    whole = {f"{part}.module.{name}": tensor for part, state in parts.items() for name, tensor in state.items()}
    network = converted(tmp_path, source, {"state_dict": whole})
    expected = golden_tensors(f"spn/{golden}.safetensors")["64.centre.final"]
    torch.testing.assert_close(network(*inputs(64)).image, expected, atol=5e-4, rtol=0)
    judge = converted(tmp_path, f"{source}-discriminator", whole)
    released = parts["discriminator"]["conv5.0.weight_orig"]
    assert torch.equal(judge.classifier.parametrizations.weight.original, released)


@torch.inference_mode()
@pytest.mark.parametrize("port", ["torch", "tf"])
def test_gated_file_to_golden_picture(port, tmp_path):
    """The names of the file say which padding its weights are for."""
    network = converted(tmp_path, "gated", released_gated(port)[0])
    found = network(*pictures()).image
    torch.testing.assert_close(
        2 * found - 1, golden_tensors(f"deepfillv2/{port}.safetensors")["refined"], atol=1e-5, rtol=0
    )


@torch.inference_mode()
@pytest.mark.parametrize("names", [("G", "D"), ("netG", "netD"), ("generator", "discriminator")])
def test_of_a_file_with_both_networks_the_source_says_which(names, tmp_path):
    judge = {"conv1.conv_sn.weight": torch.zeros(1)}
    network = converted(tmp_path, "gated", {names[0]: released_gated("torch")[0], names[1]: judge, "n_iter": 3})
    assert isinstance(network, GatedNet)
    both = {names[0]: {"a": torch.zeros(1)}, names[1]: released_discriminator()}
    assert isinstance(converted(tmp_path, "gated-discriminator", both), SNPatchDiscriminator)


@torch.inference_mode()
def test_teacher_file_to_golden_features(tmp_path):
    released = published_teacher(tmp_path / "asl.pth", epoch=7)
    out = tmp_path / "teacher.safetensors"
    assert main(["convert", "--from", "tresnet-asl", str(released), "-o", str(out)]) == 0
    assert read_about(out).facts["converted_from"] == "tresnet-asl"
    image = golden_tensors("spn/inputs.safetensors")["image_64"]
    trunks = ASLTeacher(str(out)).network, load_network(out), ASLTeacher(str(released)).network
    assert all(same(trunk.state_dict(), trunks[0].state_dict()) for trunk in trunks)
    for number, feature in enumerate(trunks[0](image)):
        golden = golden_tensors("spn/tresnet.safetensors")[f"64.f{number}"]
        torch.testing.assert_close(feature, golden, rtol=1e-4, atol=1e-4)
    with pytest.raises(WeightsError, match="holds a Trunk, which fills no holes; give a generator's file"):
        load_model(out)


@pytest.mark.parametrize(
    "prefix",
    ["model.module.", *(pytest.param(one, marks=pytest.mark.slow) for one in ("module.", "model.", "generator."))],
)
def test_a_prefix_of_all_names_does_not_matter_and_the_source_is_found(prefix, tmp_path, capsys):
    weights = recipe_weights(golden_keys("pennet/keys_generator.json"))
    released, out = tmp_path / "released.safetensors", tmp_path / "out.safetensors"
    safetensors.torch.save_file({prefix + name: tensor for name, tensor in weights.items()}, released)
    assert main(["convert", str(released), "-o", str(out)]) == 0
    assert read_about(out).facts["converted_from"] == "pennet"


@pytest.mark.parametrize(
    "gpus", [pytest.param("{part}.module.", marks=pytest.mark.slow), "{part}.", "module.{part}."]
)  # fmt: skip
def test_a_whole_model_of_one_gpu_or_several(gpus, tmp_path, capsys):
    parts = {"generator": released_weights("spl"), "discriminator": released_weights("spl", "discriminator")}
    whole = {gpus.format(part=part) + name: value for part, state in parts.items() for name, value in state.items()}
    converted(tmp_path, "spl", whole)
    assert main(["convert", str(tmp_path / "released.pth"), "-o", str(tmp_path / "c.safetensors")]) == 1
    said = "fits spl, spn-discriminator and spl-discriminator; say what it holds with --from"
    assert said in capsys.readouterr().err


def test_a_file_of_nothing_known_needs_from(tmp_path, capsys):
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pth")
    assert main(["convert", str(tmp_path / "a.pth"), "-o", str(tmp_path / "b.safetensors")]) == 1
    assert "fits none of pennet, pennet-discriminator, spn" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "content", "reason"),
    [
        ("pennet", {"netG": {"a": torch.zeros(1)}}, "this state dict is not that of pennet; missing: "),
        ("pennet", {"epoch": 3, "weights": {}}, "holds no state dict: its entries are epoch, weights"),
        ("pennet", {"netD": {"a": torch.zeros(1)}}, "holds no state dict: its entries are netD; known wrappers"),
        ("pennet", {"netG": {"a": torch.zeros(1)}, "G": {"a": torch.zeros(1)}}, "holds no state dict"),
        ("tresnet-asl", {"model": {"a": torch.zeros(1)}}, "not the state dict of ASL's TResNet-L: of 156 tensors"),
    ],
)
def test_convert_errors(source, content, reason, tmp_path, capsys):
    torch.save(content, tmp_path / "released.pth")
    out = tmp_path / f"{source}.safetensors"
    assert main(["convert", "--from", source, str(tmp_path / "released.pth"), "-o", str(out)]) == 1
    assert reason in capsys.readouterr().err and not out.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "there is no file"),
        ({0: torch.zeros(1)}, "holds no state dict: an entry is called 0, which is not text"),
        ({"netG": {1: torch.zeros(1)}}, "holds no state dict: an entry is called 1, which is not text"),
        (nn.Linear(1, 1), "not a readable weight file: it is damaged, or holds objects other than tensors"),
        (
            {f"layer{i}": torch.zeros(1) for i in range(500)},
            "unknown: layer0, layer1, layer10, layer100, layer101, … (495 more)",
        ),
    ],
)
def test_what_cannot_be_converted_is_one_sentence(content, reason, tmp_path, capsys):
    if content is not None:
        torch.save(content, tmp_path / "a.pth")
    assert main(["convert", "--from", "pennet", str(tmp_path / "a.pth"), "-o", str(tmp_path / "b.safetensors")]) == 1
    said = capsys.readouterr().err
    assert reason in said and "weights_only" not in said and "`weights`" not in said
    assert len(said) < 500 + len(str(tmp_path))


def test_convert_knows_its_sources_and_runs_no_code(tmp_path, capsys):
    assert main(["convert", "--from", "penet", "a.pth", "-o", "b.safetensors"]) == 2
    assert "pennet-discriminator" in capsys.readouterr().err
    torch.save({"netG": torch.nn.Linear(1, 1)}, tmp_path / "module.pth")  # a pickled module is code
    assert (
        main(["convert", "--from", "pennet", str(tmp_path / "module.pth"), "-o", str(tmp_path / "b.safetensors")]) == 1
    )
    assert "not a readable weight file" in capsys.readouterr().err


# --- init_from -----------------------------------------------------------------------------------------------------


def test_a_fit_starts_from_a_file(run, tmp_path, capsys):
    source = SGENet("base", width=4, hidden=4)
    save_model(source, tmp_path / "net.safetensors")
    model = inpainter(init_from=str(tmp_path / "net.safetensors"))
    model.max_iterations = 1
    seen = {}
    model.on_train_start = lambda: seen.update({k: v.clone() for k, v in model.generator.state_dict().items()})
    fit(model, tmp_path)
    assert same(seen, source.state_dict()), "the weights are there before the first step"


def test_a_checkpoint_gives_generator_and_discriminators(run):
    trained, folder = run
    model = inpainter()
    reports = initialise(model.generator, model.adversaries, str(folder / "checkpoints" / "last.ckpt"))
    assert [(report.part, report.missing, report.unused) for report in reports] == [
        ("generator", [], []),
        ("image", [], []),
    ]
    assert same(model.adversaries.state_dict(), trained.adversaries.state_dict())


def test_parts_by_name_and_a_report_of_what_differs(run, tmp_path):
    trained, folder = run
    save_model(trained.adversaries["image"].discriminator, tmp_path / "judge.safetensors")
    other = SGENet("guided", 3, width=4, hidden=4)
    model = inpainter()
    before = {name: value.clone() for name, value in other.state_dict().items()}
    ckpt = str(folder / "checkpoints" / "last.ckpt")
    files = {"generator": ckpt, "image": str(tmp_path / "judge.safetensors")}
    generator, judge = initialise(other, model.adversaries, files)
    assert judge.missing == judge.unused == judge.reshaped == []
    assert same(model.adversaries.state_dict(), trained.adversaries.state_dict())
    assert generator.matched and generator.missing, "a base network has no heads for labels"
    for name in generator.missing:
        assert torch.equal(other.state_dict()[name], before[name]), name
    assert f"generator from {ckpt}: {len(generator.matched)} tensors matched (" in str(generator)
    assert f"{generator.share:.1%} of the parameters); {len(generator.missing)} missing" in str(generator)


def test_arguments_that_differ_are_reported(tmp_path):
    save_model(GatedNet(width=4, padding="same_tf"), tmp_path / "net.safetensors")
    (report,) = initialise(GatedNet(width=4), nn.ModuleDict(), str(tmp_path / "net.safetensors"))
    assert report.share == 1 and report.settings == ["padding='same_tf'"]
    assert str(report).endswith("its network was built with other settings: padding='same_tf'")
    (report,) = initialise(GatedNet(width=4, padding="same_tf"), nn.ModuleDict(), str(tmp_path / "net.safetensors"))
    assert report.settings == [] and "otherwise" not in str(report)


def test_what_is_measured_must_be_loaded_whole(tmp_path):
    """A fit trains what a file leaves out; a test would measure its random values."""
    network = PENNet(width=4)
    save_model(network, tmp_path / "net.safetensors")
    network.extra = nn.Conv2d(1, 1, 1)
    for start in (str(tmp_path / "net.safetensors"), {"generator": str(tmp_path / "net.safetensors")}):
        (report,) = initialise(network, nn.ModuleDict(), start)
        assert report.missing == ["extra.weight", "extra.bias"]
        with pytest.raises(WeightsError, match=r"of the generator's parameters.* \(extra\.weight, extra\.bias\)"):
            initialise(network, nn.ModuleDict(), start, whole=True)


def test_a_trained_network_keeps_its_weights_when_it_is_tested(run, tmp_path):
    """`init_from` is where a fit began, and not what is measured after it."""
    save_model(run[0].generator, tmp_path / "net.safetensors")
    model = inpainter(init_from=str(tmp_path / "net.safetensors"))
    trainer = fit(model, tmp_path)
    before = {name: tensor.clone() for name, tensor in model.generator.state_dict().items()}
    trainer.test(model, NoiseData(count=2, size=64), verbose=False)
    assert same(before, model.generator.state_dict())


def test_a_runs_folder_is_a_start(run):
    model = inpainter()
    reports = initialise(model.generator, model.adversaries, str(run[1]))
    assert [(report.part, report.missing, report.settings) for report in reports] == [
        ("generator", [], []),
        ("image", [], []),
    ]


def test_a_file_of_another_program_is_no_start(tmp_path):
    model = PENNet(width=4)
    metadata = {"inpaintzoo_format": "1", "class_path": "os.system", "init_args": "{}", "facts": "{}", "licence": ""}
    safetensors.torch.save_file(model.state_dict(), tmp_path / "net.safetensors", metadata)
    with pytest.raises(WeightsError, match=r"os\.system is neither the zoo's nor of an imported module"):
        initialise(model, nn.ModuleDict(), str(tmp_path / "net.safetensors"))
    with pytest.raises(ConfigError, match="generator has no file"):
        initialise(model, nn.ModuleDict(), {"generator": None})


def test_init_from_errors(run, tmp_path):
    model = inpainter()
    ckpt = str(run[1] / "checkpoints" / "last.ckpt")
    save_model(PENNetDiscriminator(4), tmp_path / "judge.safetensors")
    with pytest.raises(WeightsError, match=r"nothing of .* fits the generator"):
        initialise(model.generator, model.adversaries, str(tmp_path / "judge.safetensors"))
    with pytest.raises(ConfigError, match="there is no local here; there are generator, image"):
        initialise(model.generator, model.adversaries, {"local": ckpt})
    with pytest.raises(ConfigError, match=r"give one of them \(--model\.init_from null for none\)"):
        fit(inpainter(init_from=ckpt), tmp_path, ckpt_path=ckpt)
    with pytest.raises(WeightsError, match="there is no such"):
        fit(inpainter(init_from=str(tmp_path / "none.safetensors")), tmp_path)


def test_a_file_of_another_width_is_no_start(tmp_path):
    save_model(PENNet(width=4), tmp_path / "narrow.safetensors")
    wide = PENNet(width=8)
    before = {name: value.clone() for name, value in wide.state_dict().items()}
    sentence = (
        r"for another network than the generator: only \d+ of \d+ tensors match, 0\.\d% of the parameters; \d+ have"
    )
    with pytest.raises(WeightsError, match=sentence):
        initialise(wide, nn.ModuleDict(), str(tmp_path / "narrow.safetensors"))
    assert same(wide.state_dict(), before), "nothing was loaded"


def test_a_part_of_a_larger_network_is_a_start(tmp_path):
    """However small the part, every tensor of the file has a place in the network."""
    save_model(small := SGENet("base", width=4, hidden=4), tmp_path / "part.safetensors")

    class Larger(nn.Module):
        def __init__(self):
            super().__init__()
            for name, child in SGENet("base", width=4, hidden=4).named_children():
                self.add_module(name, child)
            self.more = nn.Linear(1000, 1000)

    (report,) = initialise(Larger(), nn.ModuleDict(), str(tmp_path / "part.safetensors"))
    assert len(report.matched) == len(small.state_dict()) and 0 < report.share < 0.5


# --- list ----------------------------------------------------------------------------------------------------------


def test_list_says_what_the_classes_say_and_draws_no_random_numbers(capsys, monkeypatch):
    found = []
    monkeypatch.setattr(listing, "list_models", lambda: found.extend(inpaintzoo.list_models()) or found)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    assert main(["list"]) == 0
    assert torch.equal(torch.rand(3), expected)
    printed = capsys.readouterr().out
    rows = {row.name: row for row in found}
    assert {name.split("(")[0] for name in rows} == set(inpaintzoo.models.__all__)
    assert all(name in printed and f"{row.parameters:,}" in printed for name, row in rows.items())
    pennet = rows["PENNet"]
    assert pennet.parameters == 10_231_538 and pennet.size_multiple == 64 and pennet.guidance
    assert rows["SPN(stochastic=True)"].stochastic and not rows["SPN"].stochastic
    assert rows["SGENet"].needs_labels and not rows["SGENet(variant='base')"].needs_labels
    assert all(row.macs > 1e9 and row.paper for row in rows.values())


def test_macs_of_attention_are_counted():
    from inpaintzoo.models import PENNet
    from inpaintzoo.models.catalogue import _macs

    plain, single = (_macs(PENNet(width=4, attention=attention).eval()) for attention in ("none", "single"))
    # One transfer from 4x4 to 8x8 cells of 64 channels: 16 x 16 scores of 64 products; 16 weights for patches of 4x4.
    assert single - plain == 16 * 16 * 64 + 16 * 16 * 16 * 64
