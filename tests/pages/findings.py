"""Make docs/reference/findings.md from the kinds of problems that `fedbrats check` knows.

example:
  python -m tests.pages.findings
"""

from __future__ import annotations

from pathlib import Path

from fedbrats.atomic import write_text_atomic
from fedbrats.data.check.problems import KINDS
from fedbrats.report.markdown import markdown_table

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "findings.md"
HEAD = """# Findings

What `fedbrats check` finds in a folder of cases. `split` and `evaluate` tell the same in short, on standard error;
`train`, `poc` and `simulate` tell what `split` has written into `split.json`; `predict` tells it with each case. An
error stops the case: `split` leaves it out and `predict` refuses it. A warning asks for a look. A note is only worth
knowing. This page is made from the code by `make pages`.

"""


def main() -> None:
    """Write the page."""
    write_text_atomic(PAGE, page())


def page() -> str:
    """The page as it must be."""
    rows = [(f"`{name}`", kind.severity, kind.meaning, kind.sure, kind.advice) for name, kind in KINDS.items()]
    return HEAD + markdown_table(("finding", "severity", "meaning", "how sure", "what to do"), rows) + "\n"


if __name__ == "__main__":
    main()
