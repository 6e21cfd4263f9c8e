"""What a site remembers of every job it took part in: who submitted it, and when it began here."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from fedbrats.atomic import write_json_atomic
from fedbrats.errors import DataError

RECORD_FILE = "job.json"


@dataclass(frozen=True)
class JobRecord:
    """A job as a site knows it.

    submitter: the person, by the certificate that signed the job. began: when the job first ran here (seconds since
    1970, UTC).
    """

    submitter: str
    began: float


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


def read_record(folder: Path) -> JobRecord | None:
    """What is remembered of a job; None where there is nothing. Raises: DataError for a record that is broken."""
    path = folder / RECORD_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return JobRecord(str(document["submitter"]), float(document["began"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error!r:.200}); restore it, or move the job's folder away") from None
