"""What every generator is shown: masks that break the contract are refused in a sentence."""

import pytest
import torch

from inpaintzoo.fills import MeanColour
from inpaintzoo.models import GatedNet
from inpaintzoo.types import DataError


def pair():
    image, mask = torch.rand(2, 3, 16, 24), torch.zeros(2, 1, 16, 24)
    mask[:, :, 4:12, 8:16] = 1
    return image, mask


@pytest.mark.parametrize("network", [GatedNet(width=2), GatedNet(width=2).eval(), MeanColour()])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m * 255, r"exactly 0 or 1 .* values from 0 to 255; .*\(mask > 127\.5\)\.float\(\)"),
        (lambda m: m * 0.5, r"values from 0 to 0\.5; .*\(mask > 0\.5\)\.float\(\)"),
        (lambda m: m - 1, "values from -1 to 0"),
        (lambda m: m * torch.nan, r"values from nan to nan; .*\(mask > 0\.5\)"),
        (lambda m: m.bool(), r"must be floating point, 1 = hole, got torch\.bool; pass mask\.float\(\)"),
        (lambda m: m.long(), r"got torch\.int64"),
        (lambda m: m.byte(), r"got torch\.uint8"),
    ],
)
def test_other_masks_than_zeros_and_ones_are_refused(network, change, message):
    image, mask = pair()
    with pytest.raises(DataError, match=message):
        network(image, change(mask))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@torch.no_grad()
def test_zeros_and_ones_of_any_precision_pass(dtype):
    (image, mask), network = pair(), GatedNet(width=2).eval()
    assert torch.equal(network(image, mask.to(dtype)).image, network(image, mask).image)


@pytest.mark.filterwarnings("ignore:`torch.jit.trace")
@pytest.mark.filterwarnings("ignore:Converting a tensor to a Python boolean")
def test_values_are_not_asked_for_where_there_are_none():
    GatedNet(width=2).check_size(*(tensor.to("meta") for tensor in pair()))
    exported = torch.export.export(Checked(), pair())
    traced = torch.jit.trace(Checked(), pair())
    compiled = torch.compile(Checked(), backend="eager", fullgraph=True)
    for program in (exported.module(), traced, compiled):
        assert torch.equal(program(*pair()), pair()[1])


class Checked(torch.nn.Module):
    """Looks at a pair as a network does before it begins."""

    def __init__(self):
        super().__init__()
        self.network = GatedNet(width=2)

    def forward(self, image, mask):
        self.network.check_size(image, mask)
        return mask + 0 * image[:, :1]
