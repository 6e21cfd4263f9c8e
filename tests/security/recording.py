"""pytest's hooks that record how the test of each declared attack ended; tests/conftest.py brings them in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.security.attacks import attacks_of, record, row_of

_rows: dict[str, dict[str, str]] = {}


def pytest_configure(config: pytest.Config) -> None:
    """`attack` is a marker with one argument, the declaration."""
    config.addinivalue_line("markers", "attack(declaration): an attack that the test tries (tests.security.attacks)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Keep how each declared attack's test ended; one of several that failed has failed."""
    report = yield
    for declared in attacks_of(item):
        if report.when == "call" or report.outcome != "passed":
            test = item.nodeid.split("::", 1)[0].removeprefix("tests/") + "::" + item.originalname
            if _rows.get(declared.name, {}).get("result", "passed") == "passed":
                _rows[declared.name] = row_of(declared, test, report.outcome)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what this session has shown."""
    if rows := {name: row for name, row in _rows.items() if row["result"] != "skipped"}:
        record(rows)
