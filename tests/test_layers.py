"""Arrows point down: cli -> report, flare -> federation, model -> data. Read from the imports of every module."""

import ast
from pathlib import Path

import pytest

import fedbrats

ROOT = Path(fedbrats.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
# What a layer must not import, at any depth of its functions.
FORBIDDEN = {
    "data": (
        "nvflare",
        "fedbrats.model",
        "fedbrats.federation",
        "fedbrats.flare",
        "fedbrats.report",
        "fedbrats.cli",
    ),
    "federation": (
        "nvflare",
        "torch",
        "monai",
        "fedbrats.data",
        "fedbrats.model",
        "fedbrats.flare",
        "fedbrats.report",
        "fedbrats.cli",
    ),
    "model": ("nvflare", "fedbrats.federation", "fedbrats.flare", "fedbrats.report", "fedbrats.cli"),
    "report": ("nvflare", "fedbrats.flare", "fedbrats.cli"),
    "flare": ("fedbrats.report", "fedbrats.cli"),
}


def imports_of(path: Path) -> set[str]:
    """Modules that a file imports; those that only type checkers see do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if node in hidden:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_point_down(path):
    layer = path.relative_to(ROOT).parts[0]
    wrong = {
        name
        for name in imports_of(path)
        for forbidden in FORBIDDEN.get(layer, ())
        if name == forbidden or name.startswith(forbidden + ".")
    }
    assert not wrong


def test_only_regions_and_its_neighbours_know_label_numbers():
    """A label value outside data/ would be silently wrong for another BraTS year."""
    outside = [path for path in MODULES if path.relative_to(ROOT).parts[0] in ("model", "federation", "flare")]
    for path in outside:
        names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert "enhancing" not in names, path
