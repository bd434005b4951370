"""Mistakes on the command line and in config files: one sentence instead of jsonargparse's full account.

jsonargparse reports a mistake as a tree of text: the keys and classes that lead to a value, then one reason for every
type that did not accept it. `usage_error` picks the reason that matters and adds what was given and what is allowed.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import pydoc
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jsonargparse import ArgumentParser

from inpaintzoo.commands.config_files import no_such_file
from inpaintzoo.commands.usage import (
    TYPES,
    is_base,
    is_group,
    known_classes,
    made_classes,
    one_of,
    subclasses,
    subcommand,
    typed_options,
)
from inpaintzoo.words import did_you_mean, listed, some

_SHORT = 6  # a list of more allowed values is followed by the nearest one

_SKIPPED = (
    "Does not validate",
    "Subtypes:",
    "Errors:",
    "Given value",
    "Expected a path but",
    "Subclass types expect",
    "a class path (str)",
    "a dict with",
)


def usage_error(parser: ArgumentParser, argv: Sequence[str], error: Exception) -> str:
    """One sentence about what is wrong with a command line or a config file: the thing, its value, the remedy.

    Args:
        parser: The command's parser.
        argv: What it was given.
        error: What it raised.
    """
    mistake = _Mistake(parser, argv, str(error))
    if mistake.outer and mistake.is_below_a_value():
        return mistake.told(f"there is no such option; did you mean --{mistake.outer}?", mistake.value)
    for pattern, say in _SENTENCES:
        if found := re.match(pattern, mistake.reason, re.DOTALL):
            return " ".join(say(mistake, *found.groups()).split())
    return mistake.told(" ".join(mistake.reason.split())[:300])


class _Reason(NamedTuple):
    """A reason, with the keys and the classes that lead to it from the outside in."""

    keys: list[str]
    owners: list[str]
    text: str


class _Mistake:
    """A command line, the reason why it was refused, and what that reason is about."""

    def __init__(self, parser: ArgumentParser, argv: Sequence[str], account: str) -> None:
        self.argv = argv
        self.command, self.options, _ = subcommand(parser, argv)
        self.name = " ".join(filter(None, (parser.prog, self.command)))
        self.account = account
        reasons = [reason._replace(keys=self._inside(reason.keys)) for reason in _reasons(account)]
        deepest = max(len(reason.keys) for reason in reasons)
        self.reasons = [reason for reason in reasons if len(reason.keys) == deepest]
        typed = re.compile("Expected a <class|Not a valid subclass")
        chosen = next((reason for reason in self.reasons if not typed.match(reason.text)), self.reasons[0])
        self.keys, self.owners, self.reason = chosen
        self.owner = self.owners[-1] if self.owners else None
        # An option such as --model.losses.hole.weight has the keys of dictionaries in it; the tree does not.
        nested = re.findall(r"NestedArg\(key='([^']*)', val=(.*)\)$", account, re.MULTILINE)
        self.key = ".".join([self.keys[0], nested[-1][0]] if nested and self.keys else self.keys).replace(
            "init_args.", ""
        )
        self.value = nested[-1][1].strip("'\"") if nested else None
        # The option that has the type, where the one that was typed is below it.
        before, within, _ = self.key.rpartition(f".{self.keys[-1]}." if self.keys else " ")
        self.outer = f"{before}{within[:-1]}" if within else ""

    def _inside(self, keys: list[str]) -> list[str]:
        """The keys without the subcommand in front."""
        inside = [key.removeprefix(f"{self.command}.") for key in keys]
        return [key for key in inside if key != self.command]

    def told(self, reason: str, value: str | None = None, key: str | None = None) -> str:
        """The reason after the option or, if it was not typed, after the config file and the key."""
        key = self.key if key is None else key
        if not key:
            return reason
        if value and (below := re.fullmatch(r"Namespace\((\w+)='(.*)'\)", value)):  # a key below a plain value
            key, value = f"{key}.{below[1]}", below[2]
            reason = f"{below[1]} cannot stand here; the value above it {reason}"
        given = "" if value is None else f" {value}"
        root, dot, rest = key.partition(".")
        if any(action.dest == root and not action.option_strings for action in self.options._actions):
            return f"{root.upper()}{dot}{rest}{given}: {reason}"
        options = {option.replace("init_args.", "").rstrip("+"): typed for option, typed in typed_options(self.argv)}
        # jsonargparse may leave out the key of a dictionary.
        within = re.compile("--" + re.escape(key).replace(r"\.", r"(?:\..+)?\.") + (r"(?:\..+)?" if value else ""))
        longer = [option for option, typed in options.items() if within.fullmatch(option) and value in (None, typed)]
        names = {option: option.removeprefix(f"--{key}.").split(".")[0] for option in options}
        longer += [
            option
            for option, name in names.items()
            if option.startswith(f"--{key}.") and not any(_mentions(file, name) for file in self.configs())
        ]
        files = [file for file in self.configs() if _mentions(file, key.split(".")[-1])]
        if f"--{key}" in options or longer or not files:
            option = longer[0] if longer and f"--{key}" not in options else f"--{key}"
            return f"{option}{given}: {reason}"
        return f"{files[-1]}: {key}{given}: {reason}"

    def configs(self) -> list[str]:
        """The config files of the command line."""
        return [value for option, value in typed_options(self.argv) if option in ("--config", "-c")]

    def hint(self) -> Any:
        """The type of the refused value, or None if it cannot be determined."""
        for owner in reversed(self.owners):  # the innermost may be the name that cannot be imported
            with contextlib.suppress(AttributeError, NameError, TypeError, pydoc.ErrorDuringImport):
                if found := typing.get_type_hints(pydoc.locate(owner).__init__).get(self.keys[-1]):  # type: ignore[misc]
                    return found
        actions = (action for action in self.options._actions if action.dest == ".".join(self.keys))
        return next((getattr(action, "_typehint", action.type) for action in actions), None)

    def is_below_a_value(self) -> bool:
        """Whether the option that was typed is below one that holds a single value."""
        hint = self.hint()  # unknown for torch's optimizers
        return self.reason.startswith("Expected a <class") if hint is None else not is_group(hint)

    # ---------------------------------------------------------------- one method per kind of mistake

    def unknown_key(self, name: str) -> str:
        name = name.removeprefix(f"{self.command}.").replace("init_args.", "")
        if self.owner is None:
            groups = {known.split(".")[0] for known in _names(self.options)}
            meant = _meant(name, _names(self.options))
            if not meant and name.split(".")[0] not in groups:
                name, meant = (
                    name.split(".")[0],
                    f"; is the file for another command than {self.name}?",
                )
            return self.told(f"there is no such key{meant}", key=name)
        key = self.key if self.value is not None else f"{self.key}.{name}"
        kind = pydoc.locate(self.owner)
        arguments = list(inspect.signature(kind).parameters) if callable(kind) else []
        owner = self.owner.split(".")[-1]
        if self.owner in ("torch.optim.Optimizer", "torch.optim.lr_scheduler.LRScheduler"):  # the parser's guess
            return self.no_class()
        if {"args", "kwargs"} <= set(arguments):  # a base class: no config has named another yet
            return self.told("no class is named that could take this; put the method's config before this one", key=key)
        meant = _meant(name, arguments) or self._taken_elsewhere(kind, name) or known_classes(arguments, "takes")
        return self.told(f"{owner} has no such argument{meant}", self.value, key)

    def _taken_elsewhere(self, kind: Any, name: str) -> str:
        """The kind of data that takes the argument, if this one does not."""
        if self.key.split(".")[0] != "data" or not inspect.isclass(kind):
            return ""
        base = next((base for base in inspect.getmro(kind)[1:] if is_base(base)), None)
        taking = [other for other in _all_subclasses(base) if name in inspect.signature(other).parameters]
        names = " or ".join(other.__name__ for other in taking)
        return f"; {names} takes it: --config configs/data/folder.yaml, or --data {names}" if taking else ""

    def unknown_key_of_group(self, group: str, name: str) -> str:
        return self.unknown_key(f"{group}.{name}")

    def unknown_option(self, words: str) -> str:
        option = words.split(" ")[0].split("=")[0]
        if not option.startswith("-"):
            return f"{option}: one argument too many; {self.name} --help lists what it takes"
        # The parser of a class within names the option without what leads to it.
        given = dict(typed_options(self.argv))
        option = next((typed for typed in given if typed.endswith(option.removeprefix("--"))), option)
        value = given.get(option, "")
        meant = _meant(option.lstrip("-"), _names(self.options), "--") or f"; {self.name} --help lists them"
        return f"{option} {value}".rstrip() + f": there is no such option{meant}"

    def unknown_class(self, name: str) -> str:
        if self.value is not None and name != self.value:  # the name of before, which takes no arguments
            return self.no_class()
        if any("<class 'float'>" in reason.text for reason in self.reasons):  # as above
            return self.told("must be a number", name)
        if name.startswith(("{", "[")):
            return self.told("this is not valid YAML", name)
        known = subclasses(self.hint())
        return self.told(f"there is no such class{_meant(name.split('.')[-1], known) or known_classes(known)}", name)

    def wrong_class(self, name: str, base: str) -> str:
        known = subclasses(self.hint())
        return self.told(f"this is not a {base}{_meant(name.split('.')[-1], known) or known_classes(known)}", name)

    def abstract_class(self, path: str) -> str:
        if unknown := self._unknown_name():
            return unknown
        known = [name for name in subclasses(pydoc.locate(path)) if name != path.split(".")[-1]]
        return self.told(f"{path.split('.')[-1]} is abstract; name one of its classes: {some(known, 12)}", self.value)

    def no_module(self, why: str) -> str:
        name = str(self.value or self.owner)
        return self.told(f"it cannot be imported ({why}){self._meant_class(name)}", name)

    def _meant_class(self, name: str) -> str:
        hint = self.hint()
        known = [known for kind in (hint, *made_classes(hint)) for known in subclasses(kind)]
        return _meant(name.split(".")[-1], known)

    def wrong_maker(self, name: str) -> str:
        wanted = tuple(made_classes(self.hint()))
        return self.told(f"must be {one_of(wanted) if wanted else 'a class'}{self._meant_class(name)}", name)

    def no_class(self) -> str:
        made = self.outer and next(made_classes(self.hint()), None)
        key = self.outer if made else self.key.rpartition(".")[0] if self.value is not None else self.key
        return self.told(f"name a class first, with --{key} CLASS", self.value)

    def no_name(self) -> str:
        return self.told("must be the name of a class, or its class_path and init_args", self.value)

    def no_group(self) -> str:
        for option, value in typed_options(self.argv):
            if option.endswith(".init_args") and option.startswith(f"--{self.key}"):
                return f"{option} {value}: must be a group of keys"
        return self.told("its init_args must be a group of keys")

    def missing(self, names: str) -> str:
        missing = [name.removeprefix(f"{self.command}.") for name in names.split(", ")]
        if self.owner is not None:
            return self._unknown_name() or self.told(f"{self.owner.split('.')[-1]} needs {listed(missing, 'and')}")
        options = {action.dest: max(action.option_strings, key=len, default="") for action in self.options._actions}
        are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        config = f"; give {them} here or in a --config file" if "config" in options else ""
        return f"{listed([options.get(name) or name.upper() for name in missing], 'and')} {are} missing{config}"

    def _unknown_name(self) -> str | None:
        """An option for a part, such as --model.adversaries.NAME.weight, whose name no config has."""
        key = f"--{self.key}."
        given = re.search(r"Given value: \{(.*)", self.account)
        names = re.findall(r"'([^']*)': Namespace\(", given[1]) if given else []
        for option, value in typed_options(self.argv):
            name = option[len(key) :].split(".")[0]
            if option.startswith(key) and name in names and not any(_mentions(file, name) for file in self.configs()):
                meant = did_you_mean(name, [other for other in names if other != name])
                return f"{option} {value}: there is no {name!r} in {self.key}{meant}; a new one needs a class first"
        return None

    def no_command(self, names: str) -> str:
        return f"no command was given; it must be {listed(names.split(','))}"

    def wrong_choice(self, option: str, value: str, choices: str) -> str:
        option = "" if option == "subcommand" else f"{option.split('/')[-1]} "
        return f"{option}{value}: {_must(value, choices)}"

    def wrong_key_choice(self, value: str, choices: str) -> str:
        return self.told(_must(value, choices), value)

    def no_value(self, option: str) -> str:
        option = option.split("/")[-1].removesuffix("+")
        # The parser names the whole group of an option such as --model.generator.width.
        bare = [typed for typed, value in typed_options(self.argv) if not value]
        inner = [typed for typed in bare if typed == option or typed.startswith(f"{option}.")]
        return f"{inner[0] if inner else option}: its value is missing"

    def no_file(self, path: str) -> str:
        typed = next((word for word in self.argv if Path(word).absolute() == Path(path)), path)
        return f"--{self.key} {typed}: {no_such_file(typed)}"

    def no_key(self, name: str) -> str:
        files = [file for file in self.configs() if name in Path(file).read_text(errors="replace")]
        file = listed(files) if files else "--config"
        return f"{file}: {name!r} cannot be a key of {self.name}; is the file for another command?"

    def no_yaml(self, why: str) -> str:
        typed = [f"{option} {value}" for option, value in typed_options(self.argv) if why.strip('"') == value]
        if typed:
            return f"{typed[0]}: must be a group of keys, or a file of them"
        files = [file for file in self.configs() if not _is_mapping(file)] or self.configs()
        return f"--config {listed(files)}: this is not a YAML file of keys and values ({why[:160]})"

    def outside(self, value: str, limits: str) -> str:
        return self.told(
            f"must be {limits.replace('v>=', 'at least ').replace('v<=', 'at most ').replace('v', '')}", value
        )

    def wrong_time(self, form: str) -> str:
        given = re.search(r"Given value: (.*)", self.account)
        value = self.value if self.value is not None else given and given[1]
        return self.told(f"must be a time as {form.replace(chr(34), '')}", value)

    def wrong_type(self) -> str:
        given = re.search(r"(?:Got|Given) value: (?!NestedArg)(.*)", self.account)
        value = self.value if self.value is not None else given and given[1]
        expected = [re.sub(r"^Expected an? |\. Got value: .*$", "", reason.text) for reason in self.reasons]
        literals = [literal[1] for text in expected if (literal := re.match(r"typing\.Literal\[(.*)\]", text))]
        if literals:
            return self.told(_must(str(value), ", ".join(literals)), value)
        kinds = [re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text) for text in expected]
        return self.told(f"must be {listed([TYPES.get(kind, kind) for kind in dict.fromkeys(kinds)])}", value)


_SENTENCES: list[tuple[str, Callable[..., str]]] = [
    (r"Group '(.*)' does not accept option '(.*)'", _Mistake.unknown_key_of_group),
    (r"(?:Option|Subcommand '\w+' does not accept option) '(.*?)'", _Mistake.unknown_key),
    (r"[Uu]nrecognized arguments: (.*)", _Mistake.unknown_option),
    (r"(?:Expected a dot import path string|Unexpected import path format): (.*?)\n?$", _Mistake.unknown_class),
    (r"Import path (\S+) does not correspond to a subclass of (\w+)", _Mistake.wrong_class),
    (r"Expected an instantiatable class, but (\S+) is", _Mistake.abstract_class),
    (r"Expected '(\S+)' to be a (?:function|class|subclass)", _Mistake.wrong_maker),
    (r"Dict must include a class_path|Not a valid subclass", _Mistake.no_class),
    (r"Expected an import path or a subclass spec|unhashable type", _Mistake.no_name),
    (r"'\w+' object has no attribute 'keys'", _Mistake.no_group),
    (r"(No module named .*|module .* has no attribute .*)", _Mistake.no_module),
    (r"the following arguments are required: (.*)", _Mistake.missing),
    (r"expected \"\w+\" to be one of {(.*)}", _Mistake.no_command),
    (r"argument (\S+): invalid choice: '?(.*?)'? \(choose from (.*)\)", _Mistake.wrong_choice),
    (r"'?(.*?)'? not among choices [(\[](.*)[)\]]", _Mistake.wrong_key_choice),
    (r"argument (\S+): expected (?:one|at least one) argument", _Mistake.no_value),
    (r"File does not exist: '?(.*?)'?$", _Mistake.no_file),
    (r"Path is not a file: '?(.*?)'?$", _Mistake.no_file),
    (r"Spaces not allowed in keys: \"(.*)\"", _Mistake.no_key),
    (r"(?:Problems parsing|Unexpected|Unable to load) config:? (.*)", _Mistake.no_yaml),
    (r"Not of type \w+: (\S+) does not conform to restriction (.*)", _Mistake.outside),
    (r"Not of type timedelta: Expected a string with form (.*) but got \"", _Mistake.wrong_time),
    (r"Expected an? [<\w]", _Mistake.wrong_type),
]


def _reasons(account: str) -> Iterator[_Reason]:
    """The reasons in jsonargparse's account, which is a tree by indentation; always at least one."""
    if not account.startswith(("Parser key", "Problem with")):
        yield _Reason([], [], account)
        return
    above: list[tuple[int, str | None, str | None]] = []  # indentation, key, class
    for line in account.splitlines():
        text = line.lstrip(" -")
        indentation = len(line) - len(text)
        if not text or text.startswith(_SKIPPED):
            continue
        above = [level for level in above if level[0] < indentation]
        if found := re.match(r"Type typing\.Callable\[.*\] expects a function or a callable class: (.*)", text):
            text = re.sub(r"\.* Got value: .*", "", found[1])
            made = re.search(r"(?:Got|Given) value: Namespace\(class_path='(.*?)'", account[account.index(line) :])
            if made and text.startswith(("Option", "Parser key", "the following arguments")):  # about its arguments
                above.append((indentation, None, made[1]))
        if found := re.match(r'Parser key "(.*?)"(?: element \d+)?:?\s*(.*)', text):
            above.append((indentation, found[1], None))
        elif found := re.match(r"Problem with given class_path '(.*?)':\s*(.*)", text):
            above.append((indentation, None, found[1]))
        if text := found[2] if found else text:
            owners = [owner for _, _, owner in above if owner]
            if "torch.Tensor" in owners:  # which torch takes for a number
                continue
            yield _Reason([key for _, key, _ in above if key], owners, text)


def _mentions(file: str, key: str) -> bool:
    path = Path(file).expanduser()
    return os.path.isfile(path) and re.search(rf"\b{re.escape(key)}\b", path.read_text(errors="replace")) is not None


def _is_mapping(file: str) -> bool:
    try:
        return isinstance(yaml.safe_load(Path(file).expanduser().read_text()), dict)
    except (OSError, ValueError, yaml.YAMLError):
        return False


def _names(parser: ArgumentParser) -> list[str]:
    options = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
    return [option[2:] for option in options if not option.endswith((".help", "+", "print_config"))]


def _all_subclasses(kind: type | None) -> list[type]:
    children: list[type] = kind.__subclasses__() if kind else []
    found = [inner for child in children for inner in (child, *_all_subclasses(child))]
    return [inner for inner in found if not inner.__name__.startswith("_") and not is_base(inner)]


def _meant(name: str, names: Iterable[str], dashes: str = "") -> str:
    """`; did you mean ...?` with the names that are close, compared part by part at the dots; else nothing."""
    names, parts = sorted(set(names)), name.split(".")
    for position, part in enumerate(parts):
        before = "".join(f"{outer}." for outer in parts[:position])
        here = {known[len(before) :].split(".")[0] for known in names if known.startswith(before)}
        if part not in here:
            after = "".join(f".{inner}" for inner in parts[position + 1 :])
            return did_you_mean(part, here, 3, dashes + before, after)
    return ""


def _must(value: str, choices: str) -> str:
    names = list(dict.fromkeys(choice.strip(" '\"") for choice in choices.split(",")))
    return f"must be {listed(names)}" + (did_you_mean(value, names) if len(names) > _SHORT else "")
