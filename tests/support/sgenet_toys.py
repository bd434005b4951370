"""A small SGENet that decides on labels, a batch for it, and the tensors of its output."""

import torch

from inpaintzoo.models import SGENet


def small(**arguments):
    torch.manual_seed(0)
    network = SGENet(**{"width": 4, "hidden": 8, **arguments})
    for head in network.label_heads or ():  # at their initial weights all labels are about as likely
        head[2].weight.data.mul_(100)
    return network


def small_case(batch=3, height=64, width=96):
    generator = torch.Generator().manual_seed(5)
    image = torch.rand(batch, 3, height, width, generator=generator)
    mask = torch.zeros(batch, 1, height, width)
    mask[0, :, 20:40, 40:70] = 1
    mask[1:2, :, ::7, ::9] = 1
    mask[2:, :, :, :40] = 1
    return image, mask


def tensors(output):
    return [output.image, *output.pyramid, *output.segmentations, *output.confidences, *output.unreliable]
