"""What others say is short and printable in a line."""

import pytest

from fedbrats.words import LONGEST, shown

HOSTILE = ["a\x1b[31m\n2026 - ERROR - forged", "x" * 10**6, "\x00", 17, 10**10000, ["a"] * 999, {"a": "\n"}, None, "é"]


@pytest.mark.parametrize("said", HOSTILE, ids=map(str, range(len(HOSTILE))))
def test_what_others_say_is_short_and_printable_in_a_line(said):
    assert 0 < len(shown(said)) <= LONGEST
    assert shown(said).isprintable()


def test_a_short_printable_text_is_itself():
    assert shown("hospital-north") == "hospital-north"
    assert shown("x" * 81) == "x" * 77 + "..."
