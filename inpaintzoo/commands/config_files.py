"""Configs by name: which file `--config` stands for, from any folder.

Nothing heavy is imported here, so that a misspelt name is told at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path, PurePath

from inpaintzoo.words import did_you_mean, listed, nearest

_OPTIONS = ("--config", "-c")


def folder_of_configs(module: str | Path = __file__) -> Path:
    """Where the zoo's configs are: within the installed package, beside it in a checkout."""
    package = Path(module).parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def config_names() -> list[str]:
    """The names of the zoo's configs, such as `spn` or `data/folder`: methods first, then what is layered over them."""
    folder = folder_of_configs()
    names = [path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml")]
    return sorted(names, key=lambda name: ("/" in name, name))


def zoo_config(name: str) -> Path | None:
    """The zoo's config of a name; None if there is none.

    Args:
        name: `spn`, `spn.yaml` or `configs/spn.yaml`.
    """
    known = _plain(name)
    return folder_of_configs() / f"{known}.yaml" if known in config_names() else None


def with_config_files(command: str, arguments: Sequence[str]) -> list[str]:
    """The arguments with the zoo's configs as paths; a line on stderr says which file a name stands for.

    A file that exists comes first, then the zoo's config of that name. YAML text is left as it is.

    Args:
        command: The command's name.
        arguments: What follows it.

    Raises:
        FileNotFoundError: A config that is neither, in one sentence.
    """
    found = list(arguments)
    for place, word in enumerate(arguments):
        option, equals, value = word.partition("=")
        name = value if equals else "".join(arguments[place + 1 : place + 2])
        if option not in _OPTIONS or not name or ":" in name or name.startswith(("-", "{")):
            continue
        own = zoo_config(name)
        if os.path.isfile(name):  # no error, unlike Path, for a name that is too long or in a folder of others
            if own and not own.samefile(name):
                _say(f"inpaintzoo {command}: {option} {name} is the file here, not the zoo's {_plain(name)}")
        elif own:
            _say(f"inpaintzoo {command}: {option} {name} is the zoo's {own}")
            found[place if equals else place + 1] = f"{option}={own}" if equals else str(own)
        else:
            raise FileNotFoundError(f"{option} {name}: {_missing(name)}")
    return found


def meant_configs(name: str, files: Sequence[str] = ()) -> str:
    """`; did you mean a or b?` with the nearest names of the zoo's configs.

    Args:
        name: What was given.
        files: Files that it may have meant, to name first.
    """
    named: dict[str, list[str]] = {}  # `data/folder` is also found by `folder`
    for known in config_names():
        for part in {known, known.rpartition("/")[2]}:
            named.setdefault(part, []).append(known)
    meant = [*files, *(known for part in nearest(_plain(name), named) for known in named[part])]
    return f"; did you mean {listed(list(dict.fromkeys(meant)))}?" if meant else "; inpaintzoo config lists them"


def no_such_file(path: str) -> str:
    """Why a file cannot be read, with the nearest names in its folder."""
    if os.path.isdir(path):
        return "this is a folder; name a file in it"
    return f"there is no such file{did_you_mean(Path(path).name, _beside(path), before=_before(path))}"


def _plain(name: str) -> str:
    """The name without `configs/` in front and `.yaml` at the end."""
    return PurePath(name).as_posix().removeprefix("configs/").removesuffix(".yaml")


def _beside(path: str) -> list[str]:
    try:
        return os.listdir(Path(path).parent)
    except OSError:  # no such folder, or one that may not be read
        return []


def _before(path: str) -> str:
    return "" if str(Path(path).parent) == "." else f"{Path(path).parent}/"


def _missing(name: str) -> str:
    """Why a name stands for no config, with the nearest files and the zoo's nearest names."""
    if os.path.isdir(name) or Path(name).is_absolute():
        return no_such_file(name)
    files = [f"{_before(name)}{file}" for file in nearest(Path(name).name, _beside(name), 1)]
    return f"there is no such file, and no config of the zoo has this name{meant_configs(name, files)}"


def _say(text: str) -> None:
    if (os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or "0") == "0":
        print(text, file=sys.stderr)
