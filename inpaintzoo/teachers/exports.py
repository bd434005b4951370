"""The public names of the package."""

from inpaintzoo.teachers.asl import ASLTeacher
from inpaintzoo.teachers.base import Teacher
from inpaintzoo.teachers.builtin import BuiltinTeacher, TagNetwork
from inpaintzoo.teachers.edges import EdgeTeacher
from inpaintzoo.teachers.pretrained import TorchvisionTeacher
from inpaintzoo.teachers.prior import PriorTeacher
from inpaintzoo.teachers.random_weights import RandomTeacher
from inpaintzoo.teachers.training import TagClassifier, asymmetric_loss

__all__ = [
    "ASLTeacher",
    "BuiltinTeacher",
    "EdgeTeacher",
    "PriorTeacher",
    "RandomTeacher",
    "TagClassifier",
    "TagNetwork",
    "Teacher",
    "TorchvisionTeacher",
    "asymmetric_loss",
]
