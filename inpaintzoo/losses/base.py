"""The contract of a loss, and the holder that keeps frozen networks out of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

from inpaintzoo.types import Batch

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class Frozen(Generic[ModuleT]):
    """Holds a network that is only read: eval mode, no gradients of its own, invisible to its owner.

    It is no `nn.Module`, so optimizers, checkpoints, `train()` and DDP do not see what is inside. Its owner, a
    `Loss`, moves it along to the device.
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
        reads_labels: whether it reads `batch["labels"]`; data are not asked for label maps that nothing reads.
        headline: a line for the start of a run about what the loss relies on, such as its teacher; empty for most.
    """

    reads_labels: bool = False
    headline: str = ""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"{type(self).__name__}: weight must be 0 or more, got {weight}")
        self.weight = weight

    def attach(self, generator: Any) -> None:
        """Called once by the `Inpainter` that trains the generator with this loss, before there are optimizers.

        A loss whose teacher decides about parts of the generator (the size of distillation heads) overrides it.

        Raises:
            ConfigError: the generator lacks what the loss needs.
        """

    def forward(self, output: Any, batch: Batch) -> Tensor:
        """The weighted loss as a scalar.

        Args:
            output: what the generator returned; a subclass annotates the `Output` subclass that it reads.
            batch: the batch that the generator saw.
        """
        raise NotImplementedError

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Loss:
        # nn.Module moves registered children only; frozen networks follow here.
        for value in vars(self).values():
            if isinstance(value, Frozen):
                value.module._apply(fn)
        return super()._apply(fn, recurse)
