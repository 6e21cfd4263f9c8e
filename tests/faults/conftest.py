"""Faults declared by tests are recorded with how their test ended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.catalogue import faults_of, record, row_of

_rows: dict[str, dict[str, str]] = {}


def pytest_configure(config: pytest.Config) -> None:
    """`fault` is a marker with one argument, the declaration."""
    config.addinivalue_line("markers", "fault(declaration): a fault that the test injects (tests.faults.catalogue)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Keep how each declared fault's test ended; a test that failed in any phase has failed, a skipped one says so."""
    report = yield
    for declared in faults_of(item):
        if report.when == "call" or report.outcome != "passed":
            test = item.nodeid.split("::", 1)[0].removeprefix("tests/") + "::" + item.originalname
            _rows[declared.name] = row_of(declared, test, report.outcome)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what this session has shown."""
    if _rows:
        record({name: row for name, row in _rows.items() if row["result"] != "skipped"})
