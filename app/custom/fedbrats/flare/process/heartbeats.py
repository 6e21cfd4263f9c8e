"""What heartbeats tell beside that a site is there: that its kit runs on two machines, to the server and to both sites.

The server also writes who is there into `sites.json` of its kit, for `fedbrats health` and the page of `watch`.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey
from nvflare.private.defs import CellChannelTopic, CellMessageHeaderKeys

from fedbrats.atomic import write_json_atomic
from fedbrats.flare.process.two_machines import TwoMachines
from fedbrats.flare.process.who_is_there import SITES_FILE, TWO_MACHINES_FILE
from fedbrats.outside import show

if TYPE_CHECKING:
    from nvflare.private.fed.server.client_manager import ClientManager
    from nvflare.private.fed.server.fed_server import FederatedServer

TWO_MACHINES = "fedbrats_two_machines"  # a header of the answer to a heartbeat
WRITE_S = 9.0  # between two writes of SITES_FILE
AGAIN_S = 900.0  # the same is told again after so long
MACHINES = TwoMachines()  # of this process, which is one server's
logger = logging.getLogger(__name__)


def notice_two_machines() -> None:
    """Have this process, a server's, look at every login and heartbeat, and tell who sends it."""
    from nvflare.private.fed.server.client_manager import ClientManager
    from nvflare.private.fed.server.fed_server import FederatedServer

    if getattr(FederatedServer.client_heartbeat, "whole", False):
        return
    authenticate, heartbeat = ClientManager.authenticate, FederatedServer.client_heartbeat

    def authenticate_and_note(self: ClientManager, request: Any, fl_ctx: Any) -> Any:
        client = authenticate(self, request, fl_ctx)
        if client is not None:
            address = show(request.get_header(CellMessageHeaderKeys.CLIENT_IP))
            MACHINES.log_in(client.name, client.token, address, time.monotonic())
        return client

    def heartbeat_and_tell(self: FederatedServer, request: Any) -> Any:
        reply = heartbeat(self, request)
        with contextlib.suppress(Exception):  # an answer to a heartbeat matters more than what is told with it
            if said := judge_heartbeat(request, self.client_manager, time.monotonic()):
                reply.set_header(TWO_MACHINES, said)
        return reply

    heartbeat_and_tell.whole = True  # type: ignore[attr-defined]
    ClientManager.authenticate = authenticate_and_note
    FederatedServer.client_heartbeat = heartbeat_and_tell


def judge_heartbeat(request: Any, manager: ClientManager, now: float, machines: TwoMachines = MACHINES) -> str:
    """Note a heartbeat; returns what its sender is told, nothing where its kit runs once."""
    origin = str(request.get_header(MessageHeaderKey.ORIGIN))  # the guard has held it against the certificate
    client = manager.name_to_clients.get(origin)
    if client is None and origin not in machines.now(now):
        return ""
    machines.beat(origin, str(request.get_header(CellMessageHeaderKeys.TOKEN)), client and client.token, now)
    addresses = machines.now(now).get(origin)
    return "" if addresses is None else where(addresses)


def where(addresses: list[str]) -> str:
    """The machines, as far as they are known."""
    return " and ".join(addresses) or "unknown addresses"


def who_is_there(engine: Any) -> dict[str, Any]:
    """sites: by name, seen (seconds since 1970) and, on two machines, their addresses; revoked: who is shut out."""
    manager = engine.server.client_manager
    double = MACHINES.now(time.monotonic())
    sites = {
        client.name: {"seen": client.last_connect_time, "two_machines": double.get(client.name)}
        for client in list(manager.clients.values())
    }
    return {"sites": sites, "revoked": sorted(manager.disabled_clients)}


class SitesFile:
    """Writes `sites.json` of a server's kit as often as it is asked, and logs whose kit runs twice."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        self._written = -WRITE_S
        self._failed = False

    def keep(self, engine: Any) -> None:
        """As `write`; what goes wrong is logged once, for the server's other work matters more."""
        try:
            self.write(engine)
        except Exception as error:  # of a full disk, say
            if not self._failed:
                logger.warning(f"who is there cannot be written for `fedbrats health`: {error!r:.200}")
            self._failed = True
        else:
            self._failed = False

    def write(self, engine: Any) -> None:
        """Write who is there now, unless that was done a moment ago. Raises: OSError of the file system."""
        now = time.monotonic()
        if now - self._written < WRITE_S:
            return
        self._written = now
        found = who_is_there(engine)
        self.tell(found["sites"], now)
        write_json_atomic(Path(engine.get_workspace().get_root_dir()) / SITES_FILE, {"at": time.time(), **found})

    def tell(self, sites: Mapping[str, Mapping[str, Any]], now: float) -> None:
        """Log the sites that run on two machines, each again after a while."""
        for site, said in sites.items():
            if said["two_machines"] is not None and now - self._told.get(site, -AGAIN_S) >= AGAIN_S:
                self._told[site] = now
                logger.error(
                    f"the kit of {site} runs on two machines ({where(said['two_machines'])}): only the one that "
                    f"logged in last is given tasks; have one of them stopped; site={site}"
                )


class HeartbeatCell:
    """A site's cell that reads the answers to its heartbeats; everything else is the cell's own."""

    def __init__(self, cell: Any, kit: Path) -> None:
        self._cell, self._kit = cell, kit
        self._told = -AGAIN_S

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cell, name)

    def send_request(self, *args: Any, **kwargs: Any) -> Any:
        """As the cell's."""
        reply = self._cell.send_request(*args, **kwargs)
        if kwargs.get("topic") == CellChannelTopic.HEART_BEAT:
            with contextlib.suppress(Exception):  # a heartbeat must not stop for what was told with it
                self.take(reply.get_header(TWO_MACHINES), time.monotonic())
        return reply

    def take(self, said: Any, now: float) -> None:
        """What the server has told, nothing where all is well: said in the log, and kept for `fedbrats doctor`."""
        path = self._kit / TWO_MACHINES_FILE
        if not said:
            path.unlink(missing_ok=True)
            return
        machines = show(said, 200)
        write_json_atomic(path, {"machines": machines})
        if now - self._told >= AGAIN_S:
            self._told = now
            logger.error(
                f"this kit runs on two machines ({machines}): only the one that logged in last is given tasks; "
                "stop one of them (`fedbrats stop KIT`)"
            )
