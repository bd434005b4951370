"""Spectral normalisation with the power iteration that released weights were trained with.

Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018, https://arxiv.org/abs/1802.05957,
algorithm 1: v from u first, then u from v. `torch.nn.utils.parametrizations.spectral_norm` takes the two steps in the
other order, so its results differ from those of released discriminators until the vectors have converged. The stored
tensors have the same names as torch's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

_START_ITERATIONS = 15


class SpectralNorm(nn.Module):
    """Divides a weight by an estimate of its largest singular value; one power iteration per call in training.

    Args:
        weight: the weight to be normalised, output channels first.
        eps: minimum norm in a division.
    """

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, eps: float = 1e-12) -> None:
        super().__init__()
        self.eps = eps
        matrix = weight.detach().flatten(1)
        self.register_buffer("_u", F.normalize(torch.randn_like(matrix[:, 0]), dim=0, eps=eps))
        self.register_buffer("_v", F.normalize(torch.randn_like(matrix[0]), dim=0, eps=eps))
        for _ in range(_START_ITERATIONS):
            self._iterate(matrix)

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        torch.mv(matrix.t(), self._u, out=self._v)
        self._v.copy_(F.normalize(self._v, dim=0, eps=self.eps))
        torch.mv(matrix, self._v, out=self._u)
        self._u.copy_(F.normalize(self._u, dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        """The normalised weight."""
        matrix = weight.flatten(1)
        # In half precision the estimate would be poor, and mixed dtypes cannot be multiplied.
        with torch.autocast(weight.device.type, enabled=False):
            if self.training:
                self._iterate(matrix)
            # Copies: a second forward before the backward must not change what the first one saved.
            u, v = self._u.clone(), self._v.clone()
            sigma = torch.dot(u, torch.mv(matrix, v))
        return weight / sigma


def spectral_norm(module: nn.Module) -> nn.Module:
    """Put `SpectralNorm` on the weight of a convolution or linear layer and return the layer."""
    parametrize.register_parametrization(module, "weight", SpectralNorm(module.weight))  # type: ignore[arg-type]
    return module
