"""PEN-Net as its authors release it: generator (`netG`) and discriminator (`netD`)."""

from __future__ import annotations

from inpaintzoo.discriminators import PENNetDiscriminator
from inpaintzoo.models.pennet import PENNet
from inpaintzoo.models.released.names import Names, Released, spectral_names, with_kinds


def _generator_names() -> Names:
    modules = {f"encoder.levels.{i}": (f"dw_conv0{i + 1}.0",) for i in range(6)}
    for i in range(4):  # the deepest attention transfer has no parameters
        modules |= {f"context.transfers.{i}.fusion.branches.{j}": (f"at_conv0{i + 1}.conv0{j}.0",) for j in range(4)}
    modules |= {f"decoder.levels.{i}": (f"up_conv0{i + 1}.0",) for i in range(5)}
    modules |= {f"decoder.heads.{i}": (f"torgb{i + 1}.0",) for i in range(5)}
    modules |= {f"decoder.output.{i}": (f"decoder.{i}",) for i in (0, 2)}
    return with_kinds(modules)


def _discriminator_names() -> Names:
    names: Names = {}
    for i in range(4):
        names |= spectral_names(f"layers.{i}", f"encoder.{2 * i}")
    return names | with_kinds({"classifier": ("classifier",)})


NETWORKS = {
    "pennet": Released(PENNet, _generator_names),
    "pennet-discriminator": Released(PENNetDiscriminator, _discriminator_names),
}
