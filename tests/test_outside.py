"""A text from outside does nothing where it is shown: no control sequence, no second line, no formula."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbrats.outside import FORMULA_SIGNS, LONGEST_CELL, SHORT, show, show_in_table, show_lines

TEXTS = st.text(alphabet=st.characters(), max_size=2 * LONGEST_CELL)
HOSTILE = ["a\x1b[31m\n2026 - ERROR - forged", "x" * 10**6, "\x00", 17, 10**10000, [10**10000], {"a": "\n"}, None]


@given(TEXTS)
def test_what_is_shown_prints_and_is_bounded(text):
    shown = show(text)
    assert shown.isprintable()
    assert len(shown) <= SHORT
    assert not show_in_table(text).startswith(FORMULA_SIGNS)


@given(TEXTS)
def test_lines_of_others_are_none_of_ours(text):
    first, *rest = show_lines(text, LONGEST_CELL).split("\n")
    assert all(line.isprintable() for line in (first, *rest))
    assert all(line.startswith("    ") for line in rest)


@pytest.mark.parametrize("said", HOSTILE, ids=map(str, range(len(HOSTILE))))
def test_whatever_is_said_can_be_shown(said):
    assert 0 < len(show(said)) <= SHORT
    assert show(said).isprintable()


def test_a_name_that_would_act_is_readable():
    assert show_in_table("=1+1\x1b[31mRED") == "'=1+1\\x1b[31mRED"
    assert show("two\nlines\u202e") == "two\\nlines\\u202e"
    assert show("Fall_001 (Größe)") == "Fall_001 (Größe)"
    assert show("x" * 81) == "x" * 77 + "..."
    assert show_lines("Traceback:\n  File x\r\x07", 99) == "Traceback:\n      File x\\r\\x07"
