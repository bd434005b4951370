"""PointRend: its parts against slow references, Detectron2's weights by name, and an object learnt by heart."""

import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from inpaintzoo.commands import main
from inpaintzoo.removal import PointRend
from inpaintzoo.removal.point_rend import (
    AlignedPooler,
    Anchors,
    Detectron2Transform,
    PointRendMaskHead,
    PointRendNetwork,
    from_detectron2,
    grid,
    sample,
    sample_boxes,
)
from inpaintzoo.types import WeightsError

# --- points --------------------------------------------------------------------------------------------------------


def bilinear(plane, x, y):
    """The value at a point; pixels have their centres at .5, and 0 surrounds them."""
    height, width = len(plane), len(plane[0])
    x, y = x - 0.5, y - 0.5
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < height and 0 <= column < width:
                total += plane[row][column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


def test_points_by_hand():
    plane = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    points = torch.tensor([[[0.25, 0.25], [0.75, 0.25], [0.5, 0.5], [0.25, 0.5], [0.0, 0.0]]])
    assert sample(plane, points).tolist() == [[[1.0, 2.0, 2.5, 2.0, 0.25]]]
    assert grid(2, plane).tolist() == [[[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]]


def test_points_of_boxes_in_two_images():
    torch.manual_seed(0)
    maps, points = torch.rand(2, 3, 6, 8), torch.rand(3, 5, 2)
    boxes = [torch.tensor([[2.0, 3.0, 20.0, 17.0]]), torch.tensor([[-4.0, 0.0, 9.0, 9.0], [10.0, 4.0, 40.0, 30.0]])]
    found = sample_boxes(maps, boxes, points)
    for number, (image, box) in enumerate([(0, boxes[0][0]), (1, boxes[1][0]), (1, boxes[1][1])]):
        for point in range(5):
            x, y = (box[:2] + points[number, point] * (box[2:] - box[:2])).tolist()
            expected = [bilinear(plane, x / 4, y / 4) for plane in maps[image].tolist()]
            torch.testing.assert_close(found[number, :, point], torch.tensor(expected), atol=1e-5, rtol=1e-5)


# --- inference -----------------------------------------------------------------------------------------------------


def slow_render(head, features, box, label):
    """Algorithm of section 3.1, one point at a time, from the resolution at which all points would be computed."""
    coarse = head.coarse(features, [box])
    planes, coarse_planes = features[0].tolist(), coarse[0].tolist()
    left, top, right, bottom = box[0].tolist()

    def predict(x, y):
        fine = [bilinear(each, (left + x * (right - left)) / 4, (top + y * (bottom - top)) / 4) for each in planes]
        rough = [bilinear(each, 7 * x, 7 * y) for each in coarse_planes]
        hidden = torch.tensor(fine)
        for layer in (head.point_head.fc1, head.point_head.fc2, head.point_head.fc3):
            hidden = (layer.weight[:, :, 0] @ torch.cat((hidden, torch.tensor(rough))) + layer.bias).relu()
        last = head.point_head.predictor
        return float((last.weight[:, :, 0] @ torch.cat((hidden, torch.tensor(rough))) + last.bias)[label - 1])

    side = 7
    while 4 * side * side <= head.subdivision_points:
        side *= 2
    mask = [[predict((x + 0.5) / side, (y + 0.5) / side) for x in range(side)] for y in range(side)]
    while side < head.side:
        side *= 2
        padded = [[row[0], *row, row[-1]] for row in mask]
        padded = [padded[0], *padded, padded[-1]]
        wide = [[bilinear(padded, (x + 0.5) / 2 + 1, (y + 0.5) / 2 + 1) for x in range(side)] for y in range(side)]
        cells = sorted((abs(wide[y][x]), y, x) for y in range(side) for x in range(side))
        for _, y, x in cells[: head.subdivision_points]:
            wide[y][x] = predict((x + 0.5) / side, (y + 0.5) / side)
        mask = wide
    return torch.tensor(mask)


@pytest.mark.parametrize("points", [20, 196], ids=["from 7", "from 14"])
@torch.no_grad()
def test_subdivision_is_the_slow_one(points):
    torch.manual_seed(0)
    head = PointRendMaskHead(3, 4, 5, 6, subdivision_steps=2, subdivision_points=points)
    for layer in (head.coarse_head.prediction, head.point_head.predictor):
        nn.init.normal_(layer.weight)  # of the size that training leads to: no ties between points
    features, box = torch.randn(1, 4, 10, 12), torch.tensor([[5.0, 3.0, 41.0, 33.0]])
    found = head.render(features, [box], torch.tensor([2]))
    assert found.shape == (1, 1, 28, 28)
    torch.testing.assert_close(found[0, 0], slow_render(head, features, box, 2), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_paper_s_masks_have_224_cells_from_four_runs_of_the_point_head():
    head = PointRendMaskHead(2, 4, 5, 6)
    runs = []
    head.point_head.register_forward_hook(lambda module, inputs, output: runs.append(output.shape[2]))
    boxes = [torch.tensor([[0.0, 0.0, 20.0, 20.0]]), torch.zeros(0, 4)]
    assert head.render(torch.randn(2, 4, 8, 8), boxes, torch.tensor([1])).shape == (1, 1, 224, 224)
    assert runs == [784, 784, 784, 784]
    assert head.render(torch.randn(1, 4, 8, 8), boxes[1:], torch.zeros(0).long()).shape == (0, 1, 224, 224)


# --- training ------------------------------------------------------------------------------------------------------


def test_most_trained_points_lie_where_the_coarse_mask_is_uncertain():
    torch.manual_seed(0)
    ramp = torch.linspace(-3, 3, 7).expand(2, 1, 7, 7)  # 0 in the middle column
    points = PointRendMaskHead(1, 4)._uncertain_points(ramp)
    assert points.shape == (2, 196, 2) and points.min() >= 0 and points.max() <= 1
    distance = (points[..., 0] - 0.5).abs()
    assert (distance[:, :147] < 0.2).all()  # a quarter of 588 lies within .125
    assert (distance[:, 147:] > 0.3).any(dim=1).all()


def iou(a, b):
    return float((a & b).sum() / (a | b).sum())


def outline(mask):
    """Cells within two of the mask's border."""
    inside = mask.float()[None, None]
    grown, shrunk = nn.functional.max_pool2d(inside, 5, 1, 2), -nn.functional.max_pool2d(-inside, 5, 1, 2)
    return (grown - shrunk)[0, 0] > 0


def test_the_outline_of_a_learnt_object_beats_its_coarse_mask():
    torch.manual_seed(0)
    y, x = torch.meshgrid(*[torch.arange(128.0) - 63.5] * 2, indexing="ij")
    star = (x.hypot(y) < 40 + 12 * torch.sin(9 * torch.atan2(y, x))).float()  # finer than 7 x 7 cells
    features = torch.cat((nn.functional.avg_pool2d(star[None, None], 4), torch.rand(1, 7, 32, 32)), dim=1)
    box, label = [torch.tensor([[8.0, 8.0, 120.0, 120.0]])], torch.tensor([1])
    head = PointRendMaskHead(1, 8, 32, 64)
    optimizer = torch.optim.Adam(head.parameters(), 2e-3)
    for _ in range(150):
        losses = head.losses(features, box, label, [star[None]], [torch.tensor([0])])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in head.parameters())
    with torch.no_grad():
        fine = head.render(features, box, label)[0, 0] > 0
        coarse = nn.functional.interpolate(head.coarse(features, box), (224, 224), mode="bilinear")[0, 0] > 0
    truth = sample(star[None, None], (8 + 112 * grid(224, star)) / 128).view(224, 224) > 0.5
    edge = outline(truth)
    assert iou(coarse, truth) > 0.5 and iou(fine, truth) > 0.95
    assert iou(outline(fine), edge) > iou(outline(coarse), edge) + 0.1


class Pyramid(nn.Module):
    """A backbone of five small convolutions."""

    out_channels = 8

    def __init__(self):
        super().__init__()
        self.levels = nn.ModuleList(nn.Conv2d(3, 8, 3, padding=1) for _ in range(5))

    def forward(self, image):
        names = ("0", "1", "2", "3", "pool")
        return {
            name: level(nn.functional.interpolate(image / 128, [-(-side // stride) for side in image.shape[2:]]))
            for name, level, stride in zip(names, self.levels, (4, 8, 16, 32, 64), strict=True)
        }


def test_the_whole_network_trains_and_finds_like_torchvision_s():
    torch.manual_seed(0)
    network = PointRendNetwork(2, Pyramid(), PointRendMaskHead(2, 8, 8, 16), min_size=64, max_size=100)
    images = [torch.rand(3, 48, 64), torch.rand(3, 40, 40)]
    masks = torch.zeros(1, 48, 64, dtype=torch.bool)
    masks[0, 10:30, 8:40] = True
    some = {"boxes": torch.tensor([[8.0, 10.0, 40.0, 30.0]]), "labels": torch.tensor([2]), "masks": masks}
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long(), "masks": torch.zeros(0, 40, 40)}
    losses = network(images, [some, none])
    assert set(losses) == {
        *("loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_mask", "loss_mask_point")
    }
    sum(losses.values()).backward()
    assert all(torch.isfinite(each) for each in losses.values())
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    assert sum(network(images[1:], [none]).values()).isfinite()
    with pytest.raises(ValueError, match="masks"):
        network(images[:1], [{name: some[name] for name in ("boxes", "labels")}])
    found = PointRend(network, ("background", "person", "dog"), 0.05, "cpu").open(images[0])
    assert found.size == (48, 64) and all(each.mask.shape == (48, 64) for each in found.instances)
    assert found.instances


# --- the released model's settings ---------------------------------------------------------------------------------


def test_pictures_enter_blue_first_and_scaled():
    transform = Detectron2Transform(80, 100).eval()
    picture = torch.rand(3, 40, 80)
    (found,) = transform([picture])[0].tensors
    assert found.shape == (3, 64, 128) and transform([picture])[0].image_sizes == [(50, 100)]
    flat = transform([torch.tensor([0.2, 0.4, 0.6])[:, None, None].expand(3, 40, 40)])[0].tensors[0, :, 10, 10]
    torch.testing.assert_close(flat, torch.tensor([153 - 103.53, 102 - 116.28, 51 - 123.675]))


def test_anchors_are_exact():
    anchors = Anchors()
    assert anchors.cell_anchors[0][1].tolist() == [-16, -16, 16, 16]
    sides = anchors.cell_anchors[4][:, 2:] - anchors.cell_anchors[4][:, :2]
    torch.testing.assert_close(sides[0], torch.tensor([512 * 2**0.5, 512 / 2**0.5]))
    torch.testing.assert_close(sides[2], sides[0].flip(0))
    placed = anchors.grid_anchors([(1, 2)] * 5, None)
    assert (placed[4][3] - placed[4][0]).tolist() == [64, 0, 64, 0]


def test_boxes_are_pooled_aligned():
    """A ramp's value at the centre of each of 7 x 7 cells, with pixel centres at .5."""
    ramp = torch.arange(32.0).expand(1, 1, 32, 32) + 0.5
    pooled = AlignedPooler()({name: ramp for name in "0123"}, [torch.tensor([[16.0, 16.0, 72.0, 72.0]])], None)
    torch.testing.assert_close(pooled[0, 0, 0], 4 + (torch.arange(7.0) + 0.5) * 2)


def test_masks_are_pasted_to_the_pixel():
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    found = {"boxes": torch.tensor([[2.0, 4.0, 10.0, 12.0]]), "masks": mask}
    (pasted,) = Detectron2Transform(8, 8).eval().postprocess([found], [(16, 16)], [(32, 32)])
    assert pasted["boxes"].tolist() == [[4, 8, 20, 24]]
    assert pasted["masks"].shape == (1, 1, 32, 32)
    assert torch.nonzero(pasted["masks"][0, 0]).aminmax(dim=0).min.tolist() == [8, 4]
    assert torch.nonzero(pasted["masks"][0, 0]).aminmax(dim=0).max.tolist() == [23, 11]


# --- Detectron2's weights ------------------------------------------------------------------------------------------


def detectron2_shapes(old):
    """Names and shapes in Detectron2's file, written down from its source."""
    shapes = {}

    def layer(name, *weight, bias=True):
        shapes[f"{name}.weight"] = weight
        if bias:
            shapes[f"{name}.bias"] = weight[:1]

    def normed(name, *weight):
        layer(name, *weight, bias=False)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.norm.{part}"] = weight[:1]

    normed("backbone.bottom_up.stem.conv1", 64, 3, 7, 7)
    inputs = 64
    for stage, blocks in enumerate((3, 4, 6, 3), start=2):
        width = 16 * 2**stage
        for block in range(blocks):
            at = f"backbone.bottom_up.res{stage}.{block}"
            if block == 0:
                normed(f"{at}.shortcut", 4 * width, inputs, 1, 1)
            normed(f"{at}.conv1", width, inputs, 1, 1)
            normed(f"{at}.conv2", width, width, 3, 3)
            normed(f"{at}.conv3", 4 * width, width, 1, 1)
            inputs = 4 * width
        layer(f"backbone.fpn_lateral{stage}", 256, inputs, 1, 1)
        layer(f"backbone.fpn_output{stage}", 256, 256, 3, 3)
    layer("proposal_generator.rpn_head.conv", 256, 256, 3, 3)
    layer("proposal_generator.rpn_head.objectness_logits", 3, 256, 1, 1)
    layer("proposal_generator.rpn_head.anchor_deltas", 12, 256, 1, 1)
    layer("roi_heads.box_head.fc1", 1024, 256 * 49)
    layer("roi_heads.box_head.fc2", 1024, 1024)
    layer("roi_heads.box_predictor.cls_score", 81, 1024)
    layer("roi_heads.box_predictor.bbox_pred", 320, 1024)
    coarse, fc = ("mask_coarse_head", "coarse_mask_fc") if old else ("mask_head.coarse_head", "fc")
    layer(f"roi_heads.{coarse}.reduce_spatial_dim_conv", 256, 256, 2, 2)
    layer(f"roi_heads.{coarse}.{fc}1", 1024, 256 * 49)
    layer(f"roi_heads.{coarse}.{fc}2", 1024, 1024)
    layer(f"roi_heads.{coarse}.prediction", 80 * 49, 1024)
    point = "mask_point_head" if old else "mask_head.point_head"
    for number in (1, 2, 3):
        layer(f"roi_heads.{point}.fc{number}", 256, 336, 1)
    layer(f"roi_heads.{point}.predictor", 80, 336, 1)
    return shapes


FIXED = {
    "pixel_mean": torch.tensor([103.53, 116.28, 123.675]).view(3, 1, 1),
    "pixel_std": torch.ones(3, 1, 1),
    "proposal_generator.anchor_generator.cell_anchors.0": torch.tensor(
        [[-22.6274, -11.3137, 22.6274, 11.3137], [-16, -16, 16, 16], [-11.3137, -22.6274, 11.3137, 22.6274]]
    ),
}


@pytest.mark.parametrize("old", [False, True])
def test_every_tensor_of_detectron2_has_its_place(old):
    state = {name: torch.zeros(shape) for name, shape in detectron2_shapes(old).items()}
    for number, tensor in enumerate(state.values()):
        tensor.view(-1)[0] = number + 1
    scores = state["roi_heads.box_predictor.cls_score.bias"]
    scores.copy_(torch.arange(81))
    state["roi_heads.box_predictor.bbox_pred.bias"].copy_(torch.arange(320) // 4)
    converted = from_detectron2(state | FIXED)
    with torch.device("meta"):
        network = PointRendNetwork()
    assert {name: each.shape for name, each in converted.items()} == {
        name: each.shape for name, each in network.state_dict().items()
    }
    assert converted["roi_heads.box_predictor.cls_score.bias"].tolist() == [80, *range(80)]
    assert converted["roi_heads.box_predictor.bbox_pred.bias"].view(81, 4)[1:, 0].tolist() == list(range(80))
    first = [float(each.view(-1)[0]) for name, each in converted.items() if "box_predictor" not in name]
    assert len(set(first)) == len(first)  # no tensor twice
    body = network.backbone.body
    assert body.layer2[0].conv1.stride == (2, 2) and body.layer2[0].conv2.stride == (1, 1)
    assert body.bn1.eps == 1e-5
    with pytest.raises(WeightsError, match="pixel_mean"):
        from_detectron2(state | {"pixel_mean": FIXED["pixel_mean"].flip(0)})
    for strange in ({1: torch.zeros(1)}, {"roi_heads.box_predictor.bbox_pred.bias": torch.tensor(1.0)}):
        with pytest.raises(WeightsError, match="another's"):
            from_detectron2(strange)


def test_the_published_file_loads_and_others_are_refused(tmp_path):
    model = {name: np.zeros(shape, np.float16) for name, shape in detectron2_shapes(True).items()}
    (tmp_path / "model_final.pkl").write_bytes(pickle.dumps({"model": model, "__author__": "Detectron2"}))
    made = tmp_path / "pointrend.safetensors"
    convert = ["convert", "--from", "pointrend", str(tmp_path / "model_final.pkl"), "-o", str(made), "--dtype", "fp16"]
    assert main(convert) == 0 and made.stat().st_size < 130e6
    segmenter = PointRend.pretrained(made, device="cpu")
    assert {each.dtype for each in segmenter.network.parameters()} == {torch.float32}
    assert len(segmenter.classes) == 81 and segmenter.classes[1] == "person" and segmenter.classes[80] == "toothbrush"
    assert not any(each.is_meta for each in (*segmenter.network.parameters(), *segmenter.network.buffers()))
    segmenter.network.transform.min_size = (64,)
    assert segmenter.open(torch.rand(3, 40, 60)).instances == []
    name = "roi_heads.mask_point_head.fc1.bias"
    (tmp_path / "part.pkl").write_bytes(pickle.dumps({"model": {name: model[name]}}))
    with pytest.raises(WeightsError, match=r"GrabCut needs no weights.*does not fit its network"):
        PointRend.pretrained(tmp_path / "part.pkl")
    assert main([*convert[:3], str(tmp_path / "part.pkl"), "-o", str(tmp_path / "new.safetensors")]) == 1
    assert not (tmp_path / "new.safetensors").exists()
    with pytest.raises(WeightsError, match=r"GrabCut needs no weights.*download it from http"):
        PointRend.pretrained(tmp_path / "no.pkl")
