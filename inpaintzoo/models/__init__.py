"""The zoo's generators; this list is the registry."""

from inpaintzoo.models.pennet import PENNet
from inpaintzoo.models.srpnet import SRPNet

__all__ = ["PENNet", "SRPNet"]
