"""Teachers: the pretext networks whose features SPN's prior learner is taught to predict.

| teacher | what it knows | needs |
|---|---|---|
| `BuiltinTeacher` | the 45 tags of the built-in scenes | nothing: the default |
| `ASLTeacher` | OpenImages' labels; the paper's | the authors' weights |
| `TorchvisionTeacher` | ImageNet, or COCO by detection or segmentation | torchvision's weights |
| `EfficientNetTeacher` | ImageNet | the extra `features` |
| `PriorTeacher` | what another SPN has learned | its checkpoint |
| `EdgeTeacher` | where edges are | nothing |
| `RandomTeacher` | nothing: a control | nothing |
"""

from inpaintzoo.teachers.asl import ASLTeacher
from inpaintzoo.teachers.base import Teacher
from inpaintzoo.teachers.builtin import BuiltinTeacher, TagNetwork
from inpaintzoo.teachers.edges import EdgeTeacher
from inpaintzoo.teachers.efficientnet import EfficientNetTeacher
from inpaintzoo.teachers.pretrained import TorchvisionTeacher
from inpaintzoo.teachers.prior import PriorTeacher
from inpaintzoo.teachers.random_weights import RandomTeacher

__all__ = [
    "ASLTeacher",
    "BuiltinTeacher",
    "EdgeTeacher",
    "EfficientNetTeacher",
    "PriorTeacher",
    "RandomTeacher",
    "TagNetwork",
    "Teacher",
    "TorchvisionTeacher",
]
