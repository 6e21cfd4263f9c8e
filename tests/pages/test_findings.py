"""The page of findings is made from the code, and every finding says what to do."""

from fedbrats.data.check.problems import KINDS
from tests.pages import findings


def test_the_page_of_findings_is_current():
    assert findings.page() == findings.PAGE.read_text(encoding="utf-8"), "run `make pages` and commit what it changes"


def test_every_finding_says_how_sure_it_is_and_what_to_do():
    assert all(kind.sure and kind.advice for kind in KINDS.values())
