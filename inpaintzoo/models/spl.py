"""SPL: semantic prior learner, the predecessor of SPN.

Zhang, Zhu, Tai, Wang, Chu, Ni, Wang, Yang: "Context-Aware Image Inpainting with Learned Semantic Priors", IJCAI 2021,
https://arxiv.org/abs/2106.07220. SPN's prior learner with one level (`inpaintzoo.models.spn`), and a decoder with
pixel shuffle and learned region normalisation. The architecture follows the authors' released code, whose weights
load; its prior encoder has LeakyReLU 0.1 instead of SPN's ReLU.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inpaintzoo.layers.region_norm import LearnedRegionNorm
from inpaintzoo.layers.residual import ShuffleUp, reflect
from inpaintzoo.models.spn import Features, PriorGuided, SPNOutput, check_features


class SPL(PriorGuided):
    """Semantic prior learner.

    45,597,223 parameters at the defaults. Sides must be multiples of 4 from 12 up. PyTorch's default initialisation.

    Args:
        prior_channels: channels of the teacher's features at a quarter of the size.
        blocks: number of SPADE blocks.
        checkpointing: recompute SPADE blocks and dense blocks in the backward pass: less memory, more time.
        width: channels at full size.
        growth: channels that each layer of the prior learner's dense blocks adds.
        dense_blocks: number of dense blocks.
        hidden: channels of SPADE's hidden maps.
        threshold: threshold of the learned region normalisation.

    Attributes:
        prior_channels: channels of the head's prediction.
        prior_strides: `(4,)`.
        training_only: names of the sub-modules that inference does not need.
    """

    def __init__(
        self,
        prior_channels: tuple[int, ...] = (152,),
        blocks: int = 8,
        checkpointing: bool = False,
        width: int = 64,
        growth: int = 32,
        dense_blocks: int = 16,
        hidden: int = 128,
        threshold: float = 0.8,
    ) -> None:
        super().__init__(
            1,
            blocks,
            prior_channels,
            width,
            growth,
            dense_blocks,
            hidden,
            negative_slope=0.1,
            checkpointing=checkpointing,
        )
        self.decoder = nn.ModuleList([ShuffleUp(4 * width, 2 * width), ShuffleUp(2 * width, width)])
        self.norms = nn.ModuleList(LearnedRegionNorm(threshold) for _ in range(2))
        self.output = nn.Conv2d(width, 3, 7)

    def forward(self, image: Tensor, mask: Tensor) -> SPNOutput:
        """Fill the hole.

        Args:
            image: `(B, 3, H, W)` in [0, 1]; whatever lies in the hole is ignored.
            mask: `(B, 1, H, W)`, 1 = hole.

        Returns:
            The prediction, and in training mode the head's prediction of the teacher's features.

        Raises:
            ValueError: the shapes do not fit.
        """
        masked_image, hole = self._whiten(image, mask)
        pyramid = self._pyramid(masked_image, hole)
        features = self._refine(self.image_encoder(masked_image, hole), pyramid[0])
        for up, norm in zip(self.decoder, self.norms, strict=True):
            features = F.relu(norm(up(features)), inplace=True)
        prediction = (torch.tanh(self.output(reflect(features, 3))) + 1) / 2
        return SPNOutput(prediction, self._predictions(pyramid))

    def prior_features(self, image: Tensor, mask: Tensor, *, which: Features = "priors") -> list[Tensor]:
        """The prior map as a target for another network, or the image generator's features, to look at.

        Args:
            image: `(B, 3, H, W)` in [0, 1].
            mask: `(B, 1, H, W)`, 1 = hole; all 0 for features of the whole image.
            which: `priors`, or the features before (`encoder`) or after (`decoder`) the middle blocks.

        Returns:
            A list of one, `(B, 4 * width, H / 4, W / 4)`.

        Raises:
            ValueError: the shapes do not fit, or an unknown kind of features.
        """
        check_features("SPL", which)
        masked_image, hole = self._whiten(image, mask)
        pyramid = self._pyramid(masked_image, hole)
        if which == "priors":
            return pyramid
        features = self.image_encoder(masked_image, hole)
        return [features if which == "encoder" else self._refine(features, pyramid[0])]

    def _pyramid(self, masked_image: Tensor, mask: Tensor) -> list[Tensor]:
        skips, deep = self.prior_encoder(masked_image, mask)
        return self.prior_decoder(deep, skips)
