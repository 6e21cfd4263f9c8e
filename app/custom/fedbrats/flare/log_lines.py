"""A line of a log is of whoever wrote it: what others say in it cannot begin another.

FLARE 2.9.0 writes what it is sent as it is: the return code of a site's answer stands in every line about it, the
command of a person in `audit.log` (fedbrats.flare.audit_trail). With a line break in it, either could write lines that
look like the server's own.
"""

from __future__ import annotations

import logging
from typing import Any

from fedbrats.outside import show_lines

LONGEST_MESSAGE, LONGEST_TRACEBACK = 10_000, 50_000


def keep_whole() -> None:
    """Have this process indent and escape what stands in its logs."""
    make = logging.getLogRecordFactory()
    if getattr(make, "whole", False):
        return

    def make_whole(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return _whole(make(*args, **kwargs))

    make_whole.whole = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make_whole)


def _whole(record: logging.LogRecord) -> logging.LogRecord:
    try:
        record.msg, record.args = show_lines(record.getMessage(), LONGEST_MESSAGE), ()
        if record.exc_info:
            traceback = logging.Formatter().formatException(record.exc_info)
            record.exc_text = show_lines(traceback, LONGEST_TRACEBACK)
    except Exception as error:  # a message that cannot be written must not stop what it tells of
        record.msg, record.args = f"a message cannot be written: {type(error).__name__}", ()
    return record
