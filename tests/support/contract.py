"""What the tests of all generators share: three holes, and checks of the contract."""

from __future__ import annotations

import pytest
import torch

# Graph breaks show with torch's front end alone; what its back end makes of the graph takes longer to compile.
COMPILERS = pytest.mark.parametrize("backend", ["eager", pytest.param("aot_eager", marks=pytest.mark.slow)])


def three_pairs(height, width, box, column, batch=3):
    """Pictures with a box (`top, bottom, left, right`), scattered pixels, and the left `column` pixels as holes."""
    generator = torch.Generator().manual_seed(5)
    image = torch.rand(batch, 3, height, width, generator=generator)
    mask = torch.zeros(batch, 1, height, width)
    top, bottom, left, right = box
    mask[0, :, top:bottom, left:right] = 1
    mask[1:2] = (torch.rand(1, 1, height, width, generator=generator) > 0.6).float()
    mask[2:, :, :, :column] = 1
    return image, mask


def without_gradient(network, noise=0.0):
    """Names of the parameters that a backward pass did not reach.

    Args:
        network: after the backward pass.
        noise: a gradient counts as none up to this fraction of the greatest in its layer. A bias that a normalisation
            removes, as in some released networks, has a gradient that cancels except for rounding, about 1e-7 of the
            weight's; 1e-5 finds such biases.
    """
    greatest = {}
    for name, p in network.named_parameters():
        layer = name.rpartition(".")[0]
        greatest[layer] = max(greatest.get(layer, 0.0), 0.0 if p.grad is None else p.grad.abs().max().item())
    return [
        name
        for name, p in network.named_parameters()
        if p.grad is None or not p.grad.abs().max().item() > noise * greatest[name.rpartition(".")[0]]
    ]


def assert_the_hole_is_not_seen(run, image, mask):
    """`run(image)` gives a list of tensors that must not depend on what lies in the hole, NaN and infinity included."""
    with torch.no_grad():
        expected = run(image)
        for content in (torch.rand_like(image), torch.full_like(image, torch.nan), torch.full_like(image, torch.inf)):
            changed = run(torch.where(mask.bool(), content, image))
            assert all(torch.equal(a, b) for a, b in zip(changed, expected, strict=True))


def assert_layout_and_bfloat16_change_little(network, image, mask):
    """Channels-last gives the same picture up to rounding, bfloat16 nearly the same."""
    with torch.no_grad():
        expected = network(image, mask).image
        last = network.to(memory_format=torch.channels_last)(image.to(memory_format=torch.channels_last), mask).image
        torch.testing.assert_close(last, expected, atol=1e-5, rtol=0)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(image, mask).image
    torch.testing.assert_close(half.float(), expected, atol=0.05, rtol=0)
