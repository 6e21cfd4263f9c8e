"""Make the table of rooms in docs/reference/architecture.md from the package.

example:
  python -m tests.pages.rooms
"""

from __future__ import annotations

import ast
from pathlib import Path

import fedbrats
from fedbrats.report.markdown import markdown_table
from tests.pages.marks import put_between

ROOT = Path(fedbrats.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "architecture.md"
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def main() -> None:
    """Write the table into the page."""
    put_between(PAGE, "rooms", table())


def table() -> str:
    """A row a folder: how many files, the largest class and the largest function."""
    rows = []
    for folder in sorted({path.parent for path in ROOT.rglob("*.py")}):
        files = [path for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]
        trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files]
        nodes = [node for tree in trees for node in ast.walk(tree)]
        classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
        functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        room = folder.relative_to(ROOT.parent).as_posix()
        rows.append((f"`{room}`", str(len(files)), largest(classes), largest(functions)))
    return markdown_table(("room", "files", "largest class (lines)", "largest function (lines)"), rows)


def largest(found: list[ast.ClassDef] | list[ast.FunctionDef | ast.AsyncFunctionDef]) -> str:
    """The name and the lines of the longest definition; decorators count."""
    sizes = [(lines_of(node), node.name) for node in found]
    if not sizes:
        return ""
    lines, name = max(sizes)
    return f"`{name}` ({lines})"


def lines_of(node: Definition) -> int:
    """From the first decorator to the last line."""
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    return (node.end_lineno or first) - first + 1


if __name__ == "__main__":
    main()
