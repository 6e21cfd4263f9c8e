"""Follow a job in a federation elsewhere: a line a round, and at its end what it came to and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedbrats.cli.progress import say, show_progress


def follow_job(session: Any, job_id: str, name: str, kit: Path) -> str:
    """Wait until a job has ended and say how far it is; returns its status."""
    from fedbrats.admin.run.remote import progress_of, wait_for_end
    from fedbrats.admin.run.runs import COMPLETED

    last: dict[str, Any] = {}

    def tell(standing: Mapping[str, Any]) -> None:
        show_progress(progress_of(name, standing))
        if standing.get("silent") and standing["rounds_done"] != last.get("rounds_done"):
            say(f"{name}: round {standing['rounds_done']} was closed without {', '.join(standing['silent'])}")
        last.update(standing)

    status = wait_for_end(session, job_id, tell)
    say(f"{name}: {status}")
    if status != COMPLETED:
        if last.get("trouble"):
            say(f"{name}: {last['trouble']}")
        say(f"{name}: `fedbrats fetch {job_id} --kit {kit}` brings what there is of it, and says what went wrong")
        if last.get("rounds_done"):
            say(f"{name}: to go on after round {last['rounds_done']}: fedbrats submit --resume {job_id} --kit {kit}")
    return status
