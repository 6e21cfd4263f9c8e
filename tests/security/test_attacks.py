"""docs/reference/security.md says of every attack that is tried here what its test declares."""

from tests.declared import row_of
from tests.security.attacks import ATTACKS, PAGE, attack, table, write_page


def test_every_declared_attack_stands_in_the_page(request):
    page = PAGE.read_text(encoding="utf-8")
    declared = [each for item in request.session.items for each in ATTACKS.of(item)]
    missing = [each.name for each in declared if not all(word in page for word in (each.name, each.happens, each.says))]
    assert not missing, "run `python -m tests.security.attacks` after the tests"


def test_a_failed_defence_is_told_in_the_table_and_prose_stays(tmp_path):
    page = tmp_path / "page.md"
    other = "| another | w | h |  | `test_x.py::test_z` |"
    old = "old\n| a\\|b | old | old |  | `old` |"
    page.write_text(f"# Before\n<!-- attacks: made by tests -->\n{old}\n{other}\n<!-- end of attacks -->\nafter\n")
    declared = attack("a|b", who="w", happens="h", says="refused: x").args[0]
    write_page([row_of(declared, "test_x.py::test_y", "failed")], page)
    text = page.read_text()
    assert text.startswith("# Before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert other in text
    assert r"| a\|b | w | h **(failed)** | `refused: x` | `test_x.py::test_y` |" in text
    assert table([]).startswith("| attack")
