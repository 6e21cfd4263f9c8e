"""Make the table of folders in docs/reference/architecture.md from the docstrings of the package.

example:
  python -m tests.pages.folders
"""

from __future__ import annotations

import ast
from pathlib import Path

import fedbrats
from fedbrats.report.markdown import markdown_table
from tests.pages.marks import put_between

ROOT = Path(fedbrats.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "architecture.md"


def main() -> None:
    """Write the table into the page."""
    put_between(PAGE, "folders", table())


def table() -> str:
    """A row for each folder below the package: the first paragraph of its docstring."""
    rows = []
    for path in sorted(ROOT.rglob("__init__.py"), key=lambda path: path.parent):
        if path.parent != ROOT:
            said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            rows.append((f"`{path.parent.relative_to(ROOT)}`", " ".join(said.split("\n\n")[0].split())))
    return markdown_table(("folder", "what it is for"), rows)


if __name__ == "__main__":
    main()
