"""Released SPN and SPL networks with the recipe's weights, their golden inputs, and the names of their stages."""

from __future__ import annotations

import functools
import math
import zlib

import torch
from golden_recipe import golden_keys, golden_tensors, recipe_tensor
from torch import Tensor, nn

from inpaintzoo.discriminators import SPNDiscriminator, SPNProbabilisticDiscriminator
from inpaintzoo.models import SPL, SPN
from inpaintzoo.weights import convert_state_dict

FILES = {"spn": "det", "spn-probabilistic": "prob", "spl": "spl"}
KEYS = {"spn": "spn_det", "spn-probabilistic": "spn_prob", "spl": "spl"}
BUILD = {"spn": SPN, "spn-probabilistic": lambda: SPN(stochastic=True), "spl": SPL}
BUILD_DISCRIMINATOR = {
    "spn": SPNDiscriminator,
    "spn-probabilistic": SPNProbabilisticDiscriminator,
    "spl": SPNDiscriminator,
}


@functools.cache
def keys(source: str, part: str = "generator") -> dict[str, list[int]]:
    return golden_keys(f"spn/keys_{KEYS[source]}_{part}.json")


def rounded_recipe_tensor(key: str, shape: list[int]) -> Tensor:
    """`recipe_tensor`, rounded in the order that the golden values were made with; it shows in double precision."""
    if len(shape) < 2 or key.endswith(("weight_u", "weight_v")):
        return recipe_tensor(key, tuple(shape))
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    return torch.randn(shape, generator=generator) * (1 / math.sqrt(math.prod(shape[1:])))


def released_weights(source: str, part: str = "generator") -> dict[str, Tensor]:
    """A state dict as released; tensors with two names (`features` = `conv1`) take the first one's values."""
    weights = {name: rounded_recipe_tensor(name, shape) for name, shape in keys(source, part).items()}
    for name in weights:
        if name.startswith("features."):
            weights[name] = weights[name.replace("features.", "conv1.")]
    return weights


def released(source: str) -> nn.Module:
    network = BUILD[source]()
    network.load_state_dict(convert_state_dict(source, released_weights(source)))
    return network


def released_discriminator(source: str, iterations: int = 10) -> nn.Module:
    """After `iterations` power iterations of its spectral norms."""
    network = BUILD_DISCRIMINATOR[source]()
    name = f"{source}-discriminator"
    network.load_state_dict(convert_state_dict(name, released_weights(source, "discriminator")))
    with torch.no_grad():
        for _ in range(iterations):
            network(torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 64))
    return network.eval()


def inputs(size: int, mask: str = "centre") -> tuple[Tensor, Tensor]:
    golden = golden_tensors("spn/inputs.safetensors")
    return golden[f"image_{size}"], golden[f"mask_{mask}_{size}"].float()


def noise(size: int) -> list[Tensor]:
    """The golden noise: two draws at 256, one at 64."""
    golden = golden_tensors("spn/inputs.safetensors")
    return [golden[name] for name in (f"eps1_{size}", f"eps2_{size}") if name in golden]


def stages(network: nn.Module) -> dict[str, tuple[nn.Module, object]]:
    """Our modules under the released stage names, each with the activation that the released module contains."""

    def same(x: Tensor) -> Tensor:
        return x

    found = {
        "img_encoder": (network.image_encoder, same),
        "rdb15": (network.prior_encoder.dense[15], same),
        "gff": (network.prior_encoder.fusion, same),
        "middle0": (network.middle[0], same),
        "middle7": (network.middle[7], same),
        "layout_64": (network.prior_decoder.blocks[3], same),
        "pretanh": (network.output, same),
    }
    if isinstance(network, SPN):
        found["layout_128"], found["layout_256"] = ((merge, same) for merge in network.prior_decoder.merges)
        found["dec_128"], found["dec_256"] = ((block, same) for block in network.decoder)
        if network.variational is not None:
            found["mu"] = (network.variational.mean, same)
            found["sigma_presoftplus"] = (network.variational.std, same)
            found["decoder_z"] = (network.variational.decoder[2], torch.relu)
    return found


class Recorder:
    """Keeps the results of the named stages while it is open."""

    def __init__(self, network: nn.Module) -> None:
        self.taken: dict[str, Tensor] = {}
        self.handles = []
        for name, (module, activation) in stages(network).items():
            self.handles.append(module.register_forward_hook(functools.partial(self._keep, name, activation)))

    def _keep(self, name, activation, module, args, result):
        self.taken[name] = activation(result.detach().clone())

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for handle in self.handles:
            handle.remove()
