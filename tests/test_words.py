"""Words of messages."""

from inpaintzoo.words import did_you_mean, listed


def test_a_list_reads_as_one():
    assert [listed(["a", "b", "c"][:count]) for count in (1, 2, 3)] == ["a", "a or b", "a, b or c"]
    assert listed(["a", "b"], "and") == "a and b"


def test_the_nearest_names_are_suggested():
    names = ["FreeForm", "SquareFreeForm", "CentreSquare"]
    assert did_you_mean("freefrom", names) == "; did you mean FreeForm?"
    assert did_you_mean("FreeFrom", names, 3, "masks.", ".width") == (
        "; did you mean masks.FreeForm.width or masks.SquareFreeForm.width?"
    )
    assert did_you_mean("Stripes", names) == ""
