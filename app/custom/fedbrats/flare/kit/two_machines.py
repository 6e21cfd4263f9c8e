"""Says when one kit runs on two machines, which then take the site's place from each other again and again."""

from __future__ import annotations

from collections.abc import Mapping

WINDOW_S = 900.0
MOST_LOGINS = 4  # in a window: who restarts a site by hand does so a few times


class Logins:
    """How often each site has logged in anew of late.

    FLARE 2.9.0 gives a site that logs in a new token and forgets the old one; the other machine is then refused and
    logs in again, without a word in any log that names the reason.
    """

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}
        self._times: dict[str, list[float]] = {}

    def look(self, tokens: Mapping[str, str], now: float) -> list[str]:
        """The sites that have logged in too often up to now, each told once a window.

        Args:
            tokens: by site, the token that it has now.
            now: seconds on a clock that only goes forward.
        """
        told = []
        for site, token in tokens.items():
            times = self._times.setdefault(site, [])
            if self._tokens.get(site, token) != token:
                times.append(now)
            self._tokens[site] = token
            times[:] = [each for each in times if now - each < WINDOW_S]
            if len(times) > MOST_LOGINS:
                told.append(site)
                times.clear()
        return told
