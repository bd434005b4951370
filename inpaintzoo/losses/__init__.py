"""Losses: weighted terms of the generator's objective, one class per term; a config names them by class path."""

from inpaintzoo.losses.base import Frozen, Loss
from inpaintzoo.losses.distillation import PriorDistillation
from inpaintzoo.losses.diversity import Diversity, PerceptualDiversity
from inpaintzoo.losses.matching import FeatureMatching
from inpaintzoo.losses.perceptual import Perceptual, PerceptualStyle, Style, VGGFeatures
from inpaintzoo.losses.reconstruction import L1, HoleL1, PyramidL1, TotalVariation, ValidL1, WeightedL1
from inpaintzoo.losses.segmentation import SegmentationLoss
from inpaintzoo.losses.structure import StructureL1
from inpaintzoo.losses.variational import PosteriorKL

__all__ = [
    "L1",
    "Diversity",
    "FeatureMatching",
    "Frozen",
    "HoleL1",
    "Loss",
    "Perceptual",
    "PerceptualDiversity",
    "PerceptualStyle",
    "PosteriorKL",
    "PriorDistillation",
    "PyramidL1",
    "SegmentationLoss",
    "StructureL1",
    "Style",
    "TotalVariation",
    "VGGFeatures",
    "ValidL1",
    "WeightedL1",
]
