"""docs/reference/reliability.md says of every fault test that runs here what it declares."""

import pytest

from tests.declared import row_of
from tests.faults.catalogue import FAULTS, PAGE, fault, table, write_page


def test_every_declared_fault_stands_in_the_page(request):
    page = PAGE.read_text(encoding="utf-8")
    declared = [each for item in request.session.items for each in FAULTS.of(item)]
    missing = [each.name for each in declared if not all(word in page for word in (each.name, each.outcome))]
    assert not missing, "run `python -m tests.faults.catalogue` after the fault tests"


def test_a_failed_fault_is_told_in_the_table_and_prose_stays(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Before\n<!-- faults: made by tests -->\nold\n<!-- end of faults -->\nafter\n")
    declared = fault("a|b", injected="i", detected="d", outcome="survived, r").args[0]
    write_page([row_of(declared, "test_x.py::test_y", "failed")], page)
    text = page.read_text()
    assert text.startswith("# Before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert r"| a\|b | i | d | survived, r **(failed)** | `test_x.py::test_y` |" in text
    assert table([]).startswith("0 faults")


def test_an_outcome_is_survival_or_a_loud_end():
    with pytest.raises(ValueError, match="must begin with"):
        fault("x", injected="i", detected="d", outcome="who knows")
