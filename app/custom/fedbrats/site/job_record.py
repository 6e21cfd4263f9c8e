"""What a site remembers of every job it took part in: who submitted it, when it began here, and when it ended."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fedbrats.atomic import write_json_atomic
from fedbrats.errors import DataError

RECORD_FILE = "job.json"


@dataclass(frozen=True)
class JobRecord:
    """A job as a site knows it.

    Attributes:
        submitter: the person, by the certificate that signed the job.
        began: when the job first ran here (seconds since 1970, UTC).
        ended: when the server first said that it has ended; None where it has not, or not to this site.
    """

    submitter: str
    began: float
    ended: float | None = None


def keep_record(folder: Path, submitter: str) -> JobRecord:
    """Write `folder/job.json` where there is none yet, and return what it says.

    Raises: DataError for a record that cannot be read, or that names another person; OSError.
    """
    record = read_record(folder)
    if record is None:
        record = JobRecord(submitter, time.time())
        write_json_atomic(folder / RECORD_FILE, asdict(record))
    if record.submitter != submitter:
        raise DataError(f"this site knows the job as one of {record.submitter}, and now {submitter} has signed it")
    return record


def mark_ended(folder: Path) -> None:
    """Note in `folder/job.json` that the job has ended; nothing for a job that never began here.

    Raises: DataError for a record that cannot be read; OSError.
    """
    record = read_record(folder)
    if record is not None and record.ended is None:
        write_json_atomic(folder / RECORD_FILE, asdict(replace(record, ended=time.time())))


def read_record(folder: Path) -> JobRecord | None:
    """What is remembered of a job; None where there is nothing. Raises: DataError for a record that is broken."""
    path = folder / RECORD_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        ended = document.get("ended")
        return JobRecord(str(document["submitter"]), float(document["began"]), None if ended is None else float(ended))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error!r:.200}); restore it, or move the job's folder away") from None
