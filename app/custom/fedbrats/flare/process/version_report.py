"""Server and sites say which version of this package they have, wherever FLARE has them say its own.

`fedbrats status` shows both, and the server asks a site when it connects (fedbrats.flare.kit.rejoin). The server adds
who is shut out, and whose kit runs on two machines.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

from nvflare.private.admin_defs import Message
from nvflare.private.fed.client.scheduler_cmds import ReportVersionProcessor
from nvflare.private.fed.server.sys_cmd import SystemCommandModule

from fedbrats.jobs.version_rule import this_version

PACKAGE = "fedbrats"
SERVER = "server"  # in FLARE's answer to `report_version`


def tell_package() -> None:
    """Have this process answer FLARE's `report_version` with `{"version": FLARE's, "fedbrats": ours}`.

    Ours is a version with the oldest that it works with (fedbrats.jobs.version_rule). A site answers for itself, and
    the server adds its own to its answer about all.
    """
    process = ReportVersionProcessor.process
    if getattr(process, "whole", False):
        return

    def process_both(self: ReportVersionProcessor, req: Message, app_ctx: Any) -> Message:
        reply = process(self, req, app_ctx)
        with contextlib.suppress(TypeError, ValueError):  # not what FLARE 2.9.0 answers: left as it is
            reply.body = json.dumps({**json.loads(reply.body), PACKAGE: this_version().document()})
        return reply

    process_both.whole = True  # type: ignore[attr-defined]
    ReportVersionProcessor.process = process_both
    _add_to_server(lambda engine: {PACKAGE: this_version().document()})


def tell_of_server() -> None:
    """Have this process, a server's, add what `of_server` says of it."""
    if not getattr(SystemCommandModule.report_version, "whole", False):
        _add_to_server(of_server)
        SystemCommandModule.report_version.whole = True


def _add_to_server(say: Callable[[Any], dict[str, Any]]) -> None:
    """Have the server add to what it says of itself in its answer to `report_version`; say: is given its engine."""
    report = SystemCommandModule.report_version

    def report_more(self: SystemCommandModule, conn: Any, args: list[str]) -> None:
        append = conn.append_dict

        def append_more(versions: dict[str, Any], *words: Any, **named: Any) -> Any:
            if isinstance(said := versions.get(SERVER), dict):
                said |= say(conn.app_ctx)
            return append(versions, *words, **named)

        conn.append_dict = append_more
        report(self, conn, args)

    SystemCommandModule.report_version = report_more


def of_server(engine: Any) -> dict[str, Any]:
    """revoked: who is shut out; two_machines: addresses, by site; empty where this FLARE has no such engine."""
    from fedbrats.flare.process.heartbeats import who_is_there

    try:
        found = who_is_there(engine)
    except AttributeError:
        return {}
    double = {site: said["two_machines"] for site, said in found["sites"].items() if said["two_machines"] is not None}
    return {"revoked": found["revoked"], "two_machines": double}
