"""Patch swap against a slow reference: each hole patch becomes its most similar known patch."""

import torch
import torch.nn.functional as F

from inpaintzoo.layers.attention.patch_swap import PatchSwap


def slow_swap(features, hole):
    """One map `(C, h, w)`, patch by patch; overlapping patches are averaged, cells outside the hole stay."""
    _, height, width = features.shape
    padded, covered = F.pad(features, (1, 1, 1, 1)), F.pad(hole, (1, 1, 1, 1))
    cells = [(y, x) for y in range(height) for x in range(width)]

    def patch(of, y, x):
        return of[..., y : y + 3, x : x + 3]

    known = [cell for cell in cells if not patch(covered, *cell).any()]
    total, count = torch.zeros_like(padded), torch.zeros_like(padded)
    for y, x in cells:
        own = patch(padded, y, x).flatten()
        best = max(known, key=lambda cell: F.cosine_similarity(own, patch(padded, *cell).flatten(), dim=0).item())
        source = (y, x) if not patch(covered, y, x).any() else best
        inside = patch(F.pad(torch.ones(height, width), (1, 1, 1, 1)), *source)
        total[:, y : y + 3, x : x + 3] += patch(padded, *source)
        count[:, y : y + 3, x : x + 3] += inside
    swapped = (total / count.clamp(min=1))[:, 1:-1, 1:-1]
    return torch.where(hole.bool(), swapped, features)


def test_it_equals_the_slow_one():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 4, 7, 8, generator=generator, dtype=torch.float64)
    mask = torch.zeros(2, 1, 14, 16, dtype=torch.float64)
    mask[0, :, 4:9, 5:12], mask[1, :, :5] = 1, 1
    found = PatchSwap(mask_resize="any")(features, features, mask)
    for sample in range(2):
        hole = F.max_pool2d(mask[sample], 2)[0]
        torch.testing.assert_close(found[sample], slow_swap(features[sample], hole))


def test_a_map_without_a_known_patch_stays():
    features, mask = torch.randn(1, 4, 4, 4), torch.ones(1, 1, 8, 8)
    assert torch.equal(PatchSwap()(features, features, mask), features)
