"""The gated network's released weights by the recipe, and their golden inputs."""

import json

import torch
from golden_recipe import GOLDEN, golden_tensors, recipe_weights

PADDINGS = {"torch": "same", "tf": "same_tf"}


IDENTITY = "stage2.contextual_attention.fuse_weight"


def released(port):
    """A state dict of the port by the recipe, with the golden facts about it."""
    facts = json.loads((GOLDEN / "deepfillv2" / f"{port}.json").read_text())
    weights = recipe_weights(facts["keys"], facts["gain"])
    if IDENTITY in weights:
        weights[IDENTITY] = torch.eye(3)[None, None]
    return weights, facts


def pictures():
    """The golden image in [0, 1] and its mask; all of the port's files share them."""
    inputs = golden_tensors("discriminators/sn_patchgan_torch.safetensors")
    return (inputs["in_image"] + 1) / 2, inputs["in_mask"].float()


def released_discriminator():
    widths = [4, 64, 128, 256, 256, 256, 256]
    shapes = {}
    for i in range(6):
        shapes[f"conv{i + 1}.conv_sn.weight"] = [widths[i + 1], widths[i], 5, 5]
        shapes[f"conv{i + 1}.conv_sn.bias"] = [widths[i + 1]]
        shapes[f"conv{i + 1}.conv_sn.weight_u"] = [widths[i + 1], 1]
    return recipe_weights(shapes)
