"""Trains and measures MPSSD, SSD and FSSD through the same command line as the Inpainter."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities import rank_zero_info
from tabulate import tabulate
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torchvision.models import VGG16_Weights
from torchvision.transforms.v2.functional import resize
from torchvision.utils import draw_bounding_boxes, make_grid

from inpaintzoo.data.findings import Finding
from inpaintzoo.data.labels.classes import spread_colours
from inpaintzoo.files.published import load_state, published_file, read_file
from inpaintzoo.removal.detection.data import use_coco_tools
from inpaintzoo.removal.detection.network import DetectionNetwork
from inpaintzoo.training_module import TrainingModule
from inpaintzoo.types import ConfigError, InpaintzooError, WeightsError
from inpaintzoo.weights.checkpoints import CHECKPOINT_SUFFIX, read_checkpoint
from inpaintzoo.weights.files import read_weights
from inpaintzoo.weights.networks import Description, build, describe
from inpaintzoo.weights.registry import find_checkpoint

IMAGENET = "imagenet"
METRICS = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large", "mar_100")
_SHOWN = 0.6  # least score in pictures, as in figure 5.6


def _sgd(parameters: Any) -> Optimizer:
    return SGD(parameters, lr=4e-3, momentum=0.9, weight_decay=5e-4)


def read_detector(path: str | Path) -> DetectionNetwork:
    """The detector of a weight file, or of a run's checkpoint or folder; the average of its weights if there is one.

    Raises:
        WeightsError: the file cannot be read, or holds something else.
    """
    file = find_checkpoint(path)
    if file.suffix == CHECKPOINT_SUFFIX:
        checkpoint = read_checkpoint(file)
        description, state = checkpoint.description("network"), checkpoint.average() or checkpoint.state("network")
    else:
        about, state = read_weights(file)
        description = Description(class_path=about.class_path, init_args=about.init_args)
    network = build(description, str(file), state, DetectionNetwork)
    assert isinstance(network, DetectionNetwork)
    load_state(network, state, str(file))
    return network.eval()


@dataclasses.dataclass(frozen=True)
class DetectionResults:
    """What a validation or a test has found.

    Attributes:
        values: mean average precision in [0, 1], by COCO's names.
        classes: average precision of each class, over IoU from .5 to .95.
        rows: for each picture its index and name, how many objects it has, and how many detections of .6 or more.
        milliseconds: for a picture, without non-maximum suppression; None unless measured.
    """

    values: dict[str, float]
    classes: dict[str, float]
    rows: list[dict[str, Any]]
    milliseconds: float | None

    def table(self) -> str:
        """For people."""
        named = {
            "AP .5:.95": "map",
            "AP .5": "map_50",
            "AP .75": "map_75",
            "AP small": "map_small",
            "AP medium": "map_medium",
            "AP large": "map_large",
        }
        lines = [[name, _percent(self.values[key])] for name, key in named.items()]
        lines += [[f"AP .5:.95 {name}", _percent(value)] for name, value in self.classes.items()]
        text = tabulate(lines, tablefmt="plain", colalign=("left", "right"), disable_numparse=True)
        notes = [f"Average precision in percent over {len(self.rows)} pictures, by COCO's 101 points."]
        if self.milliseconds is not None:
            notes.append(f"{self.milliseconds:.2f} ms a picture, without non-maximum suppression.")
        return "\n".join([text, *notes])

    def to_json(self, extra: Mapping[str, Any] | None = None) -> str:
        """Everything but the rows, as JSON; what is not defined is null."""
        content = {
            "count": len(self.rows),
            "summary": {name: _defined(value) for name, value in self.values.items()},
            "classes": {name: _defined(value) for name, value in self.classes.items()},
            "milliseconds": self.milliseconds,
            **(extra or {}),
        }
        return json.dumps(content, indent=2) + "\n"

    def to_csv(self, path: str | Path) -> None:
        """Write the rows."""
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["index", "name", "objects", "detections"])
            writer.writeheader()
            writer.writerows(self.rows)


def _defined(value: float) -> float | None:
    return None if value < 0 else value  # COCO's tools say -1 where there are no objects


def _percent(value: float) -> str:
    return "-" if value < 0 else f"{100 * value:.1f}"


class Detector(TrainingModule):
    """Trains a detection network with torchvision's SSD losses.

    Args:
        network: MPSSD, SSD or FSSD; its classes must be those of the data.
        optimizer: Called with parameters; by default SGD(4e-3, momentum .9, weight decay 5e-4), SSD's for VOC.
        scheduler: Called with the optimizer, returns a scheduler, which steps once an epoch.
        max_iterations: Stop after this many batches per process, resumed runs included.
        accumulate: Batches whose gradients are summed before a step.
        clip_norm: Largest gradient norm; None clips nothing.
        warm_up: Iterations over which the learning rate rises linearly from 0.
        init_from: Weights that a new fit starts from: a detector's file, or `imagenet` for torchvision's VGG16.

    Raises:
        ConfigError: A setting outside its range.
    """

    averaged = "network"

    def __init__(
        self,
        network: DetectionNetwork,
        optimizer: OptimizerCallable = _sgd,
        scheduler: LRSchedulerCallable | None = None,
        max_iterations: int | None = None,
        accumulate: int = 1,
        clip_norm: float | None = None,
        warm_up: int = 0,
        init_from: str | None = None,
    ) -> None:
        super().__init__()
        if accumulate < 1 or (max_iterations is not None and max_iterations < 1) or warm_up < 0:
            raise ConfigError(
                f"Detector: accumulate and max_iterations must be at least 1 and warm_up 0 or more, got {accumulate}, "
                f"{max_iterations} and {warm_up}"
            )
        if clip_norm is not None and clip_norm <= 0:
            raise ConfigError(f"clip_norm must be above 0, got {clip_norm}; leave it out to clip nothing")
        self.network = network
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.max_iterations = max_iterations
        self.accumulate = accumulate
        self.clip_norm = clip_norm
        self.warm_up = warm_up
        self.init_from = init_from
        self.val_results: DetectionResults | None = None
        self.test_results: DetectionResults | None = None
        self._rows: dict[int, dict[str, Any]] = {}
        self._seconds = self._began = 0.0

    # ---------------------------------------------------------------- the contract of the command line

    @property
    def schedule_steps(self) -> int:
        """Epochs."""
        return self.iteration // int(self.trainer.num_training_batches)

    def headlines(self) -> list[str]:
        """Size of the network and of its inputs."""
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        name, side = type(self.network).__name__, self.network.settings["size"]
        return [f"network: {name} {side}, {parameters:,} parameters, {len(self.network.classes)} classes"]

    def measured(self) -> list[str]:
        """COCO's names of mean average precisions."""
        return list(METRICS)

    def optimized(self) -> dict[str, tuple[nn.Module, OptimizerCallable, LRSchedulerCallable | None]]:
        """The network."""
        return {"": (self.network, self.optimizer, self.scheduler)}

    def draw(self, batch: dict[str, Any]) -> tuple[str, Tensor]:
        """Each picture with its true boxes, and with what was found with a score of .6 or more."""
        side = self.network.settings["size"]
        found = self.network(batch["image"])
        pictures = []
        for image, target, detections in zip(batch["image"], batch["target"], found, strict=True):
            pictures += [
                self._drawn(resize(image, [side, side], antialias=True), _resized(each, image, side))
                for each in (target, detections)
            ]
        return "true boxes, detections", make_grid(torch.stack(pictures), nrow=2)

    def _drawn(self, image: Tensor, boxes: Mapping[str, Tensor]) -> Tensor:
        scores = boxes.get("scores", torch.ones(len(boxes["labels"])))
        shown = (scores.cpu() >= _SHOWN) & (boxes["boxes"][:, 2:] > boxes["boxes"][:, :2]).all(1).cpu()
        pixels = (image.float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
        if not shown.any():
            return pixels / 255
        labels = [int(label) - 1 for label in boxes["labels"].cpu()[shown]]
        texts = [self.network.classes[label] for label in labels]
        if "scores" in boxes:
            texts = [f"{text} {score:.2f}" for text, score in zip(texts, scores.cpu()[shown], strict=True)]
        colours = spread_colours(len(self.network.classes))
        return draw_bounding_boxes(pixels, boxes["boxes"].cpu()[shown], texts, [colours[i] for i in labels]) / 255

    def initialise(self, whole: bool = False) -> list[str]:
        """Load `init_from`; a file must fit completely."""
        load_weights(self.network, str(self.init_from))
        return [f"init_from: the network starts from {self.init_from}"]

    def rehearse(self, data: Any) -> list[Finding]:
        """Run a training batch through the losses."""
        try:
            self._check_classes(data)
            batch = next(iter(data.train_dataloader()))
            with torch.no_grad():
                losses = self.network.train()(batch["image"][:2], batch["target"][:2])
        except InpaintzooError as error:
            return [Finding("error", str(error))]
        return [Finding("ok", f"losses: {', '.join(losses)}")]

    # ---------------------------------------------------------------- train

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """One iteration."""
        terms: dict[str, Tensor] = self.network(batch["image"], batch["target"])
        self._raise_if_not_finite(terms)
        steps = (self.iteration + 1) % self.accumulate == 0
        self._backward(torch.stack(list(terms.values())).sum(), steps)
        optimizer: Any = self.optimizers()
        if steps:
            with self._warming_up(optimizer):
                optimizer.step()
            optimizer.zero_grad()
        size = len(batch["image"])
        self.log_dict({f"train/{name}": term.detach() for name, term in terms.items()}, batch_size=size)
        self.log("iteration", float(self.iteration + 1), batch_size=size)
        self.log("learning_rate", float(optimizer.param_groups[0]["lr"]), batch_size=size)
        self.iteration += 1
        schedule: Any = self.lr_schedulers()
        # Here and not in a hook after the epoch: a run that stops after this batch has taken the step.
        if schedule and self.trainer.is_last_batch:
            schedule.step()

    @contextlib.contextmanager
    def _warming_up(self, optimizer: Any) -> Iterator[None]:
        rates = [group["lr"] for group in optimizer.param_groups]
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * min(1.0, (self.iteration + 1) / max(1, self.warm_up))
        yield
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    # ---------------------------------------------------------------- validate, test, predict

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Compare detections with the true boxes."""
        found = self.network(batch["image"])
        targets = [{"boxes": t["boxes"], "labels": t["labels"], "iscrowd": t["ignored"].int()} for t in batch["target"]]
        fresh = [i for i, index in enumerate(batch["index"].tolist()) if index not in self._rows]
        # Several processes repeat pictures, so that all have the same number.
        self.metric.update([found[i] for i in fresh], [targets[i] for i in fresh])
        for i in fresh:
            index, counts = (
                int(batch["index"][i]),
                (len(targets[i]["labels"]), int((found[i]["scores"] >= _SHOWN).sum())),
            )
            self._rows[index] = {
                "index": index,
                "name": batch["name"][i],
                "objects": counts[0],
                "detections": counts[1],
            }

    test_step = validation_step

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> list[Tensor]:
        """Each picture with its detections, `(1, 3, H, W)` in [0, 1]."""
        found = self.network(batch["image"])
        return [self._drawn(image, each)[None] for image, each in zip(batch["image"], found, strict=True)]

    def on_validation_epoch_start(self) -> None:
        """Forget earlier results."""
        self.metric.reset()
        self._rows, self._seconds = {}, 0.0

    def on_test_epoch_start(self) -> None:
        """Forget earlier results, and time the network from its resized input to the heads' outputs."""
        self.on_validation_epoch_start()
        self._hooks = [
            self.network.backbone.register_forward_pre_hook(self._begin),  # type: ignore[union-attr]
            self.network.head.register_forward_hook(self._end),  # type: ignore[union-attr]
        ]

    def _begin(self, *args: Any) -> None:
        self._began = self._now()

    def _end(self, *args: Any) -> None:
        self._seconds += self._now() - self._began

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def on_validation_epoch_end(self) -> None:
        """Log the metrics over the validation set."""
        self.val_results = self._results()
        self.log_dict({f"val/{name}": value for name, value in self.val_results.values.items()})

    def on_test_epoch_end(self) -> None:
        """Keep the results for the report and log them."""
        for hook in self._hooks:
            hook.remove()
        self.test_results = self._results(1000 * self._seconds / max(1, len(self._rows)))
        self.log_dict({f"test/{name}": value for name, value in self.test_results.values.items()})

    def _results(self, milliseconds: float | None = None) -> DetectionResults:
        found = self.metric.compute()
        labels, per_class = (found[key].reshape(-1).tolist() for key in ("classes", "map_per_class"))
        classes = {self.network.classes[int(i) - 1]: value for i, value in zip(labels, per_class, strict=True)}
        rows = [row for _, row in sorted(self._rows.items())]
        return DetectionResults({name: float(found[name]) for name in METRICS}, classes, rows, milliseconds)

    # ---------------------------------------------------------------- set-up and state

    def setup(self, stage: str) -> None:
        """Check the classes, make the metric, and load `init_from`.

        Raises:
            ConfigError: The data has other classes, the packages of the extra `detection` are missing, or a callback
                needs Lightning's own steps.
            WeightsError: `init_from` does not fit.
        """
        super().setup(stage)
        self._check_classes(getattr(self.trainer, "datamodule", None))
        self.metric = _mean_average_precision()
        if self.init_from is not None and self.iteration == 0 and (stage == "fit" or self.trainer.ckpt_path is None):
            for report in self.initialise():
                rank_zero_info(report)

    def _check_classes(self, data: Any) -> None:
        if data is not None and tuple(data.classes) != self.network.classes:
            raise ConfigError(
                f"the network has the classes {', '.join(self.network.classes)}, and the data has "
                f"{', '.join(data.classes)}; set --model.network.classes"
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what an exact resume needs, and how the network was built."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["inpainter"]["networks"] = {"network": describe(self.network)}


def load_weights(network: DetectionNetwork, source: str) -> None:
    """Load a detector's weights, or those of VGG16 trained on ImageNet.

    Raises:
        WeightsError: the file cannot be read or does not fit.
    """
    if source != IMAGENET:
        owner = f"the detector of {source}"
        load_state(network, read_detector(source).state_dict(), owner)
        return
    owner = "the detector's VGG16"
    file = published_file(VGG16_Weights.IMAGENET1K_FEATURES.url, owner)
    state = read_file(file, owner)
    layers: nn.Sequential = network.backbone.base.base  # type: ignore[union-attr, assignment]
    own = {key: value for key, value in layers.state_dict().items() if int(key.partition(".")[0]) < 31}  # not fc6, fc7
    wrong = [key for key, value in own.items() if getattr(state.get(f"features.{key}"), "shape", None) != value.shape]
    if wrong:
        raise WeightsError(f"{file} does not fit a VGG16 of another width: {wrong[0]} differs; use width=64")
    with torch.no_grad():
        for key, value in own.items():
            value.copy_(state[f"features.{key}"])


def _resized(boxes: Mapping[str, Tensor], image: Tensor, side: int) -> dict[str, Tensor]:
    height, width = image.shape[1:]
    factors = torch.tensor([side / width, side / height] * 2, device=boxes["boxes"].device)
    return {**boxes, "boxes": boxes["boxes"] * factors}


def _mean_average_precision() -> Any:
    backend = use_coco_tools()
    try:
        from torchmetrics.detection import MeanAveragePrecision  # an optional package
    except ImportError as error:
        raise ConfigError("detection needs torchmetrics: pip install 'inpaintzoo[detection]'") from error
    metric = MeanAveragePrecision(class_metrics=True, backend=backend)  # type: ignore[arg-type]
    metric.warn_on_many_detections = False  # SSD keeps 200 a picture, COCO counts the best 100
    return metric
