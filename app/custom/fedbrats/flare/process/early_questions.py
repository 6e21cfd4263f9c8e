"""Who asks how a job stands while its process at the server begins is told nothing yet, and no traceback is logged."""

from __future__ import annotations

from typing import Any

from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.private.fed.server.server_commands import ShowStatsCommand


def answer_early_questions() -> None:
    """Have this process, a job's at the server, answer FLARE's `show_stats` before it has an engine to ask."""
    process = ShowStatsCommand.process
    if getattr(process, "whole", False):
        return

    def process_when_ready(self: ShowStatsCommand, data: Shareable, fl_ctx: FLContext) -> Any:
        return process(self, data, fl_ctx) if fl_ctx.get_engine() is not None else {}

    process_when_ready.whole = True  # type: ignore[attr-defined]
    ShowStatsCommand.process = process_when_ready
