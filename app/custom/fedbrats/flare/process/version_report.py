"""Server and sites say which version of this package they have, wherever FLARE has them say its own.

`fedbrats status` shows both, and the server asks a site when it connects (fedbrats.flare.kit.rejoin).
"""

from __future__ import annotations

import contextlib
import json
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
    process, report = ReportVersionProcessor.process, SystemCommandModule.report_version
    if getattr(process, "whole", False):
        return

    def process_both(self: ReportVersionProcessor, req: Message, app_ctx: Any) -> Message:
        reply = process(self, req, app_ctx)
        with contextlib.suppress(TypeError, ValueError):  # not what FLARE 2.9.0 answers: left as it is
            reply.body = json.dumps({**json.loads(reply.body), PACKAGE: this_version().document()})
        return reply

    def report_both(self: SystemCommandModule, conn: Any, args: list[str]) -> None:
        append = conn.append_dict

        def append_own(versions: dict[str, Any], *words: Any, **named: Any) -> Any:
            if isinstance(versions.get(SERVER), dict):
                versions[SERVER][PACKAGE] = this_version().document()
            return append(versions, *words, **named)

        conn.append_dict = append_own
        report(self, conn, args)

    process_both.whole = True  # type: ignore[attr-defined]
    ReportVersionProcessor.process = process_both
    SystemCommandModule.report_version = report_both
