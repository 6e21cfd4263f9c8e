"""A line of a log, or of `audit.log`, is of whoever wrote it: what others say in it cannot begin another.

FLARE 2.9.0 writes what it is sent as it is: the return code of a site's answer stands in every line about it, the
command of a person in `audit.log`. With a line break in it, either could write lines that look like the server's own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from nvflare.fuel.sec.audit import Auditor

from fedbrats.outside import show, show_lines

LONGEST_MESSAGE, LONGEST_TRACEBACK, LONGEST_AUDITED = 10_000, 50_000, 500
NO_BRACKETS = str.maketrans("[]", "()")  # which part the entries of a line of audit.log


def keep_whole() -> None:
    """Have this process indent and escape what stands in its logs, and write one line an event into `audit.log`."""
    make = logging.getLogRecordFactory()
    if getattr(make, "whole", False):
        return

    def make_whole(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return _whole(make(*args, **kwargs))

    make_whole.whole = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make_whole)
    for method in ("add_event", "add_job_event"):
        setattr(Auditor, method, _in_one_line(getattr(Auditor, method)))


def _whole(record: logging.LogRecord) -> logging.LogRecord:
    try:
        record.msg, record.args = show_lines(record.getMessage(), LONGEST_MESSAGE), ()
        if record.exc_info:
            traceback = logging.Formatter().formatException(record.exc_info)
            record.exc_text = show_lines(traceback, LONGEST_TRACEBACK)
    except Exception as error:  # a message that cannot be written must not stop what it tells of
        record.msg, record.args = f"a message cannot be written: {type(error).__name__}", ()
    return record


def _in_one_line(add: Callable[..., str]) -> Callable[..., str]:
    """FLARE's method, each entry escaped; the message, which FLARE and the kit's components write, has brackets."""
    names = add.__code__.co_varnames[1 : add.__code__.co_argcount]

    def add_line(auditor: Auditor, *args: Any, **kwargs: Any) -> str:
        said = {**dict(zip(names, args, strict=False)), **kwargs}
        entries = {name: show(value, LONGEST_AUDITED) if value else value for name, value in said.items()}
        return add(
            auditor,
            **{k: v.translate(NO_BRACKETS) if v and k != "msg" else v for k, v in entries.items()},
        )

    return add_line
