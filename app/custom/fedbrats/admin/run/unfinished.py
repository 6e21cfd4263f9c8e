"""A run that was interrupted or has failed before its end: its results folder says so, and nobody waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedbrats.atomic import write_json_atomic
from fedbrats.rows import ROWS_FILE, read_rows, summarise_rows
from fedbrats.run_folder import FAILED, INTERRUPTED, SUMMARY_FILE


def write_unfinished(
    results_dir: Path, job: str, job_id: str, variables: Mapping[str, Any], seconds: float, error: BaseException
) -> None:
    """Write the summary of a run that ended by `error`, beside the rows that it left; nothing where it left no row."""
    path = results_dir / ROWS_FILE
    rows = read_rows(path) if path.exists() else []
    if not rows:
        return
    interrupted = not isinstance(error, Exception)  # Ctrl-C, or a signal
    document: dict[str, Any] = {
        "job": job,
        "job_id": job_id,
        "status": INTERRUPTED if interrupted else FAILED,
        **summarise_rows(rows),
        "seconds": round(seconds, 2),
        "results": str(results_dir),
        "variables": dict(variables),
    }
    if not interrupted:
        document["note"] = str(error)
    write_json_atomic(results_dir / SUMMARY_FILE, document)
