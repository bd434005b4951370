"""Spatially-adaptive normalisation: scale and shift of every pixel come from a map of priors or labels.

Park et al., "Semantic Image Synthesis with Spatially-Adaptive Normalization", CVPR 2019,
https://arxiv.org/abs/1903.07291, section 3 and figure 2. As released, the scale is `1 + gamma`. For speed, and with
the same result, gamma and beta come from one convolution, and modulations that read the same prior share one
convolution for their hidden maps (`HiddenMaps`).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from inpaintzoo.ops import mean_over_ranks

Statistics = Literal["batch", "instance"]


def instance_normalize(features: Tensor, eps: float = 1e-5) -> Tensor:
    """Zero mean and unit variance for every sample and channel of `(B, C, h, w)`, without learned parameters.

    Statistics are computed in float32 (float64 for float64); the result has the input's dtype. Constant maps become 0.
    """
    # One group per channel: unlike instance_norm, this keeps channels_last and is twice as fast on a CPU.
    return F.group_norm(features, features.shape[1], eps=eps).to(features.dtype)


class _MeanOverRanks(torch.autograd.Function):
    """`ops.mean_over_ranks` with a gradient, the mean of the processes' gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return mean_over_ranks(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return mean_over_ranks(gradient)


class BatchNormalize(nn.BatchNorm2d):
    """Batch normalisation without learned parameters, over the batches of all training processes together.

    torch's `SyncBatchNorm`, which SPADE's released code uses, trains on GPUs only.
    `--trainer.sync_batchnorm true` puts it in the place of this class.

    Args:
        channels: channels of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=False)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise `(B, channels, h, w)`; every process must have the same number of samples."""
        several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        if not (self.training and several):
            return super().forward(input)
        wide = input.to(torch.promote_types(input.dtype, torch.float32))
        mean = _MeanOverRanks.apply(wide.mean(dim=(0, 2, 3)))
        centred = wide - mean.view(1, -1, 1, 1)
        variance = _MeanOverRanks.apply(centred.square().mean(dim=(0, 2, 3)))
        with torch.no_grad():
            count = dist.get_world_size() * input.numel() / input.shape[1]
            assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var), self.momentum)
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        return (centred * torch.rsqrt(variance + self.eps).view(1, -1, 1, 1)).to(input.dtype)


class HiddenMaps(nn.Module):
    """Hidden maps of several modulations that read the same prior, in one 3x3 convolution.

    Args:
        prior_channels: channels of the prior.
        hidden: channels of each hidden map.
        maps: number of modulations.
    """

    def __init__(self, prior_channels: int, hidden: int = 128, maps: int = 1) -> None:
        super().__init__()
        for name, value in {"prior_channels": prior_channels, "hidden": hidden, "maps": maps}.items():
            if value < 1:
                raise ValueError(f"HiddenMaps: {name} must be 1 or more, got {value}")
        self.maps = maps
        self.convolution = nn.Conv2d(prior_channels, maps * hidden, 3, padding=1)

    def forward(self, prior: Tensor, size: tuple[int, int]) -> tuple[Tensor, ...]:
        """One `(B, hidden, *size)` map for each modulation.

        Args:
            prior: `(B, prior_channels, h, w)` of any size, resized by nearest.
            size: height and width of the features to be modulated.
        """
        if tuple(prior.shape[-2:]) != tuple(size):
            prior = F.interpolate(prior, size=size, mode="nearest")
        return F.relu(self.convolution(prior)).chunk(self.maps, dim=1)


class Modulation(nn.Module):
    """`normalised * (1 + gamma) + beta`, with gamma and beta from a hidden map by one 3x3 convolution (equation 1).

    Args:
        channels: channels of the features.
        hidden: channels of the hidden map.
    """

    def __init__(self, channels: int, hidden: int = 128) -> None:
        super().__init__()
        self.affine = nn.Conv2d(hidden, 2 * channels, 3, padding=1)  # gamma's channels, then beta's

    def forward(self, normalised: Tensor, hidden: Tensor) -> Tensor:
        """Modulate `(B, channels, h, w)` by a hidden map `(B, hidden, h, w)`."""
        gamma, beta = self.affine(hidden).chunk(2, dim=1)
        return torch.addcmul(beta, normalised.to(gamma.dtype), 1 + gamma)


class SPADE(nn.Module):
    """One modulation with its own hidden map.

    Args:
        channels: channels of the features.
        prior_channels: channels of the prior, or the number of labels where it is a one-hot map.
        hidden: channels of the hidden map.
        statistics: what mean and variance are taken over: the batch, as in the paper, or each sample (`instance`).
    """

    def __init__(self, channels: int, prior_channels: int, hidden: int = 128, statistics: Statistics = "batch") -> None:
        super().__init__()
        if statistics not in get_args(Statistics):
            raise ValueError(f"SPADE: statistics must be 'batch' or 'instance', got {statistics!r}")
        self.norm = BatchNormalize(channels) if statistics == "batch" else None
        self.hidden = HiddenMaps(prior_channels, hidden)
        self.modulation = Modulation(channels, hidden)

    def forward(self, features: Tensor, prior: Tensor) -> Tensor:
        """Normalise `(B, channels, h, w)` and modulate it by the prior, of any size (resized by nearest)."""
        (hidden,) = self.hidden(prior, (features.shape[-2], features.shape[-1]))
        normalised = instance_normalize(features) if self.norm is None else self.norm(features)
        return self.modulation(normalised, hidden)
