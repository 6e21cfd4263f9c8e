"""Make the tables of docs/reference/rows.md from what the package says of its rows and of a site's report.

example:
  python -m tests.pages.rows
"""

from __future__ import annotations

import re
from pathlib import Path

from fedbrats import rows
from fedbrats.report.markdown import markdown_table
from fedbrats.site_report import SiteReport
from tests.pages.marks import put_between

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "rows.md"


def main() -> None:
    """Write the tables into the page."""
    for name, table in tables().items():
        put_between(PAGE, name, table)


def tables() -> dict[str, str]:
    """The tables of the page by the name of their marks."""
    kinds = re.findall(r"^- (`\w+`): (.*?)(?=^- |\Z)", rows.__doc__ or "", re.MULTILINE | re.DOTALL)
    entries = [(f"`{name}`", on_one_line(field.description or "")) for name, field in SiteReport.model_fields.items()]
    return {
        "rows": markdown_table(
            ("kind", "entries and their meaning"), [(kind, on_one_line(said)) for kind, said in kinds]
        ),
        "report": markdown_table(("entry", "meaning"), entries),
    }


def on_one_line(text: str) -> str:
    """A text for a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
