"""Finds out when one kit runs on two machines: the server hears the one that logged in last, or each by turns."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

WINDOW_S = 40.0  # a site's heartbeat comes every ten seconds
APART_S = 5.0  # between two heartbeats of a place that was lost; one alone may have been on its way
MOST_ADDRESSES = 8
LOGINS_S, MOST_LOGINS = 900.0, 4  # who restarts a site by hand does so a few times in so long
TURNS_S, LEAST_TURNS = 120.0, 2  # a process comes back, after another had its place, so often in so long
MOST_CONNECTIONS = 64


@dataclass
class _Site:
    addresses: dict[str, str] = field(default_factory=dict)  # by token, oldest first
    beat: float | None = None  # the last heartbeat of whom the server listens to
    logins: list[float] = field(default_factory=list)
    lost: dict[str, list[float]] = field(default_factory=dict)  # heartbeats of the others, by token
    connections: list[tuple[float, str, str]] = field(default_factory=list)  # when, of which process, from where


class TwoMachines:
    """Which sites' processes take turns to connect, beat with two tokens at a time, or log in again and again.

    FLARE 2.9.0 gives whoever logs in with a site's kit a new token, and forgets the token before. It answers the
    heartbeats of the process that has the old one, without a word: nobody there sees that no task comes any more.
    It also closes the older connection of two, and whoever has lost one connects again: each of two processes takes
    the connection from the other, and hardly a heartbeat comes. Of these it counts who comes back after another. A
    network that loses connections has one process come back, and a restart a new one.
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

    def connect(self, site: str, process: str, address: str, now: float) -> None:
        """A process has connected. process: a name that another process of this kit does not have."""
        with self._lock:
            found = self._sites.setdefault(site, _Site()).connections
            found[:] = [*(each for each in found if now - each[0] < TURNS_S), (now, process, address)]
            del found[:-MOST_CONNECTIONS]

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
        """The sites that run on two machines now, with the addresses that are known."""
        with self._lock:
            return {site: _addresses(found, now) for site, found in self._sites.items() if _is_double(found, now)}


def _is_double(site: _Site, now: float) -> bool:
    if _takes_turns(site, now):
        return True
    is_heard = site.beat is not None and now - site.beat < WINDOW_S
    return is_heard and bool(_lost(site, now) or _logs_in_too_often(site, now))


def _lost(site: _Site, now: float) -> list[str]:
    """The tokens that are not valid and still beat."""
    recent = {token: [each for each in times if now - each < WINDOW_S] for token, times in site.lost.items()}
    return [token for token, times in recent.items() if times and times[-1] - times[0] >= APART_S]


def _takes_turns(site: _Site, now: float) -> bool:
    processes = [process for at, process, _ in site.connections if now - at < TURNS_S]
    changed = [each for place, each in enumerate(processes) if place == 0 or each != processes[place - 1]]
    return len(changed) - len(set(changed)) >= LEAST_TURNS


def _logs_in_too_often(site: _Site, now: float) -> bool:
    return sum(now - each < LOGINS_S for each in site.logins) > MOST_LOGINS


def _addresses(site: _Site, now: float) -> list[str]:
    """From where those that take turns connect, if that tells them apart; else what each said when it logged in.

    Behind one gateway all connections come from the same address.
    """
    seen = [address for at, _, address in site.connections if now - at < TURNS_S] if _takes_turns(site, now) else []
    if len(set(seen)) < 2:
        said = [site.addresses[token] for token in _lost(site, now) if token in site.addresses]
        valid = [address for token, address in site.addresses.items() if token not in site.lost][-1:]
        seen = [*said, *valid] or seen
    return list(dict.fromkeys(seen))
