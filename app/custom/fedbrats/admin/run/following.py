"""Follow a running job by its rows: only what is new is read, however long the job is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fedbrats.rows import Row, learning_curve


@dataclass(frozen=True)
class Progress:
    """Where a running job stands: rounds done, the sites that answered in the running round, Dice of the last model."""

    job: str
    rounds_done: int
    rounds: int
    answered: int
    sites: int
    dice: float | None


class RowsReader:
    """Reads a file of rows as it grows; with `mirror`, every line is appended there as well."""

    def __init__(self, source: Path, mirror: Path | None = None):
        self.source = source
        self._mirror = mirror
        self._read = 0

    def fresh(self) -> list[Row]:
        """The whole rows since the last call; none while the file is not there, or no longer."""
        try:
            with self.source.open("rb") as stream:
                stream.seek(self._read)
                content = stream.read()
        except OSError:
            return []
        content = content[: content.rfind(b"\n") + 1]
        if content and self._mirror:
            self._mirror.parent.mkdir(parents=True, exist_ok=True)
            with self._mirror.open("ab" if self._read else "wb") as stream:
                stream.write(content)
        self._read += len(content)
        return [json.loads(line) for line in content.decode("utf-8").splitlines()]


class Follower:
    """The progress of one job."""

    def __init__(self, job: str, rounds: int, sites: int, reader: RowsReader):
        self._job, self._rounds, self._sites = job, rounds, sites
        self._reader = reader
        self._done: set[int] = set()
        self._recent: list[Row] = []  # of the last finished round, and since

    def progress(self) -> Progress | None:
        """Where the job stands; None before its first row, and where nothing has changed."""
        fresh = self._reader.fresh()
        if not fresh:
            return None
        self._done.update(row["round"] for row in fresh if row["kind"] == "round")
        running = len(self._done)
        rows = [*self._recent, *fresh]
        self._recent = [row for row in rows if row.get("round") is None or row["round"] >= running - 1]
        answered = {
            row["site"] for row in rows if row["kind"] == "site" and row["accepted"] and row["round"] == running
        }
        curve = learning_curve(rows)
        dice = next(reversed(curve.values()), None) if curve else None
        return Progress(self._job, running, self._rounds, len(answered), self._sites, dice)
