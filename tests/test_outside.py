"""A text from outside does nothing where it is shown: no control sequence, no second line, no formula."""

from hypothesis import given
from hypothesis import strategies as st

from fedbrats.outside import FORMULA_SIGNS, LONGEST, show, show_in_table


@given(st.text(alphabet=st.characters(), max_size=2 * LONGEST))
def test_what_is_shown_prints_and_is_bounded(text):
    shown = show(text)
    assert shown.isprintable()
    assert len(shown) <= LONGEST + 3
    assert not show_in_table(text).startswith(FORMULA_SIGNS)


def test_a_name_that_would_act_is_readable():
    assert show_in_table("=1+1\x1b[31mRED") == "'=1+1\\x1b[31mRED"
    assert show("two\nlines\u202e") == "two\\nlines\\u202e"
    assert show("Fall_001 (Größe)") == "Fall_001 (Größe)"
