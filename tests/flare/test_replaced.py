"""Whatever this package replaces in FLARE is known to the fixture that gives it back after every test."""

import ast
from pathlib import Path

import fedbrats
from tests.conftest import REPLACED_IN_FLARE

PACKAGE = Path(fedbrats.__file__).parent


def replaced_in(tree):
    """Modules and classes of FLARE to whose attributes a module of this package assigns."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nvflare"):
            names |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            first, *rest = ast.unparse(node.value).split(".")
            if first in names:
                yield ".".join([names[first], *rest])


def test_all_that_is_replaced_is_given_back():
    classes = {f"{module}.{name}" for module, names in REPLACED_IN_FLARE.items() for name in names}
    found = {each for path in PACKAGE.rglob("*.py") for each in replaced_in(ast.parse(path.read_text()))}
    assert len(found) > 10, "this test finds nothing any more"
    marked = {each for each in found if each.rpartition(".")[0] in classes}  # a method gets a mark
    unknown = found - marked - classes - set(REPLACED_IN_FLARE)
    assert unknown == {"nvflare.fuel.f3.streaming.stream_utils"}, "a number, in a process that was forked"
