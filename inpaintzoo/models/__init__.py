"""The zoo's generators; this list is the registry."""

from inpaintzoo.models.pennet import PENNet, PENNetOutput

__all__ = ["PENNet", "PENNetOutput"]
