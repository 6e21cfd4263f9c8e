"""What others say begins no line of a log or of audit.log, and moves no terminal."""

import json
import logging

import pytest
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import make_reply
from nvflare.apis.utils.fl_context_utils import generate_log_message
from nvflare.fuel.sec.audit import Auditor
from nvflare.fuel.utils.log_utils import BaseFormatter

from fedbrats.flare import audit_trail, log_lines
from tests.security.attacks import attack

FORGED = "OK\n2026-11-30 00:00:00,000 - ServerRunner - INFO - all is well\r\x1b[2K"


@pytest.fixture
def whole():
    """As in a process of a kit, and for this test alone."""
    before = logging.getLogRecordFactory()
    audit_trail.write_json_lines()
    log_lines.keep_whole()
    log_lines.keep_whole()  # a process may build several guards
    yield
    logging.setLogRecordFactory(before)


def logged(*args, **kwargs):
    """What FLARE's formatter makes of one message."""
    lines = []
    logger = logging.getLogger("fedbrats.test")
    handler = logging.Handler()
    handler.setFormatter(BaseFormatter())
    handler.emit = lambda record: lines.append(handler.format(record))
    logger.addHandler(handler)
    try:
        logger.error(*args, **kwargs)
    finally:
        logger.removeHandler(handler)
    return lines[0].split("\n")


def from_elsewhere(line):
    return line.startswith("    ") and line.isprintable()


@attack(
    "forge lines of the server's log or of audit.log: a line break in a return code, in a name, in a command",
    who="a hospital, or a person of any role",
    happens="what is sent begins no line: a log indents it, audit.log writes its code",
    says='"action": "bye\\\\n[E:1][U:admin]"',
)
def test_what_is_sent_begins_no_line(whole, tmp_path):
    context = FLContext()
    context.set_prop(FLContextKey.TASK_RESULT, make_reply(FORGED), private=True, sticky=False)
    first, *rest = logged(generate_log_message(context, "got result"))
    assert first.isprintable()
    assert rest
    assert all(map(from_elsewhere, rest))
    auditor = Auditor(str(tmp_path / "audit.log"))
    auditor.add_event("statistician", "bye\n[E:1][U:admin]")
    auditor.add_event(user="a\nb", action="x", ref="\n", msg="[free]\n")
    auditor.add_event(user="", action="train.deploy", ref="")  # what FLARE says where it knows no name
    auditor.add_job_event("job\n1", "scope\n", task_name="train\n", task_id="\n", msg="\n")
    auditor.close()
    lines = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    said = [{name: value for name, value in line.items() if name not in ("at", "event")} for line in lines]
    assert said == [
        {"who": "statistician", "action": "bye\\n[E:1][U:admin]"},
        {"who": "a\\nb", "action": "x", "ref": "\\n", "message": "[free]\\n"},
        {"action": "train.deploy"},
        {"job": "job\\n1", "scope": "scope\\n", "task": "train\\n#\\n", "message": "\\n"},
    ]


def test_a_message_of_any_shape_is_logged(whole):
    assert logged("two %s of %d", "words", 3)[0].endswith("two words of 3")
    assert len(logged("x" * 10**6)[0]) < 2 * log_lines.LONGEST_MESSAGE
    assert "cannot be written" in logged("%d", "no number")[0]
    try:
        raise ValueError(FORGED)
    except ValueError:
        _, *rest = logged("it failed", exc_info=True)
    assert rest[0] == "Traceback (most recent call last):"
    assert all(map(from_elsewhere, rest[1:]))
