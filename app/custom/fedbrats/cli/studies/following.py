"""Follow a job in a federation elsewhere: a line a round, and at its end what it came to and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedbrats.cli.progress import say


def follow_job(session: Any, job_id: str, name: str, kit: Path) -> str:
    """Wait until a job has ended and say how far it is; returns its status."""
    from fedbrats.admin.operate.jobs import reasons_of
    from fedbrats.admin.run.remote import wait_for_end
    from fedbrats.run_folder import COMPLETED

    last: dict[str, Any] = {}
    told: dict[str, str] = {}

    def tell(standing: Mapping[str, Any]) -> None:
        if (line := round_line(standing)) and standing["rounds_done"] != last.get("rounds_done"):
            say(f"{name}: {line}")
        for site, why in standing["objections"].items():
            if told.get(site) != why:
                say(f"{name}: {site} does not run the job: {why}")
        told.update(standing["objections"])
        last.update(standing)

    status = wait_for_end(session, job_id, tell)
    say(f"{name}: {status}")
    if status != COMPLETED:
        trouble = [last["trouble"]] if last.get("trouble") else []
        for reason in reasons_of(session, job_id) or trouble:
            say(f"{name}: {reason}")
        say(f"{name}: `fedbrats fetch {job_id} --kit {kit}` brings what there is of it, and says what went wrong")
        if last.get("rounds_done"):
            say(f"{name}: to go on after round {last['rounds_done']}: fedbrats submit --resume {job_id} --kit {kit}")
    return status


def round_line(standing: Mapping[str, Any]) -> str:
    """How far a job is, in one line without its name."""
    objecting = list(standing.get("objections") or ())
    done, rounds = standing["rounds_done"], int(standing.get("rounds") or 0)
    number = int(standing.get("sites") or 0)
    sites = f"{number} {'site' if number == 1 else 'sites'}"
    if not rounds:
        return f"{sites} evaluate"
    if not done:
        runs = f"round 1/{rounds} runs at {sites}"
        return f"{runs}, not at {', '.join(objecting)}" if objecting else runs
    parts = [f"{done}/{rounds} rounds done"]
    if isinstance(seconds := standing.get("round_s"), int | float):
        parts.append(f"the last in {seconds:.1f} s")
    if isinstance(dice := standing.get("dice"), int | float):
        parts.append(f"Dice {dice:.3f}")
    if silent := standing.get("silent"):
        parts.append(f"without {', '.join(map(str, silent))}")
    if objecting:
        parts.append(f"not at {', '.join(objecting)}")
    if refused := sum((standing.get("refusals") or {}).values()):
        parts.append(f"{refused} answers refused so far")
    return ", ".join(parts)
