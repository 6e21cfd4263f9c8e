"""What is said of a bad input is ours: no other library's class names, escape codes or files are in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fedbrats.data.cases.case import Case, find_cases
from fedbrats.data.check.checks import check_case
from fedbrats.data.prepare.cache import CacheSettings
from fedbrats.data.prepare.preparation import prepare
from fedbrats.data.regions import BRATS_2018
from tests.data.broken import BREAKAGES, break_case
from tests.generated.asking import attempt

# Names of exception classes, modules of others, escape codes, and where others' code lies.
FOREIGN = re.compile(
    r"\b[A-Z]\w*(Error|Exception)\b|\b(nibabel|numpy|torch|monai|zlib|codec)\b|\x1b|site-packages|0x[0-9a-f]"
)
DAMAGES = {
    "text": b"a, b, c\n",
    "nothing": b"",
    "zeros": bytes(5000),
    "cut gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "header alone": (348).to_bytes(4, "little") + bytes(344),
    "other length": (348).to_bytes(4, "little") + b"\xff" * 4000,
}


def judge(case: Case) -> list[str]:
    """All sentences about a case, of the check and of preparation."""
    _, refused = attempt(prepare, case, BRATS_2018, CacheSettings(spacing_mm=8.0))
    return [problem.message for problem in check_case(case, BRATS_2018)] + ([refused] if refused else [])


@pytest.mark.parametrize("name", BREAKAGES)
def test_every_broken_case_is_told_in_our_words(name: str, phantom_sites: Path, tmp_path: Path) -> None:
    case = find_cases(phantom_sites / "site-1")[0]
    said = judge(break_case(case, tmp_path, f"Phantom_{name}", BREAKAGES[name]))
    assert said
    assert [text for text in said if FOREIGN.search(text) or "\n" in text] == []


@pytest.mark.parametrize("content", DAMAGES.values(), ids=DAMAGES)
def test_every_damaged_file_is_told_in_our_words(content: bytes, phantom_sites: Path, tmp_path: Path) -> None:
    case = break_case(find_cases(phantom_sites / "site-1")[0], tmp_path, "Phantom_x", BREAKAGES["predicted"])
    case.files["t1ce"].write_bytes(content)
    said = judge(case)
    assert any("t1ce" in text for text in said)
    assert [text for text in said if FOREIGN.search(text) or "\n" in text] == []
