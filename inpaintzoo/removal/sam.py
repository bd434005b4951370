"""SAM: any object under clicks or in a box, without classes.

Kirillov et al.: "Segment Anything", ICCV 2023, https://arxiv.org/abs/2304.02643, and Zhang et al.: "Faster Segment
Anything", 2023, https://arxiv.org/abs/2306.14289 (MobileSAM); network and prompts are kornia's.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from inpaintzoo.files.published import published_file, read_file
from inpaintzoo.ops import find_device
from inpaintzoo.removal.segmenter import Instance, Prompt, Segmentation, Segmenter
from inpaintzoo.types import WeightsError

if TYPE_CHECKING:
    from kornia.contrib.visual_prompter import VisualPrompter

Size = Literal["mobile", "vit_b", "vit_l", "vit_h"]
_META = "https://dl.fbaipublicfiles.com/segment_anything"
_URLS = {
    "mobile": "https://github.com/ChaoningZhang/MobileSAM/raw/a509aac54fdd7af59f843135f2f7cee307283c88/weights/mobile_sam.pt",
    "vit_b": f"{_META}/sam_vit_b_01ec64.pth",
    "vit_l": f"{_META}/sam_vit_l_0b3195.pth",
    "vit_h": f"{_META}/sam_vit_h_4b8939.pth",
}


class SAM(Segmenter):
    """Selects an object by clicks and boxes; finds none by itself and knows no classes.

    Of the three masks that a click may mean (a part, a whole, a group), the one with the highest predicted quality
    counts.

    Args:
        prompter: kornia's, with a model in eval mode.
    """

    def __init__(self, prompter: VisualPrompter) -> None:
        self.prompter = prompter

    @classmethod
    def pretrained(cls, size: Size = "mobile", weights: str | Path | None = None, device: str = "auto") -> SAM:
        """With the authors' weights, downloaded on first use.

        Args:
            size: `mobile`, 40 MB, or one of the original sizes, 375 MB to 2.6 GB.
            weights: path of a local copy of the file.
            device: where the network runs; `auto` picks a GPU if there is one.

        Raises:
            WeightsError: the weights are not there and cannot be downloaded, or do not fit.
        """
        from kornia.contrib.visual_prompter import VisualPrompter  # here: kornia takes seconds to import
        from kornia.models.sam import SamConfig

        if size not in get_args(Size):
            raise ValueError(f"SAM: size must be one of {', '.join(get_args(Size))}, got {size!r}")
        owner = f"the segmenter SAM {size} (GrabCut needs no weights)"
        file = published_file(_URLS[size], owner, weights)
        prompter = VisualPrompter(SamConfig("mobile_sam" if size == "mobile" else size), find_device(device))
        try:
            prompter.model.load_state_dict(read_file(file, owner))
        except RuntimeError as error:
            raise WeightsError(f"{owner}: the tensors of {file} are not those of {_URLS[size]}") from error
        prompter.model.eval().requires_grad_(False)
        return cls(prompter)

    def open(self, image: Tensor) -> Segmentation:
        """Encode a picture, `(3, H, W)` in [0, 1]."""
        prompter = copy.copy(self.prompter)  # it holds one picture; earlier ones stay open
        prompter.image_embeddings = None
        prompter.set_image(image.to(prompter.device))
        return _Prompted(prompter, (image.shape[1], image.shape[2]))


class _Prompted(Segmentation):
    def __init__(self, prompter: VisualPrompter, size: tuple[int, int]) -> None:
        super().__init__(size)
        self.prompter = prompter

    def _select(self, prompt: Prompt) -> Instance | None:
        device = self.prompter.device
        given: dict[str, Any] = {}
        clicks = [*prompt.at, *prompt.away]
        if clicks:
            given["keypoints"] = torch.tensor([clicks], dtype=torch.float32, device=device)
            given["keypoints_labels"] = torch.tensor([[1] * len(prompt.at) + [0] * len(prompt.away)], device=device)
        if prompt.box is not None:
            top, left, bottom, right = prompt.box
            given["boxes"] = torch.tensor([[left, top, right, bottom]], dtype=torch.float32, device=device)
        found = self.prompter.predict(**given, multimask_output=len(clicks) == 1 and prompt.box is None)
        best = int(found.scores[0].argmax())
        mask = found.binary_masks[0, best].cpu().numpy()
        return Instance(mask, score=float(found.scores[0, best].clamp(0, 1))) if mask.any() else None
