"""The server asks every site that connects which version of this package it has, and says so in its log."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from nvflare.private.admin_defs import Message
from nvflare.private.defs import SysCommandTopic

from fedbrats.flare.process.version_report import PACKAGE
from fedbrats.jobs.version_rule import read_version, this_version, why_apart

MOST_ASKED = 3  # times: a site that has just connected may not answer yet, and another version may never
LONGEST_REPLY = 10_000  # characters
logger = logging.getLogger(__name__)
Ask = Callable[[Mapping[str, Message]], Mapping[str, Message]]


class SiteVersions:
    """Which of the connected sites have been asked, each once after a login."""

    def __init__(self) -> None:
        self._asked: dict[str, int] = {}  # by token, how often

    def look(self, sites: Mapping[str, str], ask: Ask) -> None:
        """Ask those that are new, and log a line a site.

        Args:
            sites: the name of each connected site, by its token.
            ask: sends requests by token, and returns the replies by token.
        """
        self._asked = {token: self._asked.get(token, 0) for token in sites}
        new = [token for token, times in self._asked.items() if times < MOST_ASKED]
        if not new:
            return
        replies = ask({token: Message(topic=SysCommandTopic.REPORT_VERSION, body="") for token in new})
        for token in new:
            self._asked[token] += 1
            body = getattr(replies.get(token), "body", None)
            if body is not None or self._asked[token] == MOST_ASKED:
                self._asked[token] = MOST_ASKED
                _tell(sites[token], body)


def _tell(site: str, body: Any) -> None:
    here, there = this_version(), read_version(read_said(body))
    if there is None:
        logger.warning(
            f"a site is connected and does not say which version of fedbrats it has: it may be a version that does not "
            f"work with {here.version}; site={site}"
        )
        return
    at_end = f"site={site} version={there.version} server={here.version}"
    if why := why_apart(here, there):
        logger.warning(f"a site is connected whose version does not work with this server's: {why}; {at_end}")
    else:
        logger.info(f"a site is connected; {at_end}")


def read_said(body: Any) -> Any:
    """What a site says of this package in its answer to `report_version`; None where it says nothing."""
    if not isinstance(body, str) or len(body) > LONGEST_REPLY:
        return None
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return said.get(PACKAGE) if isinstance(said, dict) else None
