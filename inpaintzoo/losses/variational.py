"""Kullback-Leibler divergence between a learned posterior and its prior, for probabilistic SPN.

Source: SPN, Zhang et al. 2021, https://arxiv.org/abs/2112.04107, equation 6.
"""

from __future__ import annotations

from typing import Literal, Protocol

from torch import Tensor

from inpaintzoo.losses.base import Loss, at_least_float32
from inpaintzoo.types import Batch, ConfigError


class Gaussian(Protocol):
    """A diagonal normal distribution."""

    mean: Tensor
    std: Tensor


class HasPosterior(Protocol):
    """An output with the distribution that its latent variables were drawn from."""

    posterior: Gaussian | None


def kl_to_standard_normal(mean: Tensor, std: Tensor) -> Tensor:
    """KL(N(mean, std) || N(0, 1)), the mean over elements (SPN equation 6); a scalar, at least float32."""
    mean, std = at_least_float32(mean), at_least_float32(std)
    return (0.5 * (mean.square() + std.square() - 1) - std.log()).mean()


def kl_from_standard_normal(mean: Tensor, std: Tensor) -> Tensor:
    """KL(N(0, 1) || N(mean, std)), the mean over elements (SPN's released code); a scalar, at least float32."""
    mean, std = at_least_float32(mean), at_least_float32(std)
    return (std.log() + (1 + mean.square()) / (2 * std.square()) - 0.5).mean()


class PosteriorKL(Loss):
    """Keeps the posterior of a stochastic generator near the standard normal distribution.

    Args:
        weight: factor, 0 or more; 0.05 in the paper.
        direction: `posterior_to_prior` is the paper's equation 6; `prior_to_posterior` is what the released code
            computes, which grows without bound as a standard deviation goes to 0.
    """

    def __init__(
        self,
        weight: float = 0.05,
        direction: Literal["posterior_to_prior", "prior_to_posterior"] = "posterior_to_prior",
    ) -> None:
        super().__init__(weight)
        if direction not in ("posterior_to_prior", "prior_to_posterior"):
            raise ValueError(
                f"PosteriorKL: direction must be 'posterior_to_prior' or 'prior_to_posterior', got {direction!r}"
            )
        self.divergence = kl_to_standard_normal if direction == "posterior_to_prior" else kl_from_standard_normal

    def forward(self, output: HasPosterior, batch: Batch) -> Tensor:
        """The weighted loss as a scalar.

        Raises:
            ConfigError: the output has no posterior.
        """
        posterior = getattr(output, "posterior", None)
        if posterior is None:
            raise ConfigError(
                f"PosteriorKL reads output.posterior, but {type(output).__name__} has none; use SPN with "
                f"stochastic: true, or remove this loss from the config"
            )
        return self.weight * self.divergence(posterior.mean, posterior.std)
