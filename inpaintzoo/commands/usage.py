"""What a command line gives, and the classes that can stand in it: for `checks` and `mistakes`."""

from __future__ import annotations

import argparse
import inspect
import sys
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jsonargparse import ArgumentParser

from inpaintzoo.words import listed, some

TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "NoneType": "null",
    "list": "a list",
    "tuple": "a list",
    "Sequence": "a list",
    "dict": "a mapping",
}


class UsageError(Exception):
    """A command line that cannot be run as it is; the text is one sentence."""


def subcommand(
    parser: ArgumentParser, argv: Sequence[str]
) -> tuple[str | None, ArgumentParser, dict[str, ArgumentParser]]:
    """The subcommand on a command line and its parser, or None and the parser itself; and the parsers of all."""
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    parsers: dict[str, ArgumentParser] = dict(actions[0].choices) if actions else {}  # type: ignore[arg-type]
    name = next((word for word in argv if word in parsers), None)
    return name, parsers[name] if name else parser, parsers


def is_group(hint: Any) -> bool:
    """Whether a value of this type can have keys."""
    origin = typing.get_origin(hint)
    if hint is Any or origin in (Callable, dict, Mapping):
        return True
    if origin is None and inspect.isclass(hint):
        root, _, module = hint.__module__.partition(".")
        # Restricted numbers are jsonargparse's; torch takes a Tensor, which is of no module below it, for a number.
        single = root in {*sys.stdlib_module_names, "jsonargparse"} or (root == "torch" and not module)
        return hint is dict or not single
    return any(is_group(inner) for inner in typing.get_args(hint))


def typed_options(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The options of a command line with their values."""
    for word, following in zip(argv, [*argv[1:], ""], strict=False):
        if word.startswith("-"):
            option, equals, value = word.partition("=")
            yield option, value if equals else "" if following.startswith("--") else following


def made_classes(hint: Any) -> Iterator[type]:
    """The classes that a type of callables returns."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is Callable:
        yield from (made for made in typing.get_args(arguments[1]) or arguments[1:] if inspect.isclass(made))
    else:
        for inner in arguments:
            yield from made_classes(inner)


def one_of(kinds: Sequence[type]) -> str:
    """`a Loss or an Adversary`, for instance."""
    return listed([f"an {kind.__name__}" if kind.__name__[0] in "AEIOL" else f"a {kind.__name__}" for kind in kinds])


def is_base(kind: type) -> bool:
    """Whether the zoo only derives other classes from it: it leaves a method to them."""
    inherited = [getattr(kind, name, None) for name in ("forward", "source")]
    methods = [method for method in (*vars(kind).values(), *inherited) if callable(method)]
    own = [method for method in methods if (getattr(method, "__module__", "") or "").startswith("inpaintzoo.")]
    return any(
        getattr(method, "__isabstractmethod__", False)
        or "NotImplementedError" in getattr(getattr(method, "__code__", None), "co_names", ())
        for method in own
    )


def subclasses(hint: Any) -> list[str]:
    """Names of the classes that can stand where a type is wanted, those inside unions, lists and the like too."""
    if inspect.isclass(hint) and not typing.get_args(hint) and hint.__module__ != "builtins":
        inner = [name for child in hint.__subclasses__() for name in subclasses(child)]
        concrete = not inspect.isabstract(hint) and not hint.__name__.startswith("_") and not is_base(hint)
        return [hint.__name__, *inner] if concrete else inner
    return [name for inner in typing.get_args(hint) if not isinstance(inner, list) for name in subclasses(inner)]


def known_classes(names: Sequence[str], verb: str = "can be") -> str:
    """The end of a sentence that lists them."""
    return f"; it {verb} {some(sorted(set(names)), 12)}" if names else ""
