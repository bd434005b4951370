"""What every generator, discriminator, loss, mask and metric promises; `needs.py` finds them by their public names."""

import json

import numpy as np
import pytest
import torch
from contract import assert_the_hole_is_not_seen, three_pairs
from needs import DISCRIMINATORS, GENERATORS, LOSSES, MASKS, METRICS, NEEDS, OBJECTIVES, arguments_of, need
from PIL import Image

from inpaintzoo.data.masks import mask_from_recipe
from inpaintzoo.metrics import ImageMetric
from inpaintzoo.types import DataError


def test_the_tables_are_of_classes_that_exist():
    assert all(len(kinds) > 4 for kinds in (GENERATORS, DISCRIMINATORS, OBJECTIVES, LOSSES, MASKS, METRICS))
    assert set(NEEDS) <= {*GENERATORS, *DISCRIMINATORS, *OBJECTIVES, *LOSSES, *MASKS, *METRICS}


@pytest.mark.parametrize("name", GENERATORS)
def test_generators(name):
    torch.manual_seed(0)
    network, size = GENERATORS[name](**arguments_of(GENERATORS[name])).eval(), need(name, "size")
    image, mask = three_pairs(size, size, box=(size // 4, size // 2, size // 4, size // 2), column=size // 4)
    with torch.no_grad():
        prediction = network(image, mask).image
    assert prediction.shape == image.shape and prediction.isfinite().all()
    assert_the_hole_is_not_seen(lambda shown: [network(shown, mask).image], image, mask)
    with pytest.raises(DataError, match="exactly 0 or 1"):
        network(image, mask * 255)
    with pytest.raises(DataError, match=r"the mask must be \(3, 1"):
        network(image, mask[:, :, 1:])
    if network.size_multiple > 1:
        with pytest.raises(DataError, match=f"multiples of {network.size_multiple}, got"):
            network(image[..., 1:], mask[..., 1:])


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_discriminators(name):
    torch.manual_seed(0)
    network = DISCRIMINATORS[name](**arguments_of(DISCRIMINATORS[name]))
    image, mask = three_pairs(96, 128, box=(24, 48, 16, 32), column=12)
    *features, logits = network(image, mask)
    assert features and all(len(layer) == 3 for layer in features) and logits.isfinite().all()
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    side = network.smallest_side
    network(image[..., :side, :side], mask[..., :side, :side])
    with pytest.raises(ValueError, match=f"at least {side}x{side}, got {side - 1}x{side}"):
        network(image[..., : side - 1, :side], mask[..., : side - 1, :side])


@pytest.mark.filterwarnings("ignore:.* has random weights")
@pytest.mark.parametrize("name", LOSSES)
def test_losses_own_their_weight(name):
    assert LOSSES[name](**arguments_of(LOSSES[name]), weight=0.25).weight == 0.25
    with pytest.raises(ValueError, match="weight must be 0 or more, got -1"):
        LOSSES[name](**arguments_of(LOSSES[name]), weight=-1.0)


@pytest.mark.parametrize("name", MASKS)
def test_masks(name, tmp_path):
    arguments = arguments_of(MASKS[name])
    if name == "MaskFolder":
        Image.fromarray(np.pad(np.full((16, 24), 255, np.uint8), 16)).save(tmp_path / "mask.png")
        arguments["path"] = tmp_path
    masks = MASKS[name](**arguments)
    mask = masks.draw(48, 64, np.random.default_rng(3), 0)
    assert mask.shape == (1, 48, 64) and mask.dtype == torch.float32 and set(mask.unique().tolist()) <= {0.0, 1.0}
    torch.manual_seed(1)
    rebuilt = mask_from_recipe(json.loads(json.dumps(masks.recipe())))
    assert torch.equal(rebuilt.draw(48, 64, np.random.default_rng(3), 0), mask), "from the same numbers the same mask"


@pytest.mark.parametrize("name", METRICS)
def test_metrics(name):
    metric = METRICS[name](**arguments_of(METRICS[name]))
    assert metric.name == metric.name.lower() and metric.better in ("higher", "lower")
    assert metric.definition and "\n" not in metric.definition
    if isinstance(metric, ImageMetric) and not metric.pretrained:
        image, mask = three_pairs(176, 192, box=(24, 48, 16, 32), column=12)
        perfect, poor = metric(image, image, mask), metric(1 - image, image, mask)
        assert perfect.shape == (3,) and perfect.isfinite().all()
        assert torch.all(perfect > poor) if metric.better == "higher" else torch.all(perfect < poor)


def test_names_of_metrics_differ():
    names = [kind().name for kind in METRICS.values()]
    assert len(set(names)) == len(names)
