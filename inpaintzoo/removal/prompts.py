"""Clicks and boxes as text, as the command line and HTTP requests give them."""

from __future__ import annotations

from collections.abc import Sequence

from inpaintzoo.pictures.boxes import Box
from inpaintzoo.removal.segmenter import Point, Prompt
from inpaintzoo.types import ConfigError


def read_prompts(at: Sequence[str], away: Sequence[str], box: Sequence[str], dashes: str = "") -> list[Prompt]:
    """One prompt for each box, with the clicks inside it, and one for each other click.

    Args:
        at: X,Y; or X,Y+X,Y for several clicks on one object.
        away: X,Y.
        box: LEFT,TOP,RIGHT,BOTTOM.
        dashes: what stands before the names of these arguments in error messages.

    Raises:
        ConfigError: a text of another form.
    """
    beside = tuple(_point(f"{dashes}away", text) for text in away)
    clicks = [tuple(_point(f"{dashes}at", part) for part in text.split("+")) for text in at]
    prompts = []
    for left, top, right, bottom in (_numbers(f"{dashes}box", text, 4) for text in box):
        around = Box(top, left, bottom, right)
        inside = [each for each in clicks if all(_within(point, around) for point in each)]
        clicks = [each for each in clicks if each not in inside]
        prompts.append(Prompt(tuple(point for each in inside for point in each), beside, around))
    return prompts + [Prompt(each, beside) for each in clicks]


def _within(point: Point, box: Box) -> bool:
    return box.left <= point[0] < box.right and box.top <= point[1] < box.bottom


def _point(name: str, text: str) -> Point:
    x, y = _numbers(name, text, 2)
    return x, y


def _numbers(name: str, text: str, count: int) -> list[int]:
    form = {2: "X,Y", 4: "LEFT,TOP,RIGHT,BOTTOM"}[count]
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise ConfigError(f"{name} must be {form} in whole pixels, got {text!r}")
    return numbers
