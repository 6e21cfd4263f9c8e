"""How long each site has lately taken to answer, and how often in a row it has not answered in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

MEASURED_ROUNDS = 5  # a site is as slow as in the slowest of its last rounds
MOST_MISSED = 2  # deadlines in a row, after which a round no longer waits for a site


class AnswerTimes:
    """What the deadlines of a job follow from; not safe for threads by itself.

    Args:
        seconds: by site, the seconds of its last answers, oldest first.
        missed: by site, how many rounds in a row were closed without an answer of it.
    """

    def __init__(self, seconds: Mapping[str, Iterable[float]] | None = None, missed: Mapping[str, int] | None = None):
        self._seconds = {site: deque(past, maxlen=MEASURED_ROUNDS) for site, past in (seconds or {}).items()}
        self._missed = dict(missed or {})

    def answered(self, site: str, seconds: float) -> None:
        """A site has answered, in time or late: rounds wait for it (again), and know how long it takes."""
        self._seconds.setdefault(site, deque(maxlen=MEASURED_ROUNDS)).append(seconds)
        self._missed.pop(site, None)

    def missed_deadline(self, site: str) -> None:
        """A round was closed while a site was still at work on it."""
        self._missed[site] = self._missed.get(site, 0) + 1

    def is_waited_for(self, site: str) -> bool:
        """Whether a round waits for this site: not after MOST_MISSED missed deadlines in a row, until it answers."""
        return self._missed.get(site, 0) < MOST_MISSED

    def silent(self) -> list[str]:
        """The sites from which nothing more is expected: not waited for, or never heard and past a deadline."""
        return sorted(site for site in self._missed if not self.is_waited_for(site) or not self._seconds.get(site))

    def slowest(self) -> dict[str, float]:
        """The slowest of the last answers of each site that has ever answered, in seconds."""
        return {site: max(past) for site, past in self._seconds.items() if past}

    @property
    def seconds(self) -> dict[str, list[float]]:
        """A copy of the last answers' seconds by site."""
        return {site: list(past) for site, past in self._seconds.items() if past}

    @property
    def missed(self) -> dict[str, int]:
        """A copy of the missed deadlines by site."""
        return dict(self._missed)
