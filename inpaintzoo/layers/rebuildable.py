"""Networks that remember how they were built, so that a weight file can say it."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from torch import nn


class Rebuildable(nn.Module):
    """A network whose constructor arguments are kept, defaults included.

    A subclass has nothing to do for it: its own signature counts, also where it calls the constructor of another one.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let the subclass's constructor note its arguments."""
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = _noting(cls.__init__)  # type: ignore[method-assign]

    @property
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments by name, as they were given or as their defaults are."""
        return dict(vars(self).get("_settings", {}))

    def note_setting(self, name: str, value: Any) -> None:
        """Keep an argument's new value, where a network was changed after it was built."""
        vars(self)["_settings"] = {**self.settings, name: value}

    @property
    def class_path(self) -> str:
        """Module and name of the class."""
        return f"{type(self).__module__}.{type(self).__qualname__}"


def _noting(init: Any) -> Any:
    signature = inspect.signature(init)

    @functools.wraps(init)  # signature and annotations stay those of the subclass, for parsers and help
    def noting_init(self: Rebuildable, *args: Any, **kwargs: Any) -> None:
        if "_settings" not in vars(self):  # the outermost constructor comes first
            try:
                bound = signature.bind(self, *args, **kwargs)
            except TypeError:
                bound = None  # the call below says what is wrong
            if bound is not None:
                bound.apply_defaults()
                vars(self)["_settings"] = dict(list(bound.arguments.items())[1:])
        init(self, *args, **kwargs)

    return noting_init
