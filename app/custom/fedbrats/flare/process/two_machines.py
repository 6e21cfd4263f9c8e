"""Finds out when one kit runs on two machines, of which the server hears only the one that logged in last."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

WINDOW_S = 40.0  # a site's heartbeat comes every ten seconds
APART_S = 5.0  # between two heartbeats of a place that was lost; one alone may have been on its way
MOST_ADDRESSES = 8
LOGINS_S, MOST_LOGINS = 900.0, 4  # who restarts a site by hand does so a few times in so long


@dataclass
class _Site:
    addresses: dict[str, str] = field(default_factory=dict)  # by token, oldest first
    beat: float | None = None  # the last heartbeat of whom the server listens to
    logins: list[float] = field(default_factory=list)
    lost: dict[str, list[float]] = field(default_factory=dict)  # heartbeats of the others, by token


class TwoMachines:
    """Which sites' heartbeats come with two tokens at a time, or which log in again and again.

    FLARE 2.9.0 gives whoever logs in with a site's kit a new token, and forgets the token before. It answers the
    heartbeats of the process that has the old one, without a word: nobody there sees that no task comes any more.
    Where each of two takes the connection from the other, they are found only if they log in anew: FLARE closes the
    older connection of two, and a heartbeat that is lost with it comes to nobody. Seen with both on one machine.
    Times are seconds of a clock that only goes forward.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sites: dict[str, _Site] = {}

    def log_in(self, site: str, token: str, address: str, now: float) -> None:
        """A process has logged in, from an address that it says it has."""
        with self._lock:
            found = self._sites.setdefault(site, _Site())
            found.logins[:] = [*(each for each in found.logins if now - each < LOGINS_S), now][-MOST_LOGINS - 1 :]
            addresses = found.addresses
            addresses[token] = address
            while len(addresses) > MOST_ADDRESSES:
                del addresses[next(iter(addresses))]

    def beat(self, site: str, token: str, valid: str | None, now: float) -> None:
        """A heartbeat has come; valid: the token of the process that the server listens to."""
        with self._lock:
            found = self._sites.setdefault(site, _Site())
            if valid is None or token == valid:
                found.beat = now
                found.lost.pop(token, None)
                return
            times = found.lost.setdefault(token, [])
            times[:] = [*(each for each in times if now - each < WINDOW_S), now]
            while len(found.lost) > MOST_ADDRESSES:
                del found.lost[next(iter(found.lost))]

    def now(self, now: float) -> dict[str, list[str]]:
        """The sites that run on two machines now, with the addresses that are known, that of the valid one last."""
        with self._lock:
            return {
                site: _addresses(found, lost)
                for site, found in self._sites.items()
                if ((lost := _lost(found, now)) or _logs_in_too_often(found, now))
                and found.beat is not None
                and now - found.beat < WINDOW_S
            }


def _lost(site: _Site, now: float) -> list[str]:
    """The tokens that are not valid and still beat."""
    recent = {token: [each for each in times if now - each < WINDOW_S] for token, times in site.lost.items()}
    return [token for token, times in recent.items() if times and times[-1] - times[0] >= APART_S]


def _logs_in_too_often(site: _Site, now: float) -> bool:
    return sum(now - each < LOGINS_S for each in site.logins) > MOST_LOGINS


def _addresses(site: _Site, lost: list[str]) -> list[str]:
    valid = [address for token, address in site.addresses.items() if token not in site.lost][-1:]
    return list(dict.fromkeys([*(site.addresses[token] for token in lost if token in site.addresses), *valid]))
