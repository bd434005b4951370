"""The contract of a loss, and the holder that keeps frozen networks out of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from inpaintzoo.types import Batch

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class Frozen(Generic[ModuleT]):
    """Holds a network that is never trained: in eval mode, its parameters without gradients.

    It is not an `nn.Module`, so optimizers, checkpoints, `train()` and DDP do not see the network inside. Its owner, a
    `Loss`, takes it along when moved to another device.
    """

    def __init__(self, module: ModuleT) -> None:
        self.module = module.eval().requires_grad_(False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the network."""
        return self.module(*args, **kwargs)


class Loss(nn.Module):
    """A weighted term of the generator's loss: `forward(output, batch) -> scalar`.

    The arithmetic is a plain function on tensors; a subclass is a thin adapter that picks the tensors and
    multiplies by `weight`. A frozen teacher is stored as `self.teacher = Frozen(network)`.

    Attributes:
        reads_labels: whether it reads `batch["labels"]`; without such a loss or metric, data need no label maps.
        headline: a line to print when a run starts, such as the teacher's name; usually empty.
    """

    reads_labels: bool = False
    headline: str = ""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"{type(self).__name__}: weight must be 0 or more, got {weight}")
        self.weight = weight

    @property
    def active(self) -> bool:
        """Whether a weight is above 0; the `Inpainter` does not compute a loss that is not."""
        return self.weight > 0

    def attach(self, generator: Any) -> None:
        """Called once by the `Inpainter` that trains the generator with this loss, before it makes optimizers.

        Override it in a loss whose teacher determines parts of the generator, such as the size of distillation heads.

        Raises:
            ConfigError: the generator lacks what the loss needs.
        """

    def forward(self, output: Any, batch: Batch) -> Tensor:
        """The weighted loss as a scalar.

        Args:
            output: what the generator returned; a subclass annotates the `Output` subclass that it reads.
            batch: the batch that the generator was given.
        """
        raise NotImplementedError

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Loss:
        # nn.Module moves registered children only; frozen networks are moved here.
        for value in vars(self).values():
            if isinstance(value, Frozen):
                value.module._apply(fn)
        return super()._apply(fn, recurse)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Half precision as float32, anything else as it is: sums over a whole map overflow or lose digits in half."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
