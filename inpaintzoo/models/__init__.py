"""The zoo's generators; this list is the registry."""

from inpaintzoo.models.aff import AFFNet
from inpaintzoo.models.gated import GatedNet
from inpaintzoo.models.pennet import PENNet
from inpaintzoo.models.pyramid import PyramidGenerator
from inpaintzoo.models.sgenet import SGENet
from inpaintzoo.models.smooth import SmoothRefine
from inpaintzoo.models.spl import SPL
from inpaintzoo.models.spn import SPN
from inpaintzoo.models.srpnet import SRPNet

__all__ = [
    "SPL",
    "SPN",
    "AFFNet",
    "GatedNet",
    "PENNet",
    "PyramidGenerator",
    "SGENet",
    "SRPNet",
    "SmoothRefine",
]
