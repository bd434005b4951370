"""PointRend: Mask R-CNN whose masks are refined point by point where they are uncertain, on its outline.

Kirillov, Wu, He, Girshick: "PointRend: Image Segmentation as Rendering", CVPR 2020, https://arxiv.org/abs/1912.08193.
The network is that of the weights released with Detectron2; where torchvision's Mask R-CNN computes something else,
the class that replaces the part says what. Two things differ in training: the box losses are torchvision's (smooth L1
instead of L1), and pictures are trained at one size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN, resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes
from torchvision.ops import FrozenBatchNorm2d, roi_align
from torchvision.ops.poolers import LevelMapper

from inpaintzoo.files.published import load_state, plain_state, published_file, read_file
from inpaintzoo.removal.mask_rcnn import InstanceDetector
from inpaintzoo.types import WeightsError

STRIDES = (4, 8, 16, 32, 64)
"""Of the levels p2 to p6 of the feature pyramid."""
URL = (
    "https://dl.fbaipublicfiles.com/detectron2/PointRend/InstanceSegmentation/"
    "pointrend_rcnn_R_50_FPN_3x_coco/164955410/model_final_edd263.pkl"
)
COCO = tuple(
    name for name in detection.MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"] if name != "N/A"
)  # the background first


def sample(maps: Tensor, points: Tensor) -> Tensor:
    """Interpolate at points.

    Args:
        maps: `(N, C, H, W)`.
        points: `(N, P, 2)`, x and y from 0 at the left and upper border to 1 at the opposite one.

    Returns:
        `(N, C, P)`; maps are 0 outside.
    """
    return F.grid_sample(maps, 2 * points[:, :, None] - 1, align_corners=False)[..., 0]


def grid(side: int, like: Tensor) -> Tensor:
    """The centres of the cells of a grid, `(1, side**2, 2)`, row by row."""
    centres = (torch.arange(side, device=like.device, dtype=like.dtype) + 0.5) / side
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack((x, y), dim=-1).reshape(1, -1, 2)


def in_image(points: Tensor, boxes: Tensor) -> Tensor:
    """Points of boxes, `(R, P, 2)` in 0..1, in pixels of the image; `boxes` `(R, 4)`: left, top, right, bottom."""
    return boxes[:, None, :2] + points * (boxes[:, None, 2:] - boxes[:, None, :2])


def sample_boxes(maps: Tensor, boxes: list[Tensor], points: Tensor) -> Tensor:
    """Interpolate the features of p2 at points of boxes.

    Args:
        maps: `(B, C, H, W)`, of stride 4.
        boxes: `(R_i, 4)` for each image, in pixels of the image; R in all.
        points: `(R, P, 2)` in 0..1 of the box.

    Returns:
        `(R, C, P)`.
    """
    size = torch.tensor(maps.shape[:1:-1], device=maps.device) * STRIDES[0]
    places = 2 * in_image(points, torch.cat(boxes)) / size - 1
    images = zip(maps, places.split([len(each) for each in boxes]), strict=True)
    return torch.cat([F.grid_sample(each[None], at[None], align_corners=False)[0] for each, at in images], 1).transpose(
        0, 1
    )


class CoarseHead(nn.Module):
    """Predicts a mask of 7 x 7 cells for each class from 14 x 14 cells of features."""

    def __init__(self, classes: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels, 2, stride=2)
        self.fc1 = nn.Linear(channels * 49, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.prediction = nn.Linear(hidden, classes * 49)
        nn.init.kaiming_normal_(self.reduce.weight, mode="fan_out", nonlinearity="relu")
        for layer in (self.fc1, self.fc2):
            nn.init.kaiming_uniform_(layer.weight, a=1)
        nn.init.normal_(self.prediction.weight, std=0.001)
        for part in (self.reduce, self.fc1, self.fc2, self.prediction):
            nn.init.zeros_(part.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Map `(R, C, 14, 14)` to logits `(R, classes, 7, 7)`."""
        hidden = self.reduce(features).relu().flatten(1)
        hidden = self.fc2(self.fc1(hidden).relu()).relu()
        return self.prediction(hidden).unflatten(1, (-1, 7, 7))


class PointHead(nn.Module):
    """A small network for single points; each of its layers is given the coarse prediction too."""

    def __init__(self, classes: int, channels: int, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv1d(channels + classes, width, 1)
        self.fc2 = nn.Conv1d(width + classes, width, 1)
        self.fc3 = nn.Conv1d(width + classes, width, 1)
        self.predictor = nn.Conv1d(width + classes, classes, 1)
        for layer in (self.fc1, self.fc2, self.fc3):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.predictor.weight, std=0.001)
        for part in (self.fc1, self.fc2, self.fc3, self.predictor):
            nn.init.zeros_(part.bias)  # type: ignore[arg-type]

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Map features `(R, C, P)` and coarse logits `(R, classes, P)` to logits `(R, classes, P)`."""
        for layer in (self.fc1, self.fc2, self.fc3):
            fine = layer(torch.cat((fine, coarse), dim=1)).relu()
        return self.predictor(torch.cat((fine, coarse), dim=1))


class PointRendMaskHead(nn.Module):
    """Predicts masks of 224 x 224 cells for boxes.

    Args:
        classes: without the background.
        channels: of the features.
        width: of the point head's layers.
        hidden: of the coarse head's layers.
        points: trained in each box.
        oversampling: how many times as many points are drawn, to take the most uncertain of them.
        importance: the share of the points that are taken for their uncertainty; the others are random.
        subdivision_steps: how often the resolution is doubled, starting from 7.
        subdivision_points: computed in each step.
    """

    def __init__(
        self,
        classes: int = 80,
        channels: int = 256,
        width: int = 256,
        hidden: int = 1024,
        points: int = 196,
        oversampling: int = 3,
        importance: float = 0.75,
        subdivision_steps: int = 5,
        subdivision_points: int = 784,
    ) -> None:
        super().__init__()
        if not 0 <= importance <= 1:
            raise ValueError(f"PointRendMaskHead: importance must lie in 0..1, got {importance}")
        if oversampling < 1:
            raise ValueError(f"PointRendMaskHead: oversampling must be at least 1, got {oversampling}")
        self.points, self.oversampling, self.importance = points, oversampling, importance
        self.side = 7 * 2**subdivision_steps
        self.subdivision_points = subdivision_points
        self.coarse_head = CoarseHead(classes, channels, hidden)
        self.point_head = PointHead(classes, channels, width)

    def coarse(self, features: Tensor, boxes: list[Tensor]) -> Tensor:
        """Logits `(R, classes, 7, 7)` for boxes, from p2."""
        regular = grid(14, features).expand(sum(map(len, boxes)), -1, -1)
        return self.coarse_head(sample_boxes(features, boxes, regular).unflatten(2, (14, 14)))

    def render(self, features: Tensor, boxes: list[Tensor], labels: Tensor) -> Tensor:
        """Masks of boxes: a coarse one, refined where it is uncertain each time that its resolution is doubled.

        Args:
            features: `(B, C, H, W)`, p2.
            boxes: `(R_i, 4)` for each image.
            labels: `(R,)`, from 1; 0 is the background.

        Returns:
            Logits `(R, 1, 224, 224)`.
        """
        if not len(labels):
            return features.new_zeros(0, 1, self.side, self.side)
        coarse = self.coarse(features, boxes)

        def logits_at(points: Tensor) -> Tensor:
            logits = self.point_head(sample_boxes(features, boxes, points), sample(coarse, points))
            return logits[torch.arange(len(labels)), labels - 1]  # steps do not mix classes: the others are not needed

        side = 7
        while 4 * side**2 <= self.subdivision_points and side < self.side:
            side *= 2  # all points would be computed again in the next step
        logits = logits_at(grid(side, features).expand(len(labels), -1, -1)).view(-1, 1, side, side)
        while side < self.side:
            side *= 2
            logits = F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=False)
            flat = logits.flatten(1)
            cells = (-flat.abs()).topk(min(self.subdivision_points, side**2)).indices
            points = (torch.stack((cells % side, cells // side), dim=-1) + 0.5) / side
            logits = flat.scatter(1, cells, logits_at(points)).view(-1, 1, side, side)
        return logits

    def losses(
        self, features: Tensor, boxes: list[Tensor], labels: Tensor, masks: list[Tensor], matched: list[Tensor]
    ) -> dict[str, Tensor]:
        """Binary cross-entropy of the coarse masks and of points.

        Args:
            features: `(B, C, H, W)`, p2.
            boxes: `(R_i, 4)` for each image.
            labels: `(R,)`, from 1.
            masks: `(G_i, H, W)` of each image, 0 or 1.
            matched: `(R_i,)` for each image: which of its masks belongs to a box.
        """
        if not len(labels):
            nothing = features.sum() * 0
            return {"loss_mask": nothing, "loss_mask_point": nothing}
        coarse, boxes_of = self.coarse(features, boxes), torch.cat(boxes)
        rows = torch.arange(len(labels))
        with torch.no_grad():
            wanted = [
                roi_align(mask[:, None].to(boxes_of), torch.cat((index[:, None].to(box), box), 1), 7, aligned=True)
                for mask, index, box in zip(masks, matched, boxes, strict=True)
            ]
            points = self._uncertain_points(coarse[rows, labels - 1].unsqueeze(1))
            places = in_image(points, boxes_of).split([len(box) for box in boxes])
            truth = torch.cat(
                [
                    sample(mask[None, None, number].to(boxes_of), at[None] / at.new_tensor(mask.shape[:0:-1]))[0]
                    for mask, index, image in zip(masks, matched, places, strict=True)
                    for number, at in zip(index, image, strict=True)
                ]
            )
        logits = self.point_head(sample_boxes(features, boxes, points), sample(coarse, points))
        return {
            "loss_mask": F.binary_cross_entropy_with_logits(
                coarse[rows, labels - 1], (torch.cat(wanted)[:, 0] >= 0.5).to(coarse)
            ),
            "loss_mask_point": F.binary_cross_entropy_with_logits(logits[rows, labels - 1], truth),
        }

    def _uncertain_points(self, coarse: Tensor) -> Tensor:
        """Points to train, `(R, points, 2)`: of many random ones those whose logits are nearest to 0, and others."""
        uncertain = int(self.importance * self.points)
        drawn = torch.rand(len(coarse), self.points * self.oversampling, 2, device=coarse.device)
        nearest = (-sample(coarse, drawn)[:, 0].abs()).topk(uncertain).indices
        chosen = drawn.gather(1, nearest[..., None].expand(-1, -1, 2))
        others = torch.rand(len(coarse), self.points - uncertain, 2, device=coarse.device)
        return torch.cat((chosen, others), dim=1)


class PointRendHeads(RoIHeads):
    """Torchvision's box head with PointRend's mask head, which is trained on the boxes that the box head predicts."""

    mask_head: PointRendMaskHead

    def has_mask(self) -> bool:
        """Targets need masks."""
        return True

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """As torchvision's; masks are probabilities `(N, 1, 224, 224)` within the boxes."""
        if self.training:
            proposals, matched, labels, regression = self.select_training_samples(proposals, targets)
        logits, deltas = self.box_predictor(self.box_head(self.box_roi_pool(features, proposals, image_shapes)))
        if not self.training:
            boxes, scores, labels = self.postprocess_detections(logits, deltas, proposals, image_shapes)
            masks = self.mask_head.render(features["0"], boxes, torch.cat(labels)).sigmoid()
            each = zip(boxes, labels, scores, masks.split([len(box) for box in boxes]), strict=True)
            return [dict(zip(("boxes", "labels", "scores", "masks"), one, strict=True)) for one in each], {}

        assert targets is not None
        classifier, box_loss = fastrcnn_loss(logits, deltas, labels, regression)
        decoded = self.box_coder.decode(deltas.detach(), proposals)  # (R, classes, 4)
        classes = torch.cat(labels)
        predicted = decoded[torch.arange(len(classes)), classes].split([len(each) for each in labels])
        objects = [each > 0 for each in labels]
        losses = self.mask_head.losses(
            features["0"],
            [box[mine] for box, mine in zip(predicted, objects, strict=True)],
            classes[classes > 0],
            [target["masks"] for target in targets],
            [index[mine] for index, mine in zip(matched, objects, strict=True)],
        )
        return [], {"loss_classifier": classifier, "loss_box_reg": box_loss, **losses}


class AlignedPooler(nn.Module):
    """RoIAlign that is aligned: the first pixel's centre is at 0.5; torchvision's `MultiScaleRoIAlign` has it at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.level = LevelMapper(2, 5)

    def forward(self, features: dict[str, Tensor], boxes: list[Tensor], image_shapes: object) -> Tensor:
        """Features `(R, C, 7, 7)` of boxes, each from the level that fits its size."""
        rois = torch.cat([F.pad(box, (1, 0), value=image) for image, box in enumerate(boxes)])
        levels = self.level(boxes)
        pooled = rois.new_zeros(len(rois), features["0"].shape[1], 7, 7)
        for level, stride in enumerate(STRIDES[:4]):
            mine = torch.where(levels == level)[0]
            pooled[mine] = roi_align(features[str(level)], rois[mine], 7, 1 / stride, aligned=True)
        return pooled


class Anchors(AnchorGenerator):
    """Anchors that are not rounded, at the levels' exact strides; torchvision divides sizes, which may be odd."""

    def __init__(self) -> None:
        super().__init__(tuple((8 * stride,) for stride in STRIDES), ((0.5, 1.0, 2.0),) * 5)

    def generate_anchors(
        self,
        scales: list[int],
        aspect_ratios: list[float],
        dtype: torch.dtype = torch.float32,
        device: torch.device = torch.device("cpu"),  # noqa: B008  (torchvision's signature)
    ) -> Tensor:
        """Boxes around 0 with these sides of a square of equal area, and these ratios of height to width."""
        ratios = torch.tensor(aspect_ratios, dtype=dtype, device=device).sqrt()
        half = torch.stack((scales[0] / ratios, scales[0] * ratios), dim=1) / 2
        return torch.cat((-half, half), dim=1)

    def grid_anchors(self, grid_sizes: list[list[int]], strides: list[list[Tensor]]) -> list[Tensor]:
        """Torchvision's, with the levels' own strides."""
        return super().grid_anchors(grid_sizes, [[torch.tensor(stride)] * 2 for stride in STRIDES])


class Detectron2Transform(GeneralizedRCNNTransform):
    """What Detectron2 does before and after: blue first, values to 255, smooth scaling, exact pasting of masks."""

    def __init__(self, min_size: int, max_size: int) -> None:
        super().__init__(min_size, max_size, [103.53, 116.28, 123.675], [1.0, 1.0, 1.0])

    def normalize(self, image: Tensor) -> Tensor:
        """Map `(3, H, W)` RGB in [0, 1] to what the network was trained with."""
        return super().normalize(image.flip(0) * 255)

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        """Scale the shorter side to `min_size`, or less if the longer one would exceed `max_size`."""
        sides = image.shape[-2:]
        scale = min(self.min_size[-1] / min(sides), self.max_size / max(sides))
        size = [int(side * scale + 0.5) for side in sides]
        image = F.interpolate(image[None], size, mode="bilinear", antialias=True, align_corners=False)[0]
        if target is not None:
            target = {**target, "boxes": resize_boxes(target["boxes"], list(sides), size)}
            if "masks" in target:  # if not, the heads say so
                target["masks"] = F.interpolate(target["masks"][:, None].float(), size)[:, 0]
        return image, target

    def postprocess(
        self,
        result: list[dict[str, Tensor]],
        image_shapes: list[tuple[int, int]],
        original_image_sizes: list[tuple[int, int]],
    ) -> list[dict[str, Tensor]]:
        """Bring boxes and masks, `(N, 1, H, W)` bool, to the size of the picture."""
        if self.training:
            return result
        for found, shape, size in zip(result, image_shapes, original_image_sizes, strict=True):
            found["boxes"] = resize_boxes(found["boxes"], list(shape), list(size))
            masks = torch.zeros(len(found["boxes"]), 1, *size, dtype=torch.bool, device=found["masks"].device)
            for whole, mask, box in zip(masks, found["masks"], found["boxes"], strict=True):
                left, top, right, bottom = (int(edge) for edge in box)
                y, x = torch.meshgrid(
                    (torch.arange(top, min(bottom + 1, size[0]), device=box.device) + 0.5 - box[1]) / (box[3] - box[1]),
                    (torch.arange(left, min(right + 1, size[1]), device=box.device) + 0.5 - box[0]) / (box[2] - box[0]),
                    indexing="ij",
                )
                inside = sample(mask[None], torch.stack((x, y), dim=-1).view(1, -1, 2)).view(x.shape)
                whole[0, top : top + len(x), left : left + x.shape[1]] = inside >= 0.5
            found["masks"] = masks
        return result


class PointRendNetwork(GeneralizedRCNN):
    """Mask R-CNN with PointRend; called as torchvision's detectors: losses in training, instances otherwise.

    Args:
        classes: without the background.
        backbone: levels "0" to "3" and "pool" of strides 4 to 64, `out_channels` wide; None: a ResNet-50 with FPN whose
            stem and first stage are frozen, and whose strides are in the 1x1 convolutions.
        mask_head: PointRend's; None: the one with the paper's values.
        min_size: length of the shorter side to which pictures are scaled.
        max_size: limit of the longer side.
    """

    def __init__(
        self,
        classes: int = 80,
        backbone: nn.Module | None = None,
        mask_head: PointRendMaskHead | None = None,
        min_size: int = 800,
        max_size: int = 1333,
    ) -> None:
        backbone = backbone or _resnet50()
        channels: int = backbone.out_channels  # type: ignore[assignment]
        kept = {"training": 2000, "testing": 1000}
        rpn = RegionProposalNetwork(
            Anchors(), RPNHead(channels, 3), 0.7, 0.3, 256, 0.5, kept, kept | {"training": 1000}, 0.7
        )
        box_head, predictor = TwoMLPHead(channels * 49, 1024), FastRCNNPredictor(1024, classes + 1)
        heads = PointRendHeads(AlignedPooler(), box_head, predictor, 0.5, 0.5, 512, 0.25, None, 0.05, 0.5, 100)
        heads.mask_head = mask_head or PointRendMaskHead(classes, channels)
        super().__init__(backbone, rpn, heads, Detectron2Transform(min_size, max_size))


def _resnet50() -> BackboneWithFPN:
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d, trainable_layers=3
    )
    for stage in (backbone.body.layer2, backbone.body.layer3, backbone.body.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    return backbone


def load_network(file: Path, owner: str) -> PointRendNetwork:
    """The network for COCO, with the weights of Detectron2's `.pkl` or a `.safetensors` file with our names.

    Raises:
        WeightsError: the file cannot be read safely, or does not fit.
    """
    content = read_file(file, owner)
    state = plain_state(content.get("model", content), file, owner)
    with torch.device("meta"):
        network = PointRendNetwork()
    load_state(network, from_detectron2(state) if file.suffix == ".pkl" else state, owner)
    return network


class PointRend(InstanceDetector):
    """Finds the objects of a picture, with sharp outlines; `PointRend.pretrained()` has COCO's 80 classes."""

    @classmethod
    def pretrained(cls, weights: str | Path | None = None, threshold: float = 0.5, device: str = "auto") -> PointRend:
        """The ResNet-50 FPN with Detectron2's weights for COCO, downloaded on first use (about 240 MB).

        Args:
            weights: path of a local copy of the file, or of what `inpaintzoo convert --from pointrend` made of it.
            threshold: instances with a smaller score do not count.
            device: where the network runs.

        Raises:
            WeightsError: the weights are not there and cannot be downloaded, or do not fit.
        """
        owner = "the segmenter PointRend (GrabCut needs no weights)"
        network = load_network(published_file(URL, owner, weights), owner)
        network.roi_heads.score_thresh = max(threshold, 0.05)  # a mask as large as the picture for each: only if needed
        return cls(network, COCO, threshold, device)


_RENAMED = (
    (r"backbone\.bottom_up\.stem\.conv1\.norm\.", "backbone.body.bn1."),
    (r"backbone\.bottom_up\.stem\.", "backbone.body."),
    (r"backbone\.bottom_up\.res2\.", "backbone.body.layer1."),
    (r"backbone\.bottom_up\.res3\.", "backbone.body.layer2."),
    (r"backbone\.bottom_up\.res4\.", "backbone.body.layer3."),
    (r"backbone\.bottom_up\.res5\.", "backbone.body.layer4."),
    (r"\.conv(\d)\.norm\.", r".bn\1."),
    (r"\.shortcut\.norm\.", ".downsample.1."),
    (r"\.shortcut\.", ".downsample.0."),
    (r"proposal_generator\.rpn_head\.conv\.", "rpn.head.conv.0.0."),
    (r"proposal_generator\.rpn_head\.objectness_logits\.", "rpn.head.cls_logits."),
    (r"proposal_generator\.rpn_head\.anchor_deltas\.", "rpn.head.bbox_pred."),
    (r"roi_heads\.box_head\.fc1\.", "roi_heads.box_head.fc6."),
    (r"roi_heads\.box_head\.fc2\.", "roi_heads.box_head.fc7."),
    # Names before Detectron2 0.5, and since.
    (r"roi_heads\.mask_coarse_head\.", "roi_heads.mask_head.coarse_head."),
    (r"roi_heads\.mask_point_head\.", "roi_heads.mask_head.point_head."),
    (r"\.coarse_head\.coarse_mask_fc", ".coarse_head.fc"),
    (r"\.coarse_head\.reduce_spatial_dim_conv\.", ".coarse_head.reduce."),
)


def from_detectron2(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of Detectron2's PointRend to those of `PointRendNetwork`.

    Args:
        state: under Detectron2's names. What the network computes itself, pixel values and anchors, must agree.

    Returns:
        All tensors; the background is the first class instead of the last, with a box that is never used.

    Raises:
        WeightsError: pixel values or anchors are others, or a name or shape cannot be Detectron2's.
    """
    anchors, transform = Anchors().cell_anchors, Detectron2Transform(800, 1333)
    fixed = {f"proposal_generator.anchor_generator.cell_anchors.{level}": each for level, each in enumerate(anchors)}
    fixed |= {"pixel_mean": torch.tensor(transform.image_mean), "pixel_std": torch.tensor(transform.image_std)}
    converted = {}
    for name, tensor in state.items():
        if not isinstance(name, str) or not tensor.ndim:
            raise WeightsError(
                f"PointRend: the file has a tensor {name!r} of shape {tuple(tensor.shape)}; it is another's"
            )
        if (ours := fixed.get(name)) is not None:
            if tensor.numel() != ours.numel() or not torch.allclose(tensor.float().view(ours.shape), ours, atol=1e-3):
                raise WeightsError(
                    f"PointRend: {name} of the file is {tensor.flatten().tolist()}, not {ours.flatten().tolist()}"
                )
            continue
        if level := re.match(r"backbone\.fpn_(lateral|output)(\d)\.", name):
            part = {"lateral": "inner_blocks", "output": "layer_blocks"}[level[1]]
            name = f"backbone.fpn.{part}.{int(level[2]) - 2}.0.{name[level.end() :]}"
        for theirs, our in _RENAMED:
            name = re.sub(theirs, our, name)
        if name.startswith("roi_heads.box_predictor.cls_score."):
            tensor = tensor.roll(1, 0)
        elif name.startswith("roi_heads.box_predictor.bbox_pred."):
            tensor = torch.cat((torch.zeros_like(tensor[:4]), tensor))
        converted[name] = tensor
    return converted
