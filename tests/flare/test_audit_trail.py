"""`audit.log`: one JSON object a line, in UTC, without polls, put aside when it is full, to syslog on demand."""

import json
import logging
import logging.config
import re
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from nvflare.fuel.sec.audit import Auditor

from fedbrats.flare import audit_trail

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "operations.md"


@pytest.fixture
def auditor(tmp_path):
    audit_trail.write_json_lines()
    found = Auditor(str(tmp_path / "audit.log"))
    yield found
    found.close()


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_says_who_did_what_and_when(auditor, tmp_path):
    before = datetime.now(UTC)
    event = auditor.add_event("admin@university.example", "abort_job 0a1b", ref="r")
    (line,) = lines_of(tmp_path / "audit.log")
    assert {**line, "at": ""} == {
        "at": "", "event": event, "who": "admin@university.example", "action": "abort_job 0a1b", "ref": "r",
    }  # fmt: skip
    assert line["at"].endswith("Z")
    assert abs((datetime.fromisoformat(line["at"]) - before).total_seconds()) < 3600, "not UTC"


def test_polls_go_to_the_debug_log(auditor, tmp_path, caplog):
    with caplog.at_level(logging.DEBUG, logger=audit_trail.__name__):
        for action in ("check_status", "check_status client", "train.check_status", "show_stats x server"):
            assert auditor.add_event("", action) == ""
    assert (tmp_path / "audit.log").read_text() == ""
    assert len(caplog.records) == 4
    assert {record.levelname for record in caplog.records} == {"DEBUG"}


def test_a_full_file_is_put_aside_and_nothing_is_lost(auditor, tmp_path, monkeypatch):
    monkeypatch.setattr(audit_trail, "MOST_BYTES", 500)
    for number in range(30):
        auditor.add_event("admin", f"action-{number}")
    files = sorted(path for path in tmp_path.glob("audit-*.log"))
    assert len(files) > 2
    assert max(path.stat().st_size for path in files) < 1000
    found = [line["action"] for path in [*files, tmp_path / "audit.log"] for line in lines_of(path)]
    assert found == [f"action-{number}" for number in range(30)]


def test_after_the_end_of_a_process_nothing_is_written(auditor, tmp_path):
    auditor.close()
    assert auditor.add_event("admin", "x") == ""
    assert (tmp_path / "audit.log").read_text() == ""


def test_syslog_gets_every_line_by_the_settings_of_the_page(auditor, tmp_path, monkeypatch):
    """The page's own example, but for the address."""
    (example,) = [text for text in re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL) if "SysLog" in text]
    document = {"version": 1, "disable_existing_loggers": False, **json.loads(example)}
    monkeypatch.chdir(tmp_path)  # a path of a socket has a hundred signs at most
    document["handlers"]["syslog"]["address"] = "log.socket"
    logger = logging.getLogger(audit_trail.AUDIT_LOGGER)
    before = (logger.handlers, logger.level, logger.propagate)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.settimeout(30)
        heard.bind("log.socket")
        try:
            logging.config.dictConfig(document)
            auditor.add_event("admin", "disable_client hospital-east")
            said = heard.recv(4096).decode().rstrip("\0")
        finally:
            for handler in logger.handlers:
                handler.close()
            logger.handlers, logger.level, logger.propagate = before
    assert json.loads(said[said.index("{") :])["action"] == "disable_client hospital-east"
    assert "fedbrats" in said[: said.index("{")]
