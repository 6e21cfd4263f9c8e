"""Every warning and error that this package can log has a row in operations.md, and every row is logged somewhere."""

import ast
import re

import pytest

from fedbrats.shipped import PACKAGE_DIR, shipped_dir

LEVELS = ("warning", "error", "exception", "critical")
LOGGERS = re.compile(r"(self\._?)?_?(logger|log)|component|self(\._workflow)?|logging\.getLogger\(.*\)")
PAGE = shipped_dir() / "docs" / "reference" / "operations.md"
# Their sentence is made elsewhere, by an exception or a check: the page's last row is about these.
OTHERS = {"{}", "site {}: {}", "site {} has {}"}
# Of processes that no server and no site runs.
ELSEWHERE = {"a site has ended"}


def rows():
    """The messages of the table, row by row."""
    table = PAGE.read_text().partition("| the log says | at |")[2].partition("\n\n")[0]
    found = [re.findall(r"`([^`]+)`", line.split(" | ")[0]) for line in table.splitlines()[2:]]
    assert not found[-1], "the last row is for everything else"
    return found[:-1]


def text_of(node, names):
    """A message with `{}` for what is filled in; names: the texts that local variables have."""
    if isinstance(node, ast.Constant):
        return re.sub(r"%[sd]", "{}", str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part, names) for part in node.values)
    if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Name) and node.value.id in names:
        return " ".join(names[node.value.id])
    return "{}"


def logged_by(source):
    """The messages of a module that are warnings or errors."""
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef):
            continue
        names = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.JoinedStr | ast.Constant):
                for target in node.targets:
                    names.setdefault(ast.unparse(target), []).append(text_of(node.value, {}))
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                level = node.func.attr.removeprefix("log_")
                if level in LEVELS and LOGGERS.fullmatch(ast.unparse(node.func.value)):
                    yield text_of(node.args[1 if node.func.attr.startswith("log_") else 0], names)


@pytest.fixture(scope="module")
def logged():
    paths = [path for path in sorted(PACKAGE_DIR.rglob("*.py")) if "cli" not in path.relative_to(PACKAGE_DIR).parts]
    return {text for path in paths for text in logged_by(path.read_text())} - ELSEWHERE


def test_every_line_has_a_row(logged):
    assert len(logged) > 40, "this test finds nothing any more"
    said = [message for row in rows() for message in row]
    without = {text for text in logged if not any(message in text for message in said)}
    assert without == OTHERS


def test_every_row_is_logged_somewhere(logged):
    assert [row for row in rows() if not row or not all(any(said in text for text in logged) for said in row)] == []


def test_what_is_not_explained_is_found():
    source = "def f(self, x):\n    message = f'oh {x}'\n    self.log_error(x, f'{message}; at={x}')\n    _log.info('b')"
    assert list(logged_by(source)) == ["oh {}; at={}"]
