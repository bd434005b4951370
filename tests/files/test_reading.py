"""The project's JSON files are read by one reader: what does not fit is refused in a sentence."""

import json
import random

import msgspec
import pytest

from inpaintzoo.files.reading import parse_json, read_json
from inpaintzoo.types import DataError


class Facts(msgspec.Struct):
    """A shape with a bound, a list and a value that may be missing."""

    width: int
    names: list[str]
    rate: float | None = None


GOOD = {"width": 4, "names": ["a", "\udcff"], "rate": 0.5, "unknown": 1}


def test_what_fits_is_read(tmp_path):
    file = tmp_path / "facts.json"
    file.write_text(json.dumps(GOOD))
    assert read_json(file, Facts, "delete it") == Facts(4, ["a", "\udcff"], 0.5)
    assert parse_json('{"a": NaN, "b": 1e400}', dict[str, float]) == pytest.approx(
        {"a": float("nan"), "b": float("inf")}, nan_ok=True
    )


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[1]", b"null", b"\xff", b"\0" * 50, b"[" * 100_000, b'{"a":' * 100_000,
        b'{"names": []}', b'{"width": "4", "names": []}', b'{"width": true, "names": []}',
        b'{"width": 4, "names": [1]}',
        b'{"width": 4, "names": [], "rate": 1' + b"0" * 400 + b"}", b'{"width": 1' + b"0" * 5000 + b', "names": []}',
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_the_reason_and_the_remedy(tmp_path, content):
    file = tmp_path / "facts.json"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"^\S+facts\.json is damaged \([^\n]{5,150}\); delete it$"):
        read_json(file, Facts, "delete it")


def test_what_cannot_be_read_is_named_too(tmp_path):
    with pytest.raises(DataError, match=r"facts\.json cannot be read \(No such file or directory\); delete it"):
        read_json(tmp_path / "facts.json", Facts, "delete it")
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\); delete it"):
        read_json(tmp_path, Facts, "delete it")


def test_mutants_are_read_or_refused():
    source, good = random.Random(0), json.dumps(GOOD).encode()
    for _ in range(2000):
        mutant = bytearray(good)
        for _ in range(source.randint(1, 4)):
            place = source.randrange(len(mutant))
            mutant[place : place + source.randint(0, 3)] = source.randbytes(source.randint(0, 2))
        try:
            found = parse_json(bytes(mutant), Facts)
        except ValueError as error:
            assert "\n" not in str(error)
        else:
            assert isinstance(found.width, int) and all(isinstance(name, str) for name in found.names)
