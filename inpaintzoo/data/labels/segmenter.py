"""Makes label maps for images that have none, with a segmentation network of torchvision."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from inpaintzoo.data.labels.classes import LabelClasses, VOCClasses
from inpaintzoo.data.listing import FileSet, find_files
from inpaintzoo.files.published import load_state, published_file, read_state
from inpaintzoo.files.record import Record
from inpaintzoo.files.writing import file_digest, write_whole
from inpaintzoo.ops import find_device, normalise
from inpaintzoo.pictures.images import image_to_tensor, read_image
from inpaintzoo.types import IGNORE, DataError, WeightsError
from inpaintzoo.words import some

SEGMENTERS = (
    "deeplabv3_resnet50",
    "deeplabv3_resnet101",
    "deeplabv3_mobilenet_v3_large",
    "fcn_resnet50",
    "fcn_resnet101",
    "lraspp_mobilenet_v3_large",
)  # a family's name stands for its first network
RECORD = "label.json"
_HEADS = ("classifier.4.weight", "classifier.low_classifier.weight")  # (classes, ...) of FCN and DeepLab; of LR-ASPP


@dataclasses.dataclass(frozen=True)
class LabelFolder:
    """Result of `label_images`.

    Attributes:
        folder: folder of the label maps.
        made: maps that are new.
        kept: maps of an earlier run with the same settings.
        classes: class names of the maps.
        pixels: `(classes,)`, how many pixels of the new maps each class has.
    """

    folder: Path
    made: int
    kept: int
    classes: LabelClasses
    pixels: np.ndarray


def label_images(
    images: str,
    out: str,
    model: str = "deeplabv3_resnet50",
    weights: str | None = None,
    classes: LabelClasses | None = None,
    short_side: int = 520,
    device: str = "auto",
    force: bool = False,
) -> LabelFolder:
    """Predict a label map for each image: a PNG of the same name, of class indices unless `classes` has other values.

    Maps from an earlier run with the same settings are kept, so an interrupted run can be continued.

    Args:
        images: folder of images, searched with its sub-folders, or a text file with one path per line.
        out: folder for the maps; FolderData's `labels` reads it.
        model: a segmenter of torchvision: deeplabv3_resnet50, deeplabv3_resnet101, deeplabv3_mobilenet_v3_large,
            fcn_resnet50, fcn_resnet101 or lraspp_mobilenet_v3_large; deeplabv3, fcn and lraspp name the first of each.
        weights: file with a state dict in torchvision's names, for any number of classes; None uses the published
            weights (Pascal VOC's 21 classes), from torch hub's cache or downloaded into it.
        classes: what the weights' classes are, such as VOCClasses or CityscapesClasses. It decides the colours of the
            maps and the values in them, so that FolderData reads them with the same `classes`. None uses VOCClasses
            for 21 classes, and arbitrary colours otherwise.
        short_side: short side of the network's input, in pixels; torchvision evaluated its segmenters at 520.
        device: where the network runs, such as cpu, cuda or cuda:1; auto uses a GPU if there is one.
        force: replace existing maps.

    Raises:
        DataError: images, settings or an output folder that cannot be used.
        WeightsError: weights that are missing or do not fit.
        ConfigError: a device that cannot be used.
    """
    if short_side < 32:
        raise DataError(f"short_side must be at least 32 pixels, got {short_side}")
    model = _full_name(model)
    folder = Path(out).expanduser()
    files = _list_images(Path(images).expanduser(), folder)
    targets = [folder / f"{name}.png" for name in files.names()]
    where = find_device(device)
    published = torchvision.models.get_model_weights(model).DEFAULT
    file = published_file(published.url, f"inpaintzoo label --model {model}", weights)
    network, count = _read_segmenter(model, file)
    classes = classes or (VOCClasses() if count == len(VOCClasses()) else LabelClasses(tuple(map(str, range(count)))))
    values = _file_values(classes, count)
    settings = {
        "model": model,
        "weights": file.name,
        "sha256": file_digest(file),
        "short_side": short_side,
        "values": values.tolist(),
    }
    _claim(folder, Record(folder / RECORD, settings), targets, force)
    waiting = [pair for pair in zip(files.paths, targets, strict=True) if not pair[1].exists()]
    network.to(where)
    pixels = np.zeros(count, dtype=np.int64)
    for source, target in tqdm(waiting, desc="label", disable=not sys.stderr.isatty()):
        labels = predict_labels(network, image_to_tensor(read_image(source)).to(where), short_side).cpu().numpy()
        _write_map(labels, values, classes, target)
        pixels += np.bincount(labels.ravel(), minlength=count)
    return LabelFolder(folder, len(waiting), len(targets) - len(waiting), classes, pixels)


def _full_name(model: str) -> str:
    found = next((name for name in SEGMENTERS if model in (name, name.split("_")[0])), None)
    if found is None:
        raise DataError(f"model must be one of {', '.join(SEGMENTERS)}, or a family such as deeplabv3, got {model}")
    return found


def _list_images(images: Path, folder: Path) -> FileSet:
    if folder.exists() and not folder.is_dir():
        raise DataError(f"out {folder} is a file; name a folder")
    files = find_files("images", images, exclude=[folder])
    if any(path.parent.resolve() == folder.resolve() for path in files.paths):
        raise DataError(f"out {folder} is the images' own folder; name another one")
    stems = [path.with_suffix("") for path in files.paths]
    if twice := sorted({str(stem) for stem in stems if stems.count(stem) > 1} if len(set(stems)) < len(stems) else ()):
        raise DataError(f"images: {some(twice)} would share a label map, differing only in the suffix; rename them")
    return files


def _read_segmenter(model: str, file: Path) -> tuple[nn.Module, int]:
    """The segmenter with its weights, and its number of classes."""
    state = read_state(file, "weights", key="model")
    head = next((state[key] for key in _HEADS if key in state), None)
    if head is None:
        raise WeightsError(f"weights {file} are not those of a torchvision segmenter such as {model}: no {_HEADS[0]}")
    if len(head) > IGNORE:
        raise WeightsError(f"weights {file} have {len(head)} classes; a label map holds {IGNORE} at most")
    # FCN and DeepLab have a second head that only training needs.
    has_second = any(key.startswith("aux_") for key in state)
    second = {} if model.startswith("lraspp") else {"aux_loss": has_second}
    with torch.device("meta"):  # initial weights would cost time and random numbers, and are replaced anyway
        network = torchvision.models.get_model(
            model, weights=None, weights_backbone=None, num_classes=len(head), **second
        )
    load_state(network, state, f"weights {file} for model {model}")
    return network.eval().requires_grad_(False), len(head)


def _file_values(classes: LabelClasses, count: int) -> np.ndarray:
    """The value that stands for each class in files, uint8."""
    owner = type(classes).__name__
    if len(classes) != count:
        raise DataError(f"classes {owner} has {len(classes)} classes and the weights have {count}")
    values = np.array([classes.value_of(index) for index in range(count)])
    if values.max() >= IGNORE:
        raise DataError(f"classes {owner}: a label map holds values up to {IGNORE - 1}, got {values.max()}")
    return values.astype(np.uint8)


def _claim(folder: Path, record: Record, targets: list[Path], force: bool) -> None:
    """Make sure that the folder is empty or this run's."""
    if force:
        for target in targets:
            target.unlink(missing_ok=True)
    elif changes := record.differences():
        raise DataError(
            f"out {folder} holds maps made with other settings ({'; '.join(changes)}); name another folder, or replace "
            "them with --force"
        )
    elif not record.path.exists() and folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"out {folder} holds files from elsewhere; name another folder, or replace them with --force")
    record.write()


@torch.inference_mode()
def predict_labels(network: nn.Module, image: Tensor, short_side: int) -> Tensor:
    """Label map of an image: `(3, H, W)` in [0, 1] to `(H, W)` uint8.

    Args:
        network: a segmenter of torchvision.
        image: on the network's device.
        short_side: short side of the network's input, in pixels.
    """
    height, width = image.shape[-2:]
    scale = short_side / min(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = F.interpolate(image[None], size=size, mode="bilinear", align_corners=False, antialias=True)
    logits: Tensor = network(normalise(small))["out"].float()
    # Class by class: logits of all classes at a photograph's size would not fit into memory.
    best = torch.full((height, width), -torch.inf, device=image.device)
    labels = torch.zeros(height, width, dtype=torch.uint8, device=image.device)
    for index in range(logits.shape[1]):
        of_class = F.interpolate(logits[:, index : index + 1], size=(height, width), mode="bilinear")[0, 0]
        better = of_class > best
        best, labels = torch.where(better, of_class, best), labels.masked_fill(better, index)
    return labels


def _write_map(labels: np.ndarray, values: np.ndarray, classes: LabelClasses, target: Path) -> None:
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[values] = classes.colours
    picture = Image.fromarray(values[labels])
    picture.putpalette(palette.tobytes())
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, picture.save)
