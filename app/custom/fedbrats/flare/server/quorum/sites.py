"""Which sites take part in the job, as FLARE's server knows them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nvflare.apis.job_def import ALL_SITES, JobMetaKey

REFRESH_S = 5.0  # how often the job asks the server's own process which sites there are


@dataclass(frozen=True)
class Arrival:
    """A site that came into a running job; `again` says that it was there before, so it was restarted."""

    site: str
    again: bool


class SiteList:
    """The sites of the server's engine.

    Args:
        engine: the server's, in the job's process.
        disconnected_since: when a site's process was lost; None for one that is there.
    """

    def __init__(self, engine: Any, disconnected_since: Callable[[str], Any]):
        self._engine = engine
        self._disconnected_since = disconnected_since
        self._refreshed = 0.0

    def known(self) -> set[str]:
        """Every site of the job, connected or not."""
        return {client.name for client in self._engine.get_clients()}

    def present(self) -> set[str]:
        """The sites of the job, but for those whose process has been dead for a minute: nobody waits for them."""
        return {name for name in self.known() if self._disconnected_since(name) is None}

    def refresh(self) -> list[Arrival]:
        """Learn now and then which sites have joined or come back.

        Raises: RuntimeError where the server's own process does not say.
        """
        if time.monotonic() - self._refreshed < REFRESH_S:
            return []
        self._refreshed = time.monotonic()
        before = {client.name: client.token for client in self._engine.get_clients()}
        self._engine.sync_clients_from_main_process()
        after = {client.name: client.token for client in self._engine.get_clients()}
        return [Arrival(site, site in before) for site, token in after.items() if before.get(site) != token]


def named_sites(job_meta: Mapping[str, Any]) -> set[str] | None:
    """The sites that the job's deploy map names; None where it is for all."""
    apps = (job_meta.get(JobMetaKey.DEPLOY_MAP.value) or {}).values()
    names = {name for sites in apps for name in sites if isinstance(name, str)}
    return None if ALL_SITES in names or not names else names
