"""Teachers: the pretext networks whose features SPN's prior learner is taught to predict.

| teacher | what it knows | needs |
|---|---|---|
| `BuiltinTeacher` | the 45 tags of the built-in scenes | nothing: the default |
| `ASLTeacher` | OpenImages' labels; the paper's | the authors' weights |
| `TorchvisionTeacher` | ImageNet, or COCO by detection or segmentation | torchvision's weights |
| `PriorTeacher` | what another SPN has learned | its checkpoint |
| `EdgeTeacher` | where edges are | nothing |
| `RandomTeacher` | nothing: a control | nothing |
"""

from typing import TYPE_CHECKING

from inpaintzoo.lazy import exports_of

if TYPE_CHECKING:
    from inpaintzoo.teachers.exports import *  # noqa: F403
else:
    __getattr__, __dir__ = exports_of("inpaintzoo.teachers.exports")
