"""Metrics of inpainted images, each defined exactly, collected per image and broken down by hole ratio."""

from inpaintzoo.metrics.base import ImageMetric, Metric, SampleMetric, SetMetric
from inpaintzoo.metrics.diversity import DiversityL1, DiversityLPIPS
from inpaintzoo.metrics.extractors import Extractor
from inpaintzoo.metrics.ids import PIDS, UIDS
from inpaintzoo.metrics.inception import FID, InceptionScore, frechet_distance, inception_score
from inpaintzoo.metrics.lite0 import FrechetLite0, Lite0Distance
from inpaintzoo.metrics.perceptual import LPIPS
from inpaintzoo.metrics.pixel import L1, PSNR, L1Border, L1Grey, L1Hole, L1Relative, PSNRBorder, PSNRHole
from inpaintzoo.metrics.results import Column, MetricResults
from inpaintzoo.metrics.segmentation import ConfidenceCorrelation, MIoU, SegmentationMetric
from inpaintzoo.metrics.similarity import MSSSIM, SSIM
from inpaintzoo.metrics.suite import MetricSuite

__all__ = [
    "FID",
    "L1",
    "LPIPS",
    "MSSSIM",
    "PIDS",
    "PSNR",
    "SSIM",
    "UIDS",
    "Column",
    "ConfidenceCorrelation",
    "DiversityL1",
    "DiversityLPIPS",
    "Extractor",
    "FrechetLite0",
    "ImageMetric",
    "InceptionScore",
    "L1Border",
    "L1Grey",
    "L1Hole",
    "L1Relative",
    "Lite0Distance",
    "MIoU",
    "Metric",
    "MetricResults",
    "MetricSuite",
    "PSNRBorder",
    "PSNRHole",
    "SampleMetric",
    "SegmentationMetric",
    "SetMetric",
    "frechet_distance",
    "inception_score",
]
