"""Object detection: MPSSD and its baselines, their training and their data."""

from inpaintzoo.removal.detection.network import FSSD, MPSSD, SSD, DetectionNetwork

__all__ = ["FSSD", "MPSSD", "SSD", "DetectionNetwork"]
