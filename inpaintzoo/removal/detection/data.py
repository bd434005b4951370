"""Pictures with boxes: the built-in scenes, and the folders of Pascal VOC and COCO."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from lightning import LightningDataModule
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import CocoDetection, VOCDetection
from torchvision.transforms import v2
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat
from torchvision.tv_tensors import Image as Pixels

from inpaintzoo.data.dataset import IMAGE_STREAM, SampleKey, sample_rng
from inpaintzoo.data.findings import Finding, act_upon
from inpaintzoo.data.loader import EpochSampler, ResumableLoader
from inpaintzoo.data.scenes import SceneSource
from inpaintzoo.pictures.images import image_to_tensor
from inpaintzoo.removal.detection.classes import CLASSES
from inpaintzoo.scenes.parts import SCENE_CLASSES
from inpaintzoo.types import SPLITS, ConfigError, DataError, Split
from inpaintzoo.words import counted

_MEAN = (0.48235, 0.45882, 0.40784)  # of the colours that surround a picture that is zoomed out


@dataclasses.dataclass(frozen=True)
class Annotated:
    """A picture with boxes.

    Attributes:
        image: `(3, H, W)` in [0, 1].
        boxes: `(N, 4)`, x1, y1, x2, y2 in pixels.
        labels: `(N,)` int64, classes counted from 1.
        ignored: `(N,)` bool: VOC's difficult objects and COCO's crowds, which count neither as found nor as missed.
        name: the picture's.
    """

    image: Tensor
    boxes: Tensor
    labels: Tensor
    ignored: Tensor
    name: str


def _annotated(image: Tensor, found: Sequence[tuple[Sequence[float], int, bool]], name: str) -> Annotated:
    boxes = torch.tensor([box for box, _, _ in found], dtype=torch.float32).reshape(-1, 4)
    labels = torch.tensor([label for _, label, _ in found], dtype=torch.int64)
    return Annotated(image, boxes, labels, torch.tensor([bool(ignored) for *_, ignored in found]).bool(), name)


def boxes_of_scene(labels: Tensor, least: int) -> list[tuple[tuple[int, int, int, int], int, bool]]:
    """The boxes of the objects in a scene, from its exact label map.

    Args:
        labels: `(H, W)`, indices into `SCENE_CLASSES`.
        least: objects with fewer pixels are left out.

    Returns:
        For each connected region of one of the classes `scenes`: the box x1, y1, x2, y2, the class from 1, and False.
    """
    found = []
    for label, name in enumerate(CLASSES["scenes"], start=1):
        regions, _ = ndimage.label(labels.numpy() == SCENE_CLASSES.index(name), np.ones((3, 3)))
        sizes = np.bincount(regions.ravel())
        for number, (rows, columns) in enumerate(ndimage.find_objects(regions), start=1):
            if sizes[number] >= least:
                found.append(((columns.start, rows.start, columns.stop, rows.stop), label, False))
    return found


class AnnotatedSource(Protocol):
    """Pictures with boxes; it is sent to the loading processes."""

    def __len__(self) -> int:
        """How many."""
        ...

    def load(self, index: int) -> Annotated:
        """The picture at `index`, counted from 0."""
        ...


class _Boxed(Dataset[dict[str, Any]]):
    """Loads and augments; a sample depends on nothing but (seed, epoch, index)."""

    def __init__(self, source: AnnotatedSource, seed: int, augment: v2.Transform | None) -> None:
        self.source, self.seed, self.augment = source, seed, augment

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: SampleKey | int) -> dict[str, Any]:
        epoch, index = key if isinstance(key, SampleKey) else (0, key)
        sample = self.source.load(index)
        image, target = sample.image, {"boxes": sample.boxes, "labels": sample.labels, "ignored": sample.ignored}
        if self.augment is not None:
            height, width = image.shape[1:]
            boxes = BoundingBoxes(sample.boxes, format=BoundingBoxFormat.XYXY, canvas_size=(height, width))  # type: ignore[call-arg]
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(sample_rng(self.seed, epoch, index, IMAGE_STREAM).integers(2**62)))
                image, target = self.augment(Pixels(image), {**target, "boxes": boxes})
            image = image.as_subclass(Tensor)
            target["boxes"] = target["boxes"].as_subclass(Tensor)
        return {"image": image, "target": target, "name": sample.name, "index": index}


def _of_boxes(inputs: Any) -> tuple[Tensor, Tensor]:
    """What is dropped along with a box."""
    return inputs[1]["labels"], inputs[1]["ignored"]


def collated(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch: lists of pictures of any sizes, targets and names, and a tensor of indices."""
    batch: dict[str, Any] = {key: [sample[key] for sample in samples] for key in samples[0]}
    return {**batch, "index": torch.tensor(batch["index"])}


class DetectionData(LightningDataModule):
    """Pictures with boxes for fit, validate, test and predict; a subclass loads them.

    A batch holds lists `image` (each `(3, H, W)` in [0, 1]), `target` (`boxes`, `labels`, `ignored`) and `name`, and
    `index`.

    Args:
        batch_size: samples per step and process.
        num_workers: loading processes; samples do not depend on it.
        seed: seeds order and augmentation.
        augment: whether training pictures are augmented as SSD does: colours, zooming out, cutting, mirroring.

    Attributes:
        classes: their names, without background.

    Raises:
        ValueError: an argument is out of range.
    """

    classes: tuple[str, ...]

    def __init__(self, batch_size: int = 24, num_workers: int = 2, seed: int = 0, augment: bool = True) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise ValueError(
                f"batch_size must be at least 1 and num_workers 0 or more, got {batch_size} and {num_workers}"
            )
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        fill: Any = {Pixels: _MEAN, "others": 0}
        steps = [
            v2.RandomPhotometricDistort(),
            v2.RandomZoomOut(fill=fill),
            v2.RandomIoUCrop(),
            v2.RandomHorizontalFlip(),
            v2.SanitizeBoundingBoxes(labels_getter=_of_boxes),
        ]
        self.augmentation = v2.Compose(steps) if augment else None

    @abstractmethod
    def source(self, split: Split) -> AnnotatedSource:
        """The pictures of a split, the same object each time.

        Raises:
            DataError: they are not there.
        """

    def check(self, splits: tuple[Split, ...] = SPLITS, thorough: bool = False) -> list[Finding]:
        """Count the pictures before a run.

        Args:
            splits: the splits that will be used.
            thorough: load every picture.
        """
        findings = []
        for split in splits:
            try:
                source = self.source(split)
                for index in range(len(source) if thorough else 0):
                    source.load(index)
            except DataError as error:
                findings.append(Finding("error", f"{split}: {error}"))
                continue
            count = len(source)
            findings.append(Finding("ok", f"{split}: {counted(count, 'picture')}"))
            if split == "train" and count < self.batch_size * self._world_size:
                text = f"{counted(count, 'picture')} do not fill one batch of {self.batch_size} in each process"
                findings.append(Finding("error", f"train: {text}; lower --data.batch_size or add pictures"))
        return findings

    def setup(self, stage: str) -> None:
        """Check the data that this stage will use, and print or raise what was found."""
        used: dict[str, tuple[Split, ...]] = {"fit": ("train", "val"), "validate": ("val",)}
        act_upon(self.check(used.get(stage, ("test",))))

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled, augmented batches; they depend on seed and epoch, not on the workers."""
        return self._loader("train")

    def val_dataloader(self) -> DataLoader[Any]:
        """The validation pictures, in order."""
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        """The test pictures, in order."""
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader[Any]:
        """The same pictures as for test."""
        return self._loader("test")

    def _loader(self, split: Split) -> DataLoader[Any]:
        training = split == "train"
        augment = self.augmentation if training else None
        dataset = _Boxed(self.source(split), self.seed, augment)
        rank = self.trainer.global_rank if self.trainer else 0
        loader: type[DataLoader[Any]] = ResumableLoader if training else DataLoader
        return loader(
            dataset,
            sampler=EpochSampler(dataset, training, self.seed, rank, self._world_size),
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            drop_last=training,
            persistent_workers=self.num_workers > 0 and training,
            collate_fn=collated,
        )

    @property
    def _world_size(self) -> int:
        return self.trainer.world_size if self.trainer else 1


class SceneBoxes(DetectionData):
    """Built-in scenes; their boxes come from the exact label maps, so nothing has to be downloaded.

    Args:
        train_size: pictures in the training split.
        val_size: pictures in the validation split.
        test_size: pictures in the test split.
        image_size: side of a square or (height, width), in pixels, from 32.
        least: objects with fewer pixels, in a picture of 300x300, do not count; in proportion for others.
        batch_size: samples per step and process.
        num_workers: loading processes; samples do not depend on it.
        seed: seeds pictures, order and augmentation.
        augment: whether training pictures are augmented as SSD does.

    Raises:
        ValueError: an argument is out of range.
    """

    classes = CLASSES["scenes"]

    def __init__(
        self,
        train_size: int = 2000,
        val_size: int = 100,
        test_size: int = 200,
        image_size: int | tuple[int, int] = 300,
        least: int = 100,
        batch_size: int = 24,
        num_workers: int = 2,
        seed: int = 0,
        augment: bool = True,
    ) -> None:
        super().__init__(batch_size, num_workers, seed, augment)
        counts: dict[Split, int] = {"train": train_size, "val": val_size, "test": test_size}
        self._sources = {split: _Scenes(SceneSource(split, n, image_size, seed), least) for split, n in counts.items()}

    def source(self, split: Split) -> AnnotatedSource:
        """The scenes of a split."""
        return self._sources[split]


class _Scenes:
    def __init__(self, scenes: SceneSource, least: int) -> None:
        self.scenes = scenes
        self.least = max(1, round(least * scenes.size[0] * scenes.size[1] / 300**2))

    def __len__(self) -> int:
        return len(self.scenes)

    def load(self, index: int) -> Annotated:
        sample = self.scenes.load(index)
        assert sample.labels is not None
        return _annotated(sample.image, boxes_of_scene(sample.labels, self.least), sample.name)


class VOCBoxes(DetectionData):
    """Pascal VOC in the folders of its archives: `ROOT/VOCdevkit/VOC2007/JPEGImages` and so on.

    Args:
        root: the folder that holds `VOCdevkit`.
        train: years and image sets; the default is `07+12`. `07++12` adds `2007 test`.
        val: years and image sets.
        test: years and image sets.
        batch_size: samples per step and process.
        num_workers: loading processes; samples do not depend on it.
        seed: seeds order and augmentation.
        augment: whether training pictures are augmented as SSD does.

    Raises:
        ValueError: an argument is out of range.
    """

    classes = CLASSES["voc"]

    def __init__(
        self,
        root: str,
        train: tuple[str, ...] = ("2007 trainval", "2012 trainval"),
        val: tuple[str, ...] = ("2007 test",),
        test: tuple[str, ...] = ("2007 test",),
        batch_size: int = 24,
        num_workers: int = 2,
        seed: int = 0,
        augment: bool = True,
    ) -> None:
        super().__init__(batch_size, num_workers, seed, augment)
        self.root = root
        self.sets: dict[Split, tuple[str, ...]] = {"train": train, "val": val, "test": test}
        for name in (*train, *val, *test):
            if len(name.split()) != 2:
                raise ValueError(f"VOCBoxes: give a year and an image set, such as '2007 test', got {name!r}")
        self._sources: dict[Split, _VOC] = {}

    def source(self, split: Split) -> AnnotatedSource:
        """The pictures of a split."""
        if split not in self._sources:
            self._sources[split] = _VOC(self.root, self.sets[split])
        return self._sources[split]


class _VOC:
    def __init__(self, root: str, sets: Sequence[str]) -> None:
        self.pictures: list[tuple[VOCDetection, int]] = []
        for year, image_set in map(str.split, sets):
            try:
                found = VOCDetection(root, year, image_set)
            except (OSError, RuntimeError, ValueError, KeyError) as error:
                raise DataError(
                    f"{root} holds no image set {image_set} of VOC {year} ({error}); --data.root must be the folder of "
                    f"VOCdevkit/VOC{year}"
                ) from error
            self.pictures += [(found, index) for index in range(len(found))]

    def __len__(self) -> int:
        return len(self.pictures)

    def load(self, index: int) -> Annotated:
        dataset, number = self.pictures[index]
        image, about = dataset[number]
        found = []
        for each in about["annotation"].get("object", []):
            left, top, right, bottom = (float(each["bndbox"][key]) for key in ("xmin", "ymin", "xmax", "ymax"))
            label = CLASSES["voc"].index(each["name"]) + 1
            # The files count pixels from 1, and the last ones belong to the object.
            found.append(((left - 1, top - 1, right, bottom), label, each.get("difficult") == "1"))
        return _annotated(_pixels(image), found, Path(dataset.images[number]).stem)


class COCOBoxes(DetectionData):
    """COCO: `ROOT/train2017`, `ROOT/annotations/instances_train2017.json` and so on.

    Args:
        root: the folder of the pictures' folders and of `annotations`.
        train: name of the training set.
        val: name of the validation set.
        test: name of the test set; it must have annotations.
        batch_size: samples per step and process.
        num_workers: loading processes; samples do not depend on it.
        seed: seeds order and augmentation.
        augment: whether training pictures are augmented as SSD does.

    Raises:
        ValueError: an argument is out of range.
    """

    classes = CLASSES["coco"]

    def __init__(
        self,
        root: str,
        train: str = "train2017",
        val: str = "val2017",
        test: str = "val2017",
        batch_size: int = 16,
        num_workers: int = 2,
        seed: int = 0,
        augment: bool = True,
    ) -> None:
        super().__init__(batch_size, num_workers, seed, augment)
        self.root = root
        self.sets: dict[Split, str] = {"train": train, "val": val, "test": test}
        self._sources: dict[Split, _COCO] = {}

    def source(self, split: Split) -> AnnotatedSource:
        """The pictures of a split."""
        if split not in self._sources:
            self._sources[split] = _COCO(Path(self.root), self.sets[split], crowds=split != "train")
        return self._sources[split]


class _COCO:
    def __init__(self, root: Path, name: str, crowds: bool) -> None:
        file = root / "annotations" / f"instances_{name}.json"
        if not file.is_file():
            raise DataError(f"there is no {file}; --data.root must be the folder of COCO's annotations")
        use_coco_tools()
        with contextlib.redirect_stdout(io.StringIO()):  # it prints how long it takes
            self.dataset = CocoDetection(root / name, str(file))
        self.names = {each["id"]: each["name"] for each in self.dataset.coco.dataset["categories"]}
        self.crowds = crowds

    def __len__(self) -> int:
        return len(self.dataset)

    def load(self, index: int) -> Annotated:
        image, about = self.dataset[index]
        found = []
        for each in about:
            left, top, width, height = each["bbox"]
            if width > 0 and height > 0 and (self.crowds or not each["iscrowd"]):
                label = CLASSES["coco"].index(self.names[each["category_id"]]) + 1
                found.append(((left, top, left + width, top + height), label, bool(each["iscrowd"])))
        file = self.dataset.coco.loadImgs(self.dataset.ids[index])[0]["file_name"]
        return _annotated(_pixels(image), found, Path(file).stem)


def _pixels(image: Image.Image) -> Tensor:
    return image_to_tensor(image.convert("RGB"))


def use_coco_tools() -> str:
    """Let what imports pycocotools find it, or faster-coco-eval in its place.

    Returns:
        The name of the package that is there.

    Raises:
        ConfigError: neither is installed.
    """
    try:
        import faster_coco_eval
    except ImportError:
        if importlib.util.find_spec("pycocotools") is None:
            raise ConfigError("detection needs COCO's evaluation: pip install 'inpaintzoo[detection]'") from None
        return "pycocotools"
    faster_coco_eval.init_as_pycocotools()
    return "faster_coco_eval"
