"""Make docs/reference/findings.md from the kinds of problems that `fedbrats check` knows.

example:
  python -m tests.pages.findings
"""

from __future__ import annotations

from pathlib import Path

from fedbrats.atomic import write_text_atomic
from fedbrats.data.check.problems import ERROR, KINDS, NOTE, REAL_CASES, SURE, WARNING, Kind
from fedbrats.report.markdown import markdown_table

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "findings.md"
HEAD = f"""# Findings: my case was refused, what now?

This page lists what `fedbrats check` finds in a folder of cases. `make pages` makes it from the code.

1. Run `fedbrats check DATA`. It names the case, the file and the kind of problem.
2. Look the kind up below, and correct the data. Then run your command again: `split`, `predict` and `evaluate` check
   the cases each time.
3. If `check` is wrong about a case, look at it in a [viewer](../guide/viewers.md). `predict` and `evaluate` take it
   with `--force`, if that is possible; their results name it. `split` has no such option for a case.

No case was found at all? [Names and layouts](layouts.md) lists the names that are recognised, and
`--names t1ce=T1_KM,flair=dark-fluid` takes names of your own.

Every command that reads cases prints findings: in short on standard error, and in full under `findings` in its
`--json`. `train`, `personalise`, `poc`, `simulate`, and `evaluate` with a sites folder do not check again: they repeat
what `split` wrote into `split.json`. `fedbrats report` counts the findings of each kind; it names no case.

A finding is certain unless its meaning says otherwise. *Measured*: the check ran on {REAL_CASES} different BraTS cases
(39 of BraTS 2018 and 2019 at 2 mm, ten of BraTS 2021 at 2 mm, one at 1 mm) and was wrong about none. The limits of the
checks were compared with these same cases, so a wrong finding in other data is possible. *Likely*: look at the case.
"""
PARTS = {
    ERROR: "## Errors\n\n`split` leaves the case out, and goes on with the others. `predict` and `evaluate` refuse it, "
    "and end with exit\nstatus 1.\n",
    WARNING: "## Warnings\n\nThe case is used. Look at it.\n",
    NOTE: "## Notes\n\nFor information only.\n",
}


def main() -> None:
    """Write the page."""
    write_text_atomic(PAGE, page())


def page() -> str:
    """The page as it must be."""
    parts = [HEAD]
    for severity, head in PARTS.items():
        rows = [(f"`{name}`", meaning(kind), kind.advice) for name, kind in KINDS.items() if kind.severity == severity]
        parts += [head, markdown_table(("finding", "meaning", "what to do"), rows).strip() + "\n"]
    return "\n".join(parts)


def meaning(kind: Kind) -> str:
    """What the finding means, and how sure it is where it is not certain."""
    return kind.meaning if kind.sure == SURE else f"{kind.meaning} ({kind.sure.split()[0].strip(':')})"


if __name__ == "__main__":
    main()
