"""What jsonargparse lets pass on a command line and in config files, refused in one sentence each."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import os
import pydoc
import re
import typing
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace

from inpaintzoo.commands.usage import (
    TYPES,
    UsageError,
    is_base,
    is_group,
    known_classes,
    made_classes,
    one_of,
    subclasses,
    typed_options,
)
from inpaintzoo.words import did_you_mean, listed

_REPLACED = ("losses", "adversaries", "metrics", "callbacks", "contenders", "sets")  # whole, by a later config


def check_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Refuse options below one that holds a single value, such as --ckpt_path.x or --ckpt_path[0].

    jsonargparse takes some of them, and its reason for refusing the others is about its own code.

    Args:
        parser: The one that reads the options: the subcommand's, if there are subcommands.
        argv: The command line.

    Raises:
        UsageError: In one sentence.
    """
    known = parser._option_string_actions
    for option, value in typed_options(argv):
        outer = re.sub(r"(\+|\[[^.]*\])$", "", option)
        while outer not in known and "." in outer:
            outer = outer.rpartition(".")[0]
        if option not in known and outer in known and not _holds_keys(known[outer]):
            raise UsageError(f"{option} {value}".rstrip() + f": there is no such option; did you mean {outer}?")


def _holds_keys(action: argparse.Action) -> bool:
    """Whether there can be options below this one: it is a group, or can be a class or a mapping."""
    return "ConfigLoad" in type(action).__name__ or is_group(getattr(action, "_typehint", str))


def replaced_parts(argv: Sequence[str]) -> list[str]:
    """A sentence for each group of named parts, such as losses, that a config file drops from an earlier one."""
    notes: list[str] = []
    earlier: dict[str, tuple[str, list[str]]] = {}
    configs = [value for option, value in typed_options(argv) if option in ("--config", "-c")]
    for file in [config for config in configs if os.path.isfile(config)]:
        for key, names in _named_parts(yaml.safe_load(Path(file).read_text(encoding="utf-8")), ""):
            before, had = earlier.get(key, (file, []))
            if left_out := [name for name in had if name not in names]:
                are = "is" if len(left_out) == 1 else "are"
                notes.append(f"{file} replaces {key} of {before}; {listed(left_out, 'and')} {are} left out")
            earlier[key] = file, names
    return notes


def _named_parts(value: Any, key: str) -> Iterator[tuple[str, list[str]]]:
    """The groups within a config, each with its key and the names of its parts, or their classes in a list."""
    if key.split(".")[-1] in _REPLACED and isinstance(value, (dict, list)) and "class_path" not in value:
        parts = value if isinstance(value, dict) else [_class_name(part) for part in value]
        yield key, [str(part) for part in parts]
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _named_parts(inner, key if name == "init_args" else f"{key}.{name}".lstrip("."))


def _class_name(part: Any) -> str:
    path = part.get("class_path", part) if isinstance(part, dict) else part
    return str(path).split(".")[-1]


def check_values(parser: ArgumentParser, config: Namespace) -> None:
    """Refuse what jsonargparse lets pass: null where a type does not allow it, and classes that are only a base.

    Args:
        parser: The one that the config is of: the subcommand's, if there are subcommands.
        config: As parsed.

    Raises:
        UsageError: In one sentence.
    """
    of_a_type = {action.dest for action in parser._actions if hasattr(action, "_typehint")}
    for action in parser._actions:
        root = action.dest.split(".")[0]
        if root not in of_a_type and "." in action.dest and root in config and config[root] is None:
            raise UsageError(f"--{root} null: must be a group of keys; leave it out for the defaults")
        hint = getattr(action, "_typehint", None)
        if hint is not None and action.default is not None and config.get(action.dest, "") is None:
            _refuse_null(action.dest, hint)
        if action.default != "" and config.get(action.dest) == "":
            _refuse_empty(action.dest if action.option_strings else action.dest.upper(), bool(action.option_strings))
    _check_classes(config, "")


def _check_classes(value: Any, key: str, beside: Iterable[str] = ()) -> None:
    """The same for a value and those within it; `beside` are the names of the parts next to it."""
    path = value.get("class_path") if isinstance(value, (dict, Namespace)) else None
    kind = pydoc.locate(path) if isinstance(path, str) else None
    if kind is not None and not inspect.isclass(kind):  # the parser would call it
        raise UsageError(f"--{key} {path}: must be a class")
    if inspect.isclass(kind):
        if is_base(kind):
            name = key.split(".")[-1]
            if meant := did_you_mean(name, set(beside) - {name}):
                raise UsageError(f"--{key}: no class is named for {name!r}{meant}")
            known = [name for name in subclasses(kind) if name != kind.__name__]
            raise UsageError(f"--{key} {kind.__name__}: this is only the base of other classes{known_classes(known)}")
        given, parameters = _items(value.get("init_args") or {}), inspect.signature(kind).parameters
        _check_makers(kind, given, key)
        for name in [name for name, found in given.items() if found == "" and name in parameters]:
            if parameters[name].default != "":
                _refuse_empty(f"{key}.{name}")
        for name in [name for name, found in given.items() if found is None and name in parameters]:
            with contextlib.suppress(NameError, TypeError):
                if parameters[name].default is not None:
                    _refuse_null(f"{key}.{name}", typing.get_type_hints(kind.__init__).get(name, Any))
    if isinstance(value, (dict, Namespace)):
        named = all(isinstance(part, (dict, Namespace)) and "class_path" in part for part in _items(value).values())
        parts = list(_items(value)) if named else []
        for name, inner in _items(value).items():
            _check_classes(inner, key if name == "init_args" else f"{key}.{name}".lstrip("."), parts)
    elif isinstance(value, list):
        for inner in value:
            _check_classes(inner, key)


def _check_makers(kind: type, given: dict[str, Any], key: str) -> None:
    """Refuse anything but a class of the right kind where the class calls what it is given, as with optimizers."""
    with contextlib.suppress(AttributeError, NameError, TypeError):
        hints = typing.get_type_hints(kind.__init__)  # type: ignore[misc]
        for name, inner in given.items():
            wanted = tuple(made_classes(hints.get(name)))
            path = inner.get("class_path") if isinstance(inner, (dict, Namespace)) else None
            named = pydoc.locate(path) if wanted and isinstance(path, str) else None
            if named is not None and not (inspect.isclass(named) and issubclass(named, wanted)):
                raise UsageError(f"--{key}.{name} {path}: must be {one_of(wanted)}")


def _items(value: dict[str, Any] | Namespace) -> dict[str, Any]:
    return vars(value) if isinstance(value, Namespace) else value


def _refuse_empty(key: str, option: bool = True) -> None:
    raise UsageError(f"{'--' if option else ''}{key}: its value is an empty text; name something, or leave it out")


def _refuse_null(key: str, hint: Any) -> None:
    if hint is Any or hint is type(None) or type(None) in typing.get_args(hint):
        return
    kinds = [TYPES.get(getattr(kind, "__name__", ""), "a value") for kind in typing.get_args(hint) or (hint,)]
    raise UsageError(f"--{key} null: must be {listed(list(dict.fromkeys(kinds)))}")
