"""Make docs/guide/refused.md, what to do with a case that was refused, from the kinds of problems.

example:
  python -m tests.pages.refused
"""

from __future__ import annotations

from pathlib import Path

from fedbrats.atomic import write_text_atomic
from fedbrats.data.check.problems import ERROR, KINDS, WARNING, Kind

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "refused.md"
HEAD = """# My case was refused: what now?

`make pages` makes this page from the code. [Findings](../reference/findings.md) has the same as a table, with how sure
each finding is.

1. Run `fedbrats check DATA`. It names the case, the file and the kind of problem.
2. Look up the kind below, and mend the data. Then run the command again: `split`, `predict` and `evaluate` check anew.
3. A case with an error is left out by `split`, and the other cases go on. `predict --force` and `evaluate --force` take
   it all the same, where that can be done; their results name it.
4. If `check` is wrong about a case, look at it in a [viewer](viewers.md), and use `--force`.

No case was found at all? [Names and layouts](../reference/layouts.md) lists the names that are recognised, and
`--names t1ce=T1_KM,flair=dark-fluid` takes names of your own.

"""


def main() -> None:
    """Write the page."""
    write_text_atomic(PAGE, page())


def page() -> str:
    """The page as it must be."""
    errors = [entry(name, kind) for name, kind in KINDS.items() if kind.severity == ERROR]
    warnings = [entry(name, kind) for name, kind in KINDS.items() if kind.severity == WARNING]
    parts = ["## Errors: the case is refused\n", *errors, "## Warnings: the case is used, look at it\n", *warnings]
    return HEAD + "\n".join(parts)


def entry(name: str, kind: Kind) -> str:
    """One kind of problem."""
    return f"### {name}\n\n{sentence(kind.meaning)}\n\n**What to do:** {kind.advice}.\n"


def sentence(text: str) -> str:
    """With a capital and an end."""
    return text[0].upper() + text[1:] + ("" if text.endswith(("?", ".")) else ".")


if __name__ == "__main__":
    main()
