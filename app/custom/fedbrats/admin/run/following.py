"""Follow a running job by its rows: only what is new is read, however long the job is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedbrats.jobs.estimate import last_evaluation
from fedbrats.rows import Row, learning_curve

RECENT = 3  # rounds that tell how long the others will take


@dataclass(frozen=True)
class Progress:
    """Where a running job stands.

    Attributes:
        rounds_done: of `rounds`; 0 rounds are those of a job that only evaluates.
        answered: the sites that took part in the last finished round.
        dice: at the start of that round, of the shared model, over `cases` validation cases of all those sites; None
            where one of them did not say.
        seconds_left: for the other rounds, by those that are done.
        last_seconds: for the last evaluation after them, by what the sites took for validation.
    """

    job: str
    rounds_done: int
    rounds: int
    answered: int
    sites: int
    dice: float | None = None
    cases: int = 0
    seconds_left: float | None = None
    last_seconds: float | None = None


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
    """The progress of one job.

    Args:
        values: the job's variables.
        sites: how many there are.
    """

    def __init__(self, job: str, values: Mapping[str, Any], sites: int, reader: RowsReader):
        self._job, self._values, self._sites = job, values, sites
        self._rounds = int(values.get("num_rounds", 0))
        self._reader = reader
        self._done = 0
        self._seconds: list[float] = []  # of the finished rounds
        self._last_seconds: float | None = None
        self._recent: list[Row] = []  # of the last finished round, and since

    def progress(self) -> Progress | None:
        """Where the job stands; None before its first row, and where nothing has changed."""
        fresh = self._reader.fresh()
        if not fresh:
            return None
        for row in fresh:
            if row["kind"] in ("round", "resume"):  # a job that is resumed begins after the rounds of another
                self._done = row["round"] + 1
            if row["kind"] == "round" and isinstance(row.get("seconds"), int | float):
                self._seconds.append(row["seconds"])
        last = self._done - 1
        self._recent = [row for row in [*self._recent, *fresh] if row.get("round") is None or row["round"] >= last]
        answered = {
            row["site"] for row in self._recent if row["kind"] == "site" and row["accepted"] and row["round"] == last
        }
        dice, cases = self._score(last, answered)
        self._last_seconds = self._last_evaluation(last) or self._last_seconds
        left = None
        if recent := self._seconds[-RECENT:]:
            left = sum(recent) / len(recent) * max(0, self._rounds - self._done)
        return Progress(
            self._job, self._done, self._rounds, len(answered), self._sites, dice, cases, left, self._last_seconds
        )

    def _last_evaluation(self, number: int) -> float | None:
        """Seconds of the last evaluation, by a round that evaluated."""
        own = [row for row in self._recent if row["kind"] == "site" and row["round"] == number]
        seconds = [(row.get("seconds") or {}).get("validating") for row in own]
        return last_evaluation([each for each in seconds if isinstance(each, int | float)], self._values, "poc")

    def _score(self, number: int, answered: set[str]) -> tuple[float | None, int]:
        """Dice and cases of the shared model that a round began with; None where a site did not say."""
        received = [row for row in self._recent if row["kind"] == "metrics" and row["stage"] == "received"]
        own = [row for row in received if row["round"] == number and row["region"] == "mean"]
        if not answered or not answered <= {row["site"] for row in own if row["dice"] is not None}:
            return None, 0
        return learning_curve(own).get(number), sum(row["cases"] for row in own if row["site"] in answered)
