"""The page about refused cases is made from the code, and the glossary is in order."""

import re
from pathlib import Path

from fedbrats.data.regions import REGIONS
from tests.pages import refused

GLOSSARY = Path(__file__).parents[2] / "docs" / "reference" / "glossary.md"


def test_the_page_about_refused_cases_is_current():
    assert refused.page() == refused.PAGE.read_text(encoding="utf-8"), "run `make pages` and commit what it changes"


def test_the_glossary_is_in_order_and_has_the_words_of_the_tables():
    words = re.findall(r"^\| ([^|]+?) \|", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)[1:]
    assert words == sorted(words, key=str.lower)
    assert {*REGIONS, "round", "factor", "gate", "row", "Dice", "HD95"} <= set(words)
