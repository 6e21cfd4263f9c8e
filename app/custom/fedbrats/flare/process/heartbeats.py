"""What a server hears of its sites beside that they are there: whose kit runs on two machines. It tells both of them.

It also writes who is there into `sites.json` of its kit, for `fedbrats health` and the page of `watch`.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey
from nvflare.private.admin_defs import Message
from nvflare.private.defs import CellMessageHeaderKeys, SysCommandTopic

from fedbrats.atomic import write_json_atomic
from fedbrats.flare.process.connections import note_connections
from fedbrats.flare.process.told import AGAIN_S, TWO_MACHINES
from fedbrats.flare.process.two_machines import TwoMachines
from fedbrats.flare.process.who_is_there import SITES_FILE
from fedbrats.outside import show

if TYPE_CHECKING:
    from nvflare.private.fed.server.client_manager import ClientManager
    from nvflare.private.fed.server.fed_server import FederatedServer

WRITE_S = 9.0  # between two writes of SITES_FILE
MACHINES = TwoMachines()  # of this process, which is one server's
logger = logging.getLogger(__name__)


def notice_two_machines() -> None:
    """Have this process, a server's, look at every connection, login and heartbeat, and tell who sends it."""
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
    note_connections(MACHINES)


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
    """sites: by name, seen (seconds since 1970) and, on two machines, their addresses; revoked: who is shut out.

    A site whose two processes take turns may be lost to FLARE: it is here all the same, with no `seen`.
    """
    manager = engine.server.client_manager
    double = MACHINES.now(time.monotonic())
    seen = {client.name: client.last_connect_time for client in list(manager.clients.values())}
    sites = {name: {"seen": seen.get(name), "two_machines": double.get(name)} for name in {**seen, **double}}
    return {"sites": sites, "revoked": sorted(manager.disabled_clients)}


def tell_sites(engine: Any, ask: Callable[[Mapping[str, Message]], Any]) -> None:
    """Tell the sites whose kit runs on two machines, with a question whose answer nobody needs.

    An answer to a heartbeat would not do: where two processes take turns, hardly a heartbeat comes. What the server
    sends reaches whichever is connected now, so each hears it in its turn.
    """
    double = MACHINES.now(time.monotonic())
    requests = {}
    for client in engine.get_clients():
        if client.name in double:
            requests[client.token] = Message(topic=SysCommandTopic.REPORT_VERSION, body="")
            requests[client.token].set_header(TWO_MACHINES, where(double[client.name]))
    if requests:
        ask(requests)


class SitesFile:
    """Writes `sites.json` of a server's kit as often as it is asked, and logs whose kit runs twice."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        self._written = -WRITE_S
        self._failed = False

    def keep(self, engine: Any, objections: Mapping[str, Mapping[str, str]]) -> None:
        """As `write`; what goes wrong is logged once, for the server's other work matters more."""
        try:
            self.write(engine, objections)
        except Exception as error:  # of a full disk, say
            if not self._failed:
                logger.warning(f"who is there cannot be written for `fedbrats health`: {error!r:.200}")
            self._failed = True
        else:
            self._failed = False

    def write(self, engine: Any, objections: Mapping[str, Mapping[str, str]]) -> None:
        """Write who is there now, unless that was done a moment ago.

        Args:
            engine: the server's.
            objections: why sites do not run a job, by running job and site.

        Raises: OSError of the file system.
        """
        now = time.monotonic()
        if now - self._written < WRITE_S:
            return
        self._written = now
        found = who_is_there(engine)
        self.tell(found["sites"], now)
        write_json_atomic(
            Path(engine.get_workspace().get_root_dir()) / SITES_FILE,
            {"at": time.time(), **found, "objections": objections},
        )

    def tell(self, sites: Mapping[str, Mapping[str, Any]], now: float) -> None:
        """Log the sites that run on two machines, each again after a while."""
        for site, said in sites.items():
            if said["two_machines"] is not None and now - self._told.get(site, -AGAIN_S) >= AGAIN_S:
                self._told[site] = now
                logger.error(
                    f"the kit of {site} runs on two machines ({where(said['two_machines'])}): one of them at most "
                    f"is given tasks; have the other one stopped (`fedbrats stop KIT` there); site={site}"
                )
