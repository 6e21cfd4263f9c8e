"""A site says which version of this package it has, wherever FLARE has it say its own: `fedbrats status` shows both."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from nvflare.private.admin_defs import Message
from nvflare.private.fed.client.scheduler_cmds import ReportVersionProcessor

import fedbrats

PACKAGE = "fedbrats"


def tell_package() -> None:
    """Have this process answer FLARE's `report_version` with `{"version": FLARE's, "fedbrats": ours}`."""
    process = ReportVersionProcessor.process
    if getattr(process, "whole", False):
        return

    def process_both(self: ReportVersionProcessor, req: Message, app_ctx: Any) -> Message:
        reply = process(self, req, app_ctx)
        with contextlib.suppress(TypeError, ValueError):  # not what FLARE 2.9.0 answers: left as it is
            reply.body = json.dumps({**json.loads(reply.body), PACKAGE: fedbrats.__version__})
        return reply

    process_both.whole = True  # type: ignore[attr-defined]
    ReportVersionProcessor.process = process_both
