"""`inpaintzoo label`: label maps for images that have none, by a segmenter of torchvision."""

from __future__ import annotations

import inspect
import json
import shlex
from collections.abc import Sequence

import numpy as np
from jsonargparse import ArgumentParser, Namespace

from inpaintzoo.commands.run import instantiated, run_command
from inpaintzoo.data.labels.classes import LabelClasses
from inpaintzoo.data.labels.segmenter import LabelFolder, label_images
from inpaintzoo.words import counted, some


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments after `inpaintzoo label`; None reads sys.argv.

    Returns:
        The exit code: 0, 1 for an error that the user can fix, 2 for wrong usage.
    """
    parser = make_parser()

    def label(config: Namespace) -> None:
        _report(label_images(**instantiated(parser, config)))

    return run_command(parser, argv, label)


def make_parser() -> ArgumentParser:
    """The options of the command."""
    summary = (label_images.__doc__ or "").splitlines()[0]
    parser = ArgumentParser(prog="inpaintzoo label", description=summary)
    parser.add_function_arguments(label_images, skip={"force"})
    parser.add_argument("--force", action="store_true", help="replace existing maps")
    return parser


def _report(labelled: LabelFolder) -> None:
    folder, classes, pixels = labelled.folder, labelled.classes, labelled.pixels
    before = f" ({labelled.kept} from before)" if labelled.kept else ""
    print(f"{counted(labelled.made + labelled.kept, 'label map')} in {folder}{before}")
    if labelled.made:
        shares = pixels / pixels.sum()
        order = np.argsort(-shares, kind="stable")
        listed = [f"{classes.names[index]} {shares[index]:.1%}" for index in order[:6] if pixels[index]]
        print(f"classes of the new ones: {some(listed, 5)}")
    flags = _data_flags(classes)
    print(f"use them: --data.labels {folder} {flags} --model.generator.num_classes {len(classes)}")


def _data_flags(classes: LabelClasses) -> str:
    """The flags with which FolderData reads the maps."""
    if classes.values is None:
        return f"--data.num_classes {len(classes)}"
    flags = [f"--data.classes {type(classes).__module__}.{type(classes).__qualname__}"]
    for name, parameter in inspect.signature(type(classes)).parameters.items():
        if (value := getattr(classes, name)) != parameter.default:
            text = value if isinstance(value, str) else json.dumps(value)
            flags.append(f"--data.classes.{name} {shlex.quote(text)}")
    return " ".join(flags)
