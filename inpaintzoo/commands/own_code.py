"""The user's own classes on the command line: `--import MODULE`, and the current folder on Python's path."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

OPTION = "--import"
# These take classes by name from options and configs; the others import only what --import names.
_NAME_CLASSES = ("fit", "validate", "test", "predict", "doctor", "benchmark", "masks")


def import_own(command: str, arguments: Sequence[str]) -> list[str]:
    """Import the modules that a command line names with `--import`.

    The current folder comes last on Python's path, so that a file in it never takes the place of an installed module.

    Args:
        command: the command's name.
        arguments: what follows it.

    Returns:
        The other arguments.

    Raises:
        ImportError: a module that cannot be imported, in one sentence.
    """
    rest: list[str] = []
    modules: list[str] = []
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option == OPTION:
            modules.append(value if equals else next(words, ""))
        else:
            rest.append(word)
    if (modules or command in _NAME_CLASSES) and "" not in sys.path:
        sys.path.append("")
    importlib.invalidate_caches()
    for module in modules:
        if not all(part.isidentifier() for part in module.split(".")):
            raise ImportError(f"{OPTION} {module!r}: give a module's name as in Python, such as mynets for mynets.py")
        try:
            importlib.import_module(module)
        except Exception as error:  # the user's code may raise anything
            if os.environ.get("INPAINTZOO_TRACEBACK"):
                raise
            if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
                raise ImportError(f"{OPTION} {module}: there is no such module here or on Python's path") from error
            reason = " ".join(str(error).split())
            raise ImportError(f"{OPTION} {module}: importing it raised {type(error).__name__}: {reason}") from error
    return rest
