"""Arrows point down, from cli to data: read from the imports of every module."""

import ast
from pathlib import Path

import pytest

import fedbrats
from fedbrats.flare import protocol

ROOT = Path(fedbrats.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
# From the top down; a floor imports what is below it, and its neighbours where BESIDE says so.
FLOORS = (
    ("cli",),
    ("api",),
    ("admin",),
    ("misbehaviour",),
    ("flare",),
    ("report", "jobs", "site"),
    ("model",),
    ("federation", "data", "privacy"),
)
BESIDE = {("report", "jobs")}
# Other packages that a floor must not import, at any depth of its functions.
FOREIGN = {
    "jobs": ("nvflare",),
    "site": ("nvflare",),
    "report": ("nvflare",),
    "model": ("nvflare",),
    "federation": ("nvflare", "torch", "monai"),
    "data": ("nvflare",),
    "privacy": ("nvflare", "torch", "monai"),
}
# Inside FLARE's processes: the server's and a site's meet in flare/protocol.py alone.
APART = {("flare", "server"): "fedbrats.flare.site", ("flare", "site"): "fedbrats.flare.server"}
PREFIXES = ("fedbrats_", "fedce_", "SRV_", "val_")  # of keys that can be nothing else
MOST_FILES = 15
MOST_LINES = {ast.FunctionDef: 60, ast.AsyncFunctionDef: 60, ast.ClassDef: 150}
LONGER: dict[str, str] = {}  # "path name" of what must be longer than that, and why


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


def forbidden_to(room: str) -> set[str]:
    """What a module of a room must not import."""
    height = next((number for number, floor in enumerate(FLOORS) if room in floor), None)
    if height is None:
        return set()
    above = {name for floor in FLOORS[:height] for name in floor}
    beside = {name for name in FLOORS[height] if name != room and (room, name) not in BESIDE}
    return {f"fedbrats.{name}" for name in above | beside} | set(FOREIGN.get(room, ()))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_point_down(path):
    room = path.relative_to(ROOT).parts[0]
    wrong = {
        name
        for name in imports_of(path)
        for forbidden in forbidden_to(room)
        if name == forbidden or name.startswith(forbidden + ".")
    }
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_server_and_site_meet_in_the_protocol_alone(path):
    other = APART.get(path.relative_to(ROOT).parts[:2])
    assert not {name for name in imports_of(path) if other and (name == other or name.startswith(other + "."))}


def test_no_room_has_more_files_than_a_reader_takes_in_at_once():
    rooms = [folder for folder in [ROOT, *ROOT.rglob("*")] if folder.is_dir() and folder.name != "__pycache__"]
    assert {room: count for room in rooms if (count := len(list(room.glob("*.py")))) > MOST_FILES} == {}


def test_only_regions_and_its_neighbours_know_label_numbers():
    """A label value outside data/ would be silently wrong for another BraTS year."""
    inside = ("model", "federation", "flare", "jobs", "site", "admin")
    for path in [path for path in MODULES if path.relative_to(ROOT).parts[0] in inside]:
        names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert "enhancing" not in names, path


def test_nothing_ends_in_a_stop_iteration():
    """`next()` without a default raises it, which says nothing; of what cannot be empty, `next(iter(...))` may ask."""
    bare = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "next" and len(node.args) == 1
        if not ast.unparse(node.args[0]).startswith("iter(")
    ]
    assert bare == []


def test_no_function_and_no_class_is_longer_than_a_reader_takes_in_at_once():
    found = {
        f"{path.relative_to(ROOT)} {node.name}": node.end_lineno - node.lineno + 1
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (most := MOST_LINES.get(type(node))) and node.end_lineno - node.lineno + 1 > most
    }
    assert {name: lines for name, lines in found.items() if name not in LONGER} == {}


def test_keys_of_messages_are_named_and_never_written_out():
    """A key that travels stands in flare/protocol.py, or is FLARE's own constant."""
    calls = {"set_header", "get_header", "set_meta_prop", "get_meta_prop", "add_cookie", "get_cookie"}
    written = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        if path.relative_to(ROOT).parts[0] in ("flare", "misbehaviour")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in calls
        if node.args and isinstance(node.args[0], ast.Constant)
    ]
    assert written == []


def test_a_key_of_the_protocol_stands_nowhere_else():
    keys = {value for value in vars(protocol).values() if isinstance(value, str) and value.startswith(PREFIXES)}
    assert len(keys) >= 6
    for path in MODULES:
        if path != Path(protocol.__file__):
            texts = {
                node.value
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
            assert not texts & keys, path
