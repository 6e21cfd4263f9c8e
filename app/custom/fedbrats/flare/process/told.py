"""What the server tells a site's process: that its kit runs on two machines."""

from __future__ import annotations

import contextlib
import logging
import time
from pathlib import Path
from typing import Any

from nvflare.private.admin_defs import Message
from nvflare.private.defs import CellChannelTopic
from nvflare.private.fed.client.fed_client import FederatedClient
from nvflare.private.fed.client.scheduler_cmds import ReportVersionProcessor

from fedbrats.atomic import write_json_atomic
from fedbrats.flare.process.who_is_there import TWO_MACHINES_FILE
from fedbrats.outside import show

TWO_MACHINES = "fedbrats_two_machines"  # a header of the answer to a heartbeat, and of a question of the server
AGAIN_S = 900.0  # the same is told again after so long
logger = logging.getLogger(__name__)


class ToldByServer:
    """Says it in the site's log, and keeps it in the kit for `fedbrats doctor`."""

    def __init__(self, kit: Path) -> None:
        self._path = kit / TWO_MACHINES_FILE
        self._told = -AGAIN_S

    def take(self, said: Any, now: float) -> None:
        """What the server has told: the addresses; nothing where all is well."""
        if not said:
            self._path.unlink(missing_ok=True)
            return
        machines = show(said, 200)
        write_json_atomic(self._path, {"machines": machines})
        if now - self._told >= AGAIN_S:
            self._told = now
            logger.error(
                f"this kit runs on two machines ({machines}): one of them at most is given tasks; stop the other one "
                "(`fedbrats stop KIT` there)"
            )


class HeartbeatCell:
    """A site's cell that reads the answers to its heartbeats; everything else is the cell's own."""

    def __init__(self, cell: Any, told: ToldByServer) -> None:
        self._cell, self._told = cell, told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cell, name)

    def send_request(self, *args: Any, **kwargs: Any) -> Any:
        """As the cell's."""
        reply = self._cell.send_request(*args, **kwargs)
        if kwargs.get("topic") == CellChannelTopic.HEART_BEAT:
            with contextlib.suppress(Exception):  # a heartbeat must not stop for what was told with it
                self._told.take(reply.get_header(TWO_MACHINES), time.monotonic())
        return reply


def hear_heartbeats(told: ToldByServer) -> None:
    """Have this process, a site's, read what stands in the answers to its heartbeats."""
    begin = FederatedClient.start_heartbeat

    def start_and_hear(client: FederatedClient, *args: Any, **kwargs: Any) -> Any:
        client.communicator.cell = HeartbeatCell(client.communicator.cell, told)
        return begin(client, *args, **kwargs)

    FederatedClient.start_heartbeat = start_and_hear


def hear_questions(told: ToldByServer) -> None:
    """Have this process, a site's, read what stands in the server's question for its version."""
    process = ReportVersionProcessor.process

    def process_and_hear(self: ReportVersionProcessor, req: Message, app_ctx: Any) -> Message:
        with contextlib.suppress(Exception):  # the answer matters more
            if said := req.get_header(TWO_MACHINES):
                told.take(said, time.monotonic())
        return process(self, req, app_ctx)

    ReportVersionProcessor.process = process_and_hear
