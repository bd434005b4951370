"""Networks that remember how they were built, so that a weight file can record it."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from torch import nn


class Rebuildable(nn.Module):
    """A network that keeps its constructor arguments, defaults included.

    Subclasses need no code for it: the arguments are those of the instance's own class, even if its constructor calls
    that of a base class. A class whose arguments change after construction overrides `settings`.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make the subclass's constructor record its arguments."""
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = _noting(cls.__init__)  # type: ignore[method-assign]

    @property
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments by name: the given values and the defaults of the others."""
        return dict(vars(self).get("_settings", {}))

    @property
    def class_path(self) -> str:
        """Module and name of the class."""
        return f"{type(self).__module__}.{type(self).__qualname__}"


def _noting(init: Any) -> Any:
    signature = inspect.signature(init)

    @functools.wraps(init)  # keeps the signature and annotations, for parsers and help
    def noting_init(self: Rebuildable, *args: Any, **kwargs: Any) -> None:
        if "_settings" not in vars(self):  # the outermost constructor runs first
            try:
                bound = signature.bind(self, *args, **kwargs)
            except TypeError:
                bound = None  # the call below raises the error
            if bound is not None:
                bound.apply_defaults()
                vars(self)["_settings"] = dict(list(bound.arguments.items())[1:])
        init(self, *args, **kwargs)

    return noting_init
