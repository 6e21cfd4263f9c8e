"""A site's ledger of differential privacy: what every private round has cost its patients, in one file that only grows.

Each line is a JSON object and holds the SHA-256 of the line before it; a second file holds the number of lines and the
hash of the last. A line that is altered or taken out is found, also at the end. It is no protection from the hospital
itself, which may move both files away: the ledger is the hospital's.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fedbrats.atomic import PRIVATE_FILE, write_json_atomic
from fedbrats.errors import DataError
from fedbrats.privacy.accounting import PrivateSteps

LEDGER_FILE = "privacy_ledger.jsonl"
HEAD_SUFFIX = ".head"
FIRST = "0" * 64  # stands before the first line
CLOCK_SLACK = timedelta(minutes=5)  # a clock that is set right may go back so far


@dataclass(frozen=True)
class Entry:
    """One release of a site: the private steps of one answer.

    Attributes:
        time: UTC, ISO 8601.
        patients: SHA-256 of the training patients' names; says which data this was, without saying who.
        delta: that the job meant; the epsilon of several jobs is computed at one delta.
    """

    time: str
    job: str
    round: int
    patients: str
    noise: float
    clip: float
    rate: float
    steps: int
    delta: float

    @property
    def cost(self) -> PrivateSteps:
        """What an accountant needs of it."""
        return PrivateSteps(self.noise, self.rate, self.steps)


class Ledger:
    """The ledger file at `path`; several processes may use it at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[Entry, ...]:
        """Every entry, checked; none where there is no ledger yet.

        Raises: DataError where a line was altered or is missing; OSError.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            content = b""
        return self._check(content)[0]

    def charge(self, entry: Entry, judge: Callable[[Sequence[Entry]], None]) -> None:
        """Write an entry to the disk for good; nothing that it pays for may leave before this returns.

        Args:
            judge: told all entries, this one last, while no other process can write; raises where it must not be.

        Raises: DataError where the ledger is damaged or the clock went back; OSError of a disk that does not take it;
            what `judge` raises. The ledger is then as it was.
        """
        with self._locked() as descriptor:
            content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
            entries, last, length = self._check(content)
            self._check_clock(entries, entry)
            judge([*entries, entry])
            line = json.dumps({**asdict(entry), "before": last}, sort_keys=True).encode()
            _append(descriptor, length, line + b"\n", self.path)
            head = {"lines": len(entries) + 1, "hash": _hash(line)}
            write_json_atomic(self._head, head, mode=PRIVATE_FILE)

    @property
    def _head(self) -> Path:
        return self.path.with_name(self.path.name + HEAD_SUFFIX)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _check(self, content: bytes) -> tuple[tuple[Entry, ...], str, int]:
        """(entries, hash of the last line, length of the whole lines); half a line at the end paid for nothing."""
        length = content.rfind(b"\n") + 1
        lines = content[:length].splitlines()
        hashes, entries = [FIRST], []
        for number, line in enumerate(lines, 1):
            entries.append(self._read_line(line, number, hashes[-1]))
            hashes.append(_hash(line))
        said, found = self._read_head()
        if said >= len(hashes):
            raise DataError(f"{self.path} has {len(lines)} lines and should have {said} or more: {_RESTORE}")
        if found != hashes[said]:
            raise DataError(f"line {said} of {self.path} is not the one that was written: {_RESTORE}")
        return tuple(entries), hashes[-1], length

    def _read_line(self, line: bytes, number: int, before: str) -> Entry:
        try:
            document = json.loads(line)
            linked = document.pop("before") == before
            entry = Entry(**document)
            good = linked and entry.noise > 0 and entry.steps > 0 and 0 < entry.rate <= 1
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            good = False
        if not good:
            raise DataError(f"line {number} of {self.path} was altered, or one before it is missing: {_RESTORE}")
        return entry

    def _read_head(self) -> tuple[int, str]:
        try:
            document = json.loads(self._head.read_text(encoding="utf-8"))
            return int(document["lines"]), str(document["hash"])
        except FileNotFoundError:
            return 0, FIRST
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"{self._head} cannot be read ({error!r:.100}): {_RESTORE}") from None

    def _check_clock(self, entries: Sequence[Entry], entry: Entry) -> None:
        if entries and datetime.fromisoformat(entry.time) + CLOCK_SLACK < datetime.fromisoformat(entries[-1].time):
            raise DataError(
                f"the clock says {entry.time}, before the last line of {self.path}, {entries[-1].time}: set the clock "
                f"right; until then nothing private leaves this site"
            )


_RESTORE = "restore it and its .head file from a backup; until then nothing private leaves this site"


def now() -> str:
    """The present time as an entry has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _append(descriptor: int, length: int, line: bytes, path: Path) -> None:
    """Bring one line to the disk, or leave the file as long as it was."""
    os.ftruncate(descriptor, length)
    try:
        if os.pwrite(descriptor, line, length) != len(line):
            raise OSError(28, os.strerror(28), str(path))
        os.fsync(descriptor)
    except OSError as error:
        os.ftruncate(descriptor, length)
        raise OSError(error.errno, error.strerror, str(path)) from None


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
