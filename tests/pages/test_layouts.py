"""The page of layouts is made from the code."""

from tests.pages import layouts


def test_the_page_of_layouts_is_current():
    assert layouts.page() == layouts.PAGE.read_text(encoding="utf-8"), "run `make pages` and commit what it changes"
