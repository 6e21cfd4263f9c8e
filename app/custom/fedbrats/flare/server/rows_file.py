"""The recorder's file."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nvflare.apis.fl_context import FLContext

from fedbrats.atomic import append_lines
from fedbrats.rows import ROWS_FILE, ROWS_FOLDER


def rows_path(fl_ctx: FLContext) -> Path:
    """The rows of the job that runs here, in the server's run folder."""
    run_dir = Path(fl_ctx.get_engine().get_workspace().get_run_dir(fl_ctx.get_job_id()))
    return run_dir / ROWS_FOLDER / ROWS_FILE


class RowsFile:
    """Rows on the disk, one JSON object a line.

    Args:
        path: of the file; its folder is made.
        logger: hears of a disk that takes no rows.
    """

    def __init__(self, path: Path, logger: logging.Logger):
        self._path = path
        self._logger = logger
        self._lock = threading.Lock()
        self._unwritten: list[str] = []

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append whole lines; what a full disk does not take is kept, and written when it takes more."""
        lines = [json.dumps(row, default=_plain) for row in rows]
        with self._lock:  # a late answer comes in a thread of its own
            self._unwritten += lines
            try:
                append_lines(self._path, self._unwritten)
            except OSError as error:
                self._logger.error(
                    f"{len(self._unwritten)} rows cannot be written to {self._path}: {error.strerror or error}; free "
                    f"space there: they are kept until the end of the job"
                )
            else:
                self._unwritten = []


def _plain(value: Any) -> Any:
    """JSON for numpy's numbers."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in a row")
