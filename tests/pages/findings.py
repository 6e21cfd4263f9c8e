"""Make docs/reference/findings.md from the kinds of problems that `fedbrats check` knows.

example:
  python -m tests.pages.findings
"""

from __future__ import annotations

from pathlib import Path

from fedbrats.atomic import write_text_atomic
from fedbrats.data.check.problems import KINDS, REAL_CASES
from fedbrats.report.markdown import markdown_table

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "findings.md"
HEAD = f"""# Findings

This page lists what `fedbrats check` finds in a folder of cases. `make pages` makes it from the code.

- An error stops the case: `split` leaves it out. `predict` and `evaluate` refuse it unless `--force` is given, and end
  with exit status 1.
- A warning asks you to look at the case.
- A note is information only.

Every command that reads cases prints findings too: in short on standard error, and in full under `findings` in its
`--json`. `split`, `predict`, and `evaluate` with a folder of cases, check the cases themselves. `train`, `personalise`,
`poc`, `simulate`, and `evaluate` with a sites folder, repeat what `split` wrote into `split.json`. `fedbrats report`
counts the findings of each kind; it names no case.

"Measured" means that the check ran on {REAL_CASES} different BraTS cases: 39 of BraTS 2018 and 2019 at 2 mm, ten of
BraTS 2021 at 2 mm, and one of BraTS 2021 at 1 mm. Four of the 39 were also checked at 1 mm; they count once. One case
has a finding, `partial-coverage`: its FLAIR does lack a third of the brain. The limits of the checks were compared with
these same cases, so a wrong finding in other data is possible.

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
