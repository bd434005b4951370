"""`inpaintzoo label`: label maps for pictures that have none, by a segmenter of torchvision."""

from __future__ import annotations

import inspect
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from jsonargparse import ArgumentParser
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from inpaintzoo.commands.run import instantiated, run_command
from inpaintzoo.data.labels.classes import LabelClasses, VOCClasses
from inpaintzoo.data.listing import FileSet, find_files
from inpaintzoo.files.published import load_state, published_file, read_state
from inpaintzoo.files.writing import file_digest
from inpaintzoo.pictures.images import image_to_tensor, read_image
from inpaintzoo.types import DataError, InpaintzooError, WeightsError
from inpaintzoo.words import counted, some

SEGMENTERS = (
    "deeplabv3_resnet50",
    "deeplabv3_resnet101",
    "deeplabv3_mobilenet_v3_large",
    "fcn_resnet50",
    "fcn_resnet101",
    "lraspp_mobilenet_v3_large",
)  # the first of a family stands for its name
RECORD = "label.json"  # what made the maps of a folder, so that a run goes on only with its own
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_HEADS = ("classifier.4.weight", "classifier.low_classifier.weight")  # (classes, ...): FCN and DeepLab; LR-ASPP


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: what stands after `inpaintzoo label`; None takes it from the process.

    Returns:
        The exit code: 0, 1 for an error that the user can mend, 2 for wrong usage.
    """
    summary = (label.__doc__ or "").splitlines()[0]
    parser = ArgumentParser(prog="inpaintzoo label", description=summary)
    parser.add_function_arguments(label, skip={"force"})
    parser.add_argument("--force", action="store_true", help="make maps anew that are there")
    return run_command(
        parser, argv, lambda config: label(**instantiated(parser, config)), (InpaintzooError, ValueError, OSError)
    )


def label(
    images: str,
    out: str,
    model: str = "deeplabv3_resnet50",
    weights: str | None = None,
    classes: LabelClasses | None = None,
    short_side: int = 520,
    device: str = "auto",
    force: bool = False,
) -> None:
    """Predict a label map for each picture: a PNG under the picture's name, of class indices unless `classes` differ.

    Maps that an earlier run with the same settings left in the folder are kept, so an interrupted run goes on.

    Args:
        images: folder of pictures, sub-folders included, or a text file with one path a line.
        out: folder for the maps; FolderData's `labels` reads it.
        model: a segmenter of torchvision: deeplabv3_resnet50, deeplabv3_resnet101, deeplabv3_mobilenet_v3_large,
            fcn_resnet50, fcn_resnet101 or lraspp_mobilenet_v3_large; deeplabv3, fcn and lraspp are the first of each.
        weights: file with a state dict in torchvision's names, of any number of classes; None takes the published
            weights (Pascal VOC's 21 classes), from torch hub's cache or downloaded into it.
        classes: what the classes are, such as VOCClasses or CityscapesClasses, for the colours of the maps and for
            the values that they hold, so that FolderData reads them with the same `classes`; None takes VOCClasses
            where there are 21, and values and colours of no meaning elsewhere.
        short_side: the network sees pictures resized to this, in pixels; torchvision's segmenters were tried at 520.
        device: where the network runs: cpu, cuda, cuda:1, and so on; auto takes a GPU where there is one.
        force: make maps anew that are there.
    """
    if short_side < 32:
        raise DataError(f"--short_side must be at least 32 pixels, got {short_side}")
    model = _segmenter(model)
    folder = Path(out).expanduser()
    files = _pictures(Path(images).expanduser(), folder)
    targets = [folder / f"{name}.png" for name in files.names()]
    where = _device(device)
    file = _weight_file(model, weights)
    network, count = _network(model, file)
    known = _classes(classes, count)
    made_by: dict[str, object] = {
        "model": model,
        "weights": file.name,
        "sha256": file_digest(file),
        "short_side": short_side,
        "values": _values(known).tolist(),
    }
    waiting = _claim(folder, made_by, files, targets, force)
    network.to(where)
    pixels = np.zeros(count, dtype=np.int64)
    for source, target in tqdm(waiting, desc="label", disable=not sys.stderr.isatty()):
        labels = predict(network, image_to_tensor(read_image(source)).to(where), short_side)
        _write(labels.cpu().numpy(), known, target)
        pixels += np.bincount(labels.cpu().numpy().ravel(), minlength=count)
    _report(folder, len(waiting), len(targets) - len(waiting), known, pixels)


@torch.inference_mode()
def predict(network: nn.Module, image: Tensor, short_side: int) -> Tensor:
    """Label map of a picture by a segmenter: `(3, H, W)` in [0, 1] to `(H, W)` uint8."""
    height, width = image.shape[-2:]
    scale = short_side / min(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = F.interpolate(image[None], size=size, mode="bilinear", align_corners=False, antialias=True)
    mean, std = (
        torch.tensor(values, device=image.device).view(1, 3, 1, 1) for values in (_IMAGENET_MEAN, _IMAGENET_STD)
    )
    logits: Tensor = network((small - mean) / std)["out"].float()
    # Class by class: all of them at the size of a photograph would not fit into memory.
    best = torch.full((height, width), -torch.inf, device=image.device)
    labels = torch.zeros(height, width, dtype=torch.uint8, device=image.device)
    for index in range(logits.shape[1]):
        of_class = F.interpolate(logits[:, index : index + 1], size=(height, width), mode="bilinear")[0, 0]
        better = of_class > best
        best, labels = torch.where(better, of_class, best), labels.masked_fill(better, index)
    return labels


def _segmenter(name: str) -> str:
    found = next((segmenter for segmenter in SEGMENTERS if name in (segmenter, segmenter.split("_")[0])), None)
    if found is None:
        raise DataError(f"--model must be one of {', '.join(SEGMENTERS)}, or a family such as deeplabv3, got {name}")
    return found


def _values(classes: LabelClasses) -> np.ndarray:
    """What files hold for each class."""
    values = np.array([classes.value_of(index) for index in range(len(classes))])
    if values.max() > 254:  # 255 is read as ignored
        raise DataError(f"--classes {type(classes).__name__}: label maps hold values to 254, got {values.max()}")
    return values.astype(np.uint8)


def _pictures(images: Path, folder: Path) -> FileSet:
    if folder.exists() and not folder.is_dir():
        raise DataError(f"--out {folder} is a file; name a folder")
    files = find_files("--images", images, exclude=[folder])
    if any(path.parent.resolve() == folder.resolve() for path in files.paths):
        raise DataError(f"--out {folder} is the pictures' own folder; name another one")
    stems = [path.with_suffix("") for path in files.paths]
    if twice := sorted({str(stem) for stem in stems if stems.count(stem) > 1} if len(set(stems)) < len(stems) else ()):
        raise DataError(
            f"--images: pictures that differ in the suffix only share a label map: {some(twice)}; rename them"
        )
    return files


def _weight_file(model: str, weights: str | None) -> Path:
    if weights is not None:
        return Path(weights).expanduser()
    published = torchvision.models.get_model_weights(model).DEFAULT
    return published_file(published.url, f"inpaintzoo label --model {model}")


def _network(model: str, file: Path) -> tuple[nn.Module, int]:
    """The segmenter with its weights, and how many classes it tells apart."""
    state = read_state(file, "--weights", key="model")
    head = next((state[key] for key in _HEADS if key in state), None)
    if head is None:
        raise WeightsError(f"--weights {file} holds no segmenter of torchvision such as {model}: no {_HEADS[0]}")
    if len(head) > 255:
        raise WeightsError(f"--weights {file} tells {len(head)} classes apart; label maps hold 255 at most")
    # FCN and DeepLab have a second head that only training needs.
    second: dict[str, bool] = (
        {} if model.startswith("lraspp") else {"aux_loss": any(k.startswith("aux_") for k in state)}
    )
    with torch.device("meta"):  # the initial weights are replaced: no time and no random draw for them
        network = torchvision.models.get_model(
            model, weights=None, weights_backbone=None, num_classes=len(head), **second
        )
    load_state(network, state, f"--weights {file} for --model {model}")
    return network.eval().requires_grad_(False), len(head)


def _classes(classes: LabelClasses | None, count: int) -> LabelClasses:
    if classes is None:
        voc = VOCClasses()
        return voc if count == len(voc) else LabelClasses(tuple(map(str, range(count))))
    if len(classes) != count:
        owner = type(classes).__name__
        raise DataError(f"--classes {owner} has {len(classes)} classes and the weights tell {count} apart")
    return classes


def _claim(
    folder: Path, made_by: dict[str, object], files: FileSet, targets: list[Path], force: bool
) -> list[tuple[Path, Path]]:
    """Pictures still without a map, each with its place, once the folder is known to be this run's."""
    record = folder / RECORD
    if force:
        for target in targets:
            target.unlink(missing_ok=True)
    elif record.is_file():
        before = _record(record)
        if before != made_by:
            changed = ", ".join(f"{key} {before.get(key)}" for key in made_by if before.get(key) != made_by[key])
            raise DataError(
                f"--out {folder} holds maps made with other settings ({changed}); name another folder, or add --force"
            )
    elif folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"--out {folder} holds files of another origin; name another folder, or add --force")
    folder.mkdir(parents=True, exist_ok=True)
    _replace(record, (json.dumps(made_by, indent=2) + "\n").encode())
    return [(source, target) for source, target in zip(files.paths, targets, strict=True) if not target.exists()]


def _record(record: Path) -> dict[str, object]:
    try:
        return dict(json.loads(record.read_text(encoding="utf-8")))
    except ValueError as error:
        raise DataError(f"{record} is damaged; name another folder for --out, or add --force") from error


def _write(labels: np.ndarray, classes: LabelClasses, target: Path) -> None:
    values = _values(classes)
    picture = Image.fromarray(values[labels])
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[values] = classes.colours
    picture.putpalette(palette.tobytes())
    target.parent.mkdir(parents=True, exist_ok=True)
    # Under another name first: an interrupted run leaves no half a map that the next one would keep.
    part = target.with_name(f".{target.name}.part")
    picture.save(part, format="PNG")
    os.replace(part, target)


def _replace(target: Path, content: bytes) -> None:
    part = target.with_name(f".{target.name}.part")
    part.write_bytes(content)
    os.replace(part, target)


def _device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.zeros((), device=device).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"--device {device} cannot be used ({reason}); auto takes what there is") from error


def _report(folder: Path, made: int, kept: int, classes: LabelClasses, pixels: np.ndarray) -> None:
    before = f" ({kept} from before)" if kept else ""
    print(f"{counted(made + kept, 'label map')} in {folder}{before}")
    if made:
        shares = pixels / pixels.sum()
        order = np.argsort(-shares, kind="stable")
        listed = [f"{classes.names[index]} {shares[index]:.1%}" for index in order[:6] if pixels[index]]
        print(f"classes of the new ones: {some(listed, 5)}")
    print(f"use them: --data.labels {folder} {_flags(classes)} --model.generator.num_classes {len(classes)}")


def _flags(classes: LabelClasses) -> str:
    """What FolderData needs to read the maps."""
    if classes.values is None:
        return f"--data.num_classes {len(classes)}"
    flags = [f"--data.classes {type(classes).__module__}.{type(classes).__qualname__}"]
    for name, parameter in inspect.signature(type(classes)).parameters.items():
        if (value := getattr(classes, name)) != parameter.default:
            text = value if isinstance(value, str) else json.dumps(value)
            flags.append(f"--data.classes.{name} {shlex.quote(text)}")
    return " ".join(flags)
