"""The glossary is in order, and has the words of the tables."""

import re
from pathlib import Path

from fedbrats.data.regions import REGIONS

GLOSSARY = Path(__file__).parents[2] / "docs" / "reference" / "glossary.md"


def test_the_glossary_is_in_order_and_has_the_words_of_the_tables():
    words = re.findall(r"^\| ([^|]+?) \|", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)[1:]
    assert words == sorted(words, key=str.lower)
    assert {*REGIONS, "round", "factor", "gate", "row", "Dice", "HD95"} <= set(words)
