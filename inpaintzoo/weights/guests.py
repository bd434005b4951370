"""Guests: networks of other programs, which spandrel knows, fill pictures and are measured beside the zoo's.

LaMa: Suvorov et al., "Resolution-robust Large Mask Inpainting with Fourier Convolutions",
https://arxiv.org/abs/2109.07161. Spandrel has the network; the file is read here, because spandrel runs TorchScript.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from inpaintzoo.files.published import read_file
from inpaintzoo.generator import Generator
from inpaintzoo.types import Output, WeightsError
from inpaintzoo.weights.files import WeightFile
from inpaintzoo.weights.networks import not_finite

GUEST_SUFFIXES = (".pt", ".pth")


class LaMa(Generator):
    """Spandrel's LaMa as a generator.

    Args:
        network: `(image, mask) -> image`, in [0, 1], 1 = hole.
    """

    size_multiple: ClassVar[int] = 8
    smallest_side = 16

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, mask: Tensor) -> Output:  # noqa: D102
        self.check_size(image, mask)
        return Output(self.network(self.hide_hole(image, mask), mask))


def load_guest(file: Path) -> tuple[LaMa, WeightFile]:
    """Load LaMa's weights.

    Args:
        file: a state dict, as `torch.save` writes it; nothing in it is run.

    Returns:
        The network in eval mode, and what is known of it.

    Raises:
        WeightsError: the file is missing or damaged, holds more than tensors and plain values, or is not LaMa's; or
            spandrel is not installed.
    """
    if not file.is_file():
        raise WeightsError(f"{file}: there is no such weight file")
    try:
        from spandrel import ArchRegistry, ArchSupport, ModelLoader
        from spandrel.architectures.LaMa import LaMaArch
    except ImportError as error:
        raise WeightsError(
            f"{file} is not one of the zoo's weight files; convert authors' released files with `inpaintzoo convert`, "
            f"or, if it is LaMa's, install inpaintzoo[spandrel]"
        ) from error
    if zipfile.is_zipfile(file) and any(name.endswith("/constants.pkl") for name in zipfile.ZipFile(file).namelist()):
        raise WeightsError(
            f"{file} is a TorchScript program, and no code in a file is run; if you trust it, write its tensors to a "
            f"file: torch.save(torch.jit.load({file.name!r}).state_dict(), '{file.stem}.pth')"
        )
    registry = ArchRegistry()
    registry.add(ArchSupport.from_architecture(LaMaArch()))
    state = read_file(file, "guest")
    try:
        network = ModelLoader(registry=registry).load_from_state_dict(state).model
    except Exception as error:  # spandrel trusts the file: anything may be raised
        raise WeightsError(
            f"{file} holds neither one of the zoo's networks nor LaMa; convert authors' released files with "
            f"`inpaintzoo convert`"
        ) from error
    if bad := not_finite(network.state_dict()):
        raise WeightsError(f"{file}: {bad[0]} holds values that are not finite")
    generator = LaMa(network).eval()
    return generator, WeightFile("spandrel.LaMa", {}, {"guest": "read by spandrel, not one of the zoo's networks"})
