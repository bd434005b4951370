"""`inpaintzoo label` through the command line, with segmenters of random weights."""

import json
import re
import shlex

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from places import ROOT

from inpaintzoo import commands as cli
from inpaintzoo.commands import training as training_cli
from inpaintzoo.commands.label import main
from inpaintzoo.data import FolderData, FolderSource, VOCClasses
from inpaintzoo.data.labels.segmenter import predict_labels
from inpaintzoo.data.transforms import ResizeTo
from inpaintzoo.pictures.images import image_to_tensor, read_image, read_labels

MODEL = "lraspp_mobilenet_v3_large"
SMALL = ("--short_side", "64", "--device", "cpu")


def segmenter(classes, seed=0):
    torch.manual_seed(seed)
    network = torchvision.models.get_model(MODEL, weights=None, weights_backbone=None, num_classes=classes)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():  # norms that fit their features, or one class would have every pixel
        network.train()(torch.nn.functional.interpolate(torch.randn(4, 3, 8, 8), size=64, mode="bicubic"))
    torch.nn.init.normal_(network.classifier.low_classifier.weight)
    return network.eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "voc.pth"
    torch.save(segmenter(21).state_dict(), file)
    return file


@pytest.fixture
def images(tmp_path):
    """Three pictures, one in a sub-folder, one JPEG stored on its side."""
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    draw = np.random.default_rng(0)
    for name, height, width in (("a.png", 80, 100), ("deep/b.png", 64, 96), ("c.jpg", 90, 70)):
        pixels = draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        exif = Image.Exif()
        exif[0x0112] = 6 if name == "c.jpg" else 1
        Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC).save(folder / name, exif=exif)
    return folder


def ran(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr()


def refused(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 1
    said = capsys.readouterr().err
    assert said.startswith("inpaintzoo label: error: ") and said.count("\n") == 1, said
    return said


def common(images, out, weights):
    return ("--images", images, "--out", out, "--model", MODEL, "--weights", weights, *SMALL)


def test_maps_are_what_the_segmenter_says_and_folders_read_them(tmp_path, images, weights, capsys):
    out = tmp_path / "labels"
    said = ran(capsys, *common(images, out, weights)).out
    assert f"3 label maps in {out}\n" in said and "--data.num_classes 21" in said
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert files == ["a.png", "c.png", "deep/b.png", "label.json"]
    network = segmenter(21)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    for name, size in (("a", (80, 100)), ("deep/b", (64, 96)), ("c", (70, 90))):
        picture = image_to_tensor(read_image(next(images.glob(f"{name}.*"))))
        short = (64 * size[0] // min(size), round(64 * size[1] / min(size)))
        small = torch.nn.functional.interpolate(picture[None], size=short, mode="bilinear", antialias=True)
        with torch.no_grad():
            logits = network((small - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1))["out"]
        expected = torch.nn.functional.interpolate(logits, size=size, mode="bilinear").argmax(1)[0].numpy()
        assert (read_labels(out / f"{name}.png") == expected).mean() > 0.999
        assert len(np.unique(expected)) > 1, "a map of one class would not tell"
    with Image.open(out / "a.png") as palette:
        assert palette.mode == "P" and tuple(palette.getpalette()[3:6]) == VOCClasses().colours[1]

    data = FolderData(
        train=images, test=images, labels=out, classes=VOCClasses(), transform=ResizeTo(32), batch_size=3, num_workers=0
    )
    assert [finding.text for finding in data.check(thorough=True) if finding.level == "error"] == []
    batch = next(iter(data.test_dataloader()))
    assert batch["labels"].shape == (3, 32, 32) and int(batch["labels"].max()) < 21


@pytest.mark.parametrize(
    ("flags", "count"),
    [
        ((), 21),
        (("--classes", "CityscapesClasses"), 20),
        (("--classes", "CityscapesClasses", "--classes.files", "trainIds"), 20),
        (("--classes", "CityscapesClasses", "--classes.void", "ignore"), 19),
        (("--classes", "label_toys.ThreeClasses", "--classes.first", "9"), 3),
    ],
    ids=["voc", "labelIds", "trainIds", "19", "own"],
)
def test_maps_are_read_back_as_they_were_predicted_by_the_line_that_is_printed(flags, count, tmp_path, images, capsys):
    file, out = tmp_path / "w.pth", tmp_path / "labels"
    torch.save(segmenter(count, seed=1).state_dict(), file)
    said = ran(capsys, *common(images, out, file), *flags).out
    line = re.search(r"^use them: (.*)$", said, re.MULTILINE).group(1)
    options = [
        "--config",
        ROOT / "configs/sgnet.yaml",
        "--config",
        ROOT / "configs/data/folder.yaml",
        "--data.root",
        images,
    ]
    small = ["--model.generator.width", 2, "--model.generator.hidden", 2, "--data.num_workers", 0]
    built = training_cli.ZooCLI([*map(str, [*options, *small]), *shlex.split(line)], run=False)
    assert built.model.generator.num_classes == built.datamodule.label_count == count
    network, seen = segmenter(count, seed=1), set()
    source = FolderSource(images, out, ResizeTo((80, 100)), classes=built.datamodule.classes)
    expected = predict_labels(network, image_to_tensor(read_image(images / "a.png")), 64)
    found = source.load(list(source.names).index("a")).labels
    assert torch.equal(found, expected.long())
    seen |= set(found.unique().tolist())
    assert len(seen) > 1


def test_families_stand_for_their_first_backbone(tmp_path, images, weights, capsys):
    arguments = [*common(images, tmp_path / "o", weights), "--model"]
    ran(capsys, *arguments, "lraspp")
    assert json.loads((tmp_path / "o" / "label.json").read_text())["model"] == MODEL
    for family in ("deeplabv3", "fcn"):
        assert f"for model {family}_resnet50 does not fit" in refused(capsys, *arguments, family)


def test_values_beyond_a_byte_are_refused(tmp_path, images, capsys):
    torch.save(segmenter(3).state_dict(), tmp_path / "w.pth")
    own = ("--classes", "label_toys.ThreeClasses", "--classes.first", 300)
    said = refused(capsys, *common(images, tmp_path / "o", tmp_path / "w.pth"), *own)
    assert "a label map holds values up to 254, got 300" in said


def test_an_interrupted_run_goes_on(tmp_path, images, weights, capsys, monkeypatch):
    out = tmp_path / "labels"
    arguments = common(images, out, weights)
    ran(capsys, *arguments)
    whole = {path: path.read_bytes() for path in out.rglob("*.png")}
    (out / "c.png").unlink()
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert "3 label maps" in (said := ran(capsys, *arguments).out) and "(2 from before)" in said
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert {path: path.read_bytes() for path in out.rglob("*.png")} == whole
    # Interrupted while a map is written: no partial map is left under its name.
    (out / "c.png").unlink()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    assert "disk full" in refused(capsys, *arguments)
    assert not (out / "c.png").exists()


def test_other_settings_and_other_files_are_not_overwritten(tmp_path, images, weights, capsys):
    out = tmp_path / "labels"
    arguments = common(images, out, weights)
    ran(capsys, *arguments)
    first = (out / "a.png").read_bytes()
    assert "made with other settings (short_side was 64 and is 96)" in refused(capsys, *arguments, "--short_side", 96)
    assert (out / "a.png").read_bytes() == first
    ran(capsys, *arguments, "--short_side", 96, "--force")
    assert json.loads((out / "label.json").read_text())["short_side"] == 96
    assert (out / "a.png").read_bytes() != first
    (out / "label.json").write_text("{")
    assert "label.json is damaged" in refused(capsys, *arguments)
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.png").write_bytes(b"mine")
    assert "holds files from elsewhere" in refused(capsys, *common(images, other, weights))
    assert (other / "a.png").read_bytes() == b"mine"


def test_weights_of_other_classes(tmp_path, images, capsys):
    file = tmp_path / "eight.pth"
    torch.save({"model": segmenter(8).state_dict(), "epoch": 3}, file)  # as torchvision's own script saves it
    ran(capsys, *common(images, tmp_path / "labels", file), "--classes", "OutdoorScenesClasses")
    assert read_labels(tmp_path / "labels" / "a.png").max() < 8
    said = refused(capsys, *common(images, tmp_path / "more", file), "--classes", "VOCClasses")
    assert "classes VOCClasses has 21 classes and the weights have 8" in said
    assert not (tmp_path / "more").exists()


def test_weights_that_do_not_fit(tmp_path, images, weights, capsys):
    out = tmp_path / "labels"
    assert "there is no weight file" in refused(capsys, *common(images, out, tmp_path / "none.pth"))
    said = refused(capsys, *common(images, out, weights), "--model", "fcn_resnet50")
    assert "for model fcn_resnet50 does not fit" in said and "missing" in said
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    assert "are not those of a torchvision segmenter" in refused(capsys, *common(images, out, tmp_path / "other.pth"))
    assert not out.exists()


def test_missing_weights_say_where_to_get_them_and_where_to_put_them(tmp_path, images, capsys, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))

    def offline(*_, **__):
        raise OSError("no way out")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    said = refused(capsys, "--images", images, "--out", tmp_path / "labels", "--model", MODEL)
    assert "https://download.pytorch.org/models/lraspp_mobilenet_v3_large-" in said
    assert str(tmp_path / "hub" / "hub" / "checkpoints" / "lraspp_mobilenet_v3_large-") in said


@pytest.mark.parametrize(
    ("name", "second"),
    [("fcn_resnet50", True), ("deeplabv3_mobilenet_v3_large", False)],
    ids=["second head", "one head"],
)
def test_other_segmenters_load(name, second, tmp_path, images, capsys):
    network = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=21, aux_loss=second)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    only = images / "deep"
    ran(capsys, "--images", only, "--out", tmp_path / "o", "--model", name, "--weights", tmp_path / "w.pth", *SMALL)
    assert read_labels(tmp_path / "o" / "b.png").shape == (64, 96)


def test_bad_input_is_one_sentence(tmp_path, images, weights, capsys):
    out = tmp_path / "labels"
    assert "does not exist" in refused(capsys, *common(tmp_path / "none", out, weights))
    assert "is the images' own folder" in refused(capsys, *common(images, images, weights))
    assert "is a file; name a folder" in refused(capsys, *common(images, weights, weights))
    assert "at least 32 pixels, got 8" in refused(capsys, *common(images, out, weights), "--short_side", 8)
    assert "device moon cannot be used" in refused(capsys, *common(images, out, weights), "--device", "moon")
    (images / "a.jpg").write_bytes((images / "c.jpg").read_bytes())
    assert "would share a label map, differing only in the suffix" in refused(capsys, *common(images, out, weights))
    (images / "a.jpg").unlink()
    (images / "a.png").write_bytes(b"no picture")
    assert "a.png: not an image" in refused(capsys, *common(images, out, weights))
    assert main(["--images", str(images)]) == 2
    capsys.readouterr()
    assert "model must be one of deeplabv3_resnet50, " in refused(capsys, *common(images, out, weights), "--model", "x")
    assert main(["--help"]) == 0
    assert "--force" in capsys.readouterr().out


def test_the_command_line_knows_it(tmp_path, images, weights, capsys):
    assert cli.main(["label", *map(str, common(images, tmp_path / "labels", weights))]) == 0
    assert cli.main(["--help"]) == 0
    assert re.search(r"^  label ", capsys.readouterr().out, re.MULTILINE)


def test_ties_go_to_the_first_class_as_argmax_says():
    class Flat(torch.nn.Module):
        def forward(self, image):
            return {"out": torch.zeros(len(image), 3, 4, 4)}

    assert predict_labels(Flat(), torch.rand(3, 40, 48), 32).eq(0).all()


def test_documented_commands_parse(monkeypatch):
    taken = []
    monkeypatch.setattr("inpaintzoo.data.labels.segmenter._list_images", lambda *paths: taken.append(paths) or 1 / 0)
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    lines = [line for page in pages for line in page.read_text().splitlines() if line.startswith("inpaintzoo label ")]
    assert lines
    for line in lines:
        assert cli.main(shlex.split(line)[1:]) == 1
    assert len(taken) == len(lines)
