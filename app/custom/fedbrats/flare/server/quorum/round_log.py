"""What happens in a round, said aloud: a row for the recorder and, where somebody must know, a line in the log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import ReturnCode

from fedbrats.federation.participation import Participation
from fedbrats.federation.quorum import Attempt
from fedbrats.flare.server.quorum.sites import SiteList
from fedbrats.flare.server.row_events import fire_rows


class RoundLog:
    """Rows and log lines of a workflow, within one context of FLARE's.

    Args:
        workflow: in whose name they are written.
        fl_ctx: of the event that is told.
    """

    def __init__(self, workflow: FLComponent, fl_ctx: FLContext):
        self.fl_ctx = fl_ctx
        self._workflow = workflow

    def failure(self, site: str, number: int, code: str) -> None:
        """A site has answered that it could not do its part."""
        whose = "its own log, or this server's," if code == ReturnCode.TASK_RESULT_FILTER_ERROR else "its own log"
        message = f"{site} could not do round {number} ({code}); {whose} says why"
        self._workflow.log_warning(self.fl_ctx, f"{message}; round={number} site={site} code={code}")
        self._row("refusal", round=number, site=site, reason="failed", message=message)

    def refusal(self, site: str, number: int, reason: str, message: str) -> None:
        """An answer is not counted."""
        self._workflow.log_error(self.fl_ctx, f"{message}; round={number} site={site} reason={reason}")
        self._row("refusal", round=number, site=site, reason=reason, message=message)

    def late(self, site: str, number: int, took_s: float | None, late_s: float | None) -> None:
        """An answer has come after its round was closed."""
        said = f"{late_s:.0f} s after the round was closed" if late_s is not None else "after the round was closed"
        message = f"the answer of {site} to round {number} came {said} and is not counted"
        self._workflow.log_warning(self.fl_ctx, f"{message}; round={number} site={site}")
        self._row("late", round=number, site=site, late_s=late_s, took_s=took_s)

    def attempt(self, attempt: Attempt, rule: Participation, known_sites: Iterable[str], pause_s: float = 0.0) -> None:
        """An attempt of a round has ended: whom it waited for, what it lacks, and after which pause the next begins."""
        absent = [site for site in known_sites if site not in attempt.asked]
        self._row("participation", **asdict(attempt, dict_factory=_without_reasons), absent=absent)
        at_end = f"round={attempt.round} attempt={attempt.attempt} attempts={rule.attempts}"
        if late := [site for site in attempt.waiting if site not in attempt.not_waited_for]:
            bound = ", the most that first_deadline_s allows" if attempt.deadline_s >= rule.longest_s else ""
            message = f"no answer from {', '.join(late)} within {attempt.deadline_s:.0f} s{bound}"
            self._workflow.log_warning(self.fl_ctx, f"{message}; {at_end}")
        if attempt.not_waited_for:
            message = f"{', '.join(attempt.not_waited_for)} missed earlier deadlines and is not waited for"
            self._workflow.log_warning(self.fl_ctx, f"{message}; {at_end}")
        if attempt.lacks:
            self._workflow.log_error(self.fl_ctx, f"{attempt.lacks}{attempt.say_failed()}; {at_end}")
        if pause_s:
            message = (
                f"round {attempt.round}: {', '.join(sorted(attempt.failed))} will be asked again in {pause_s:.0f} s"
            )
            self._workflow.log_warning(self.fl_ctx, f"{message}; {at_end} pause_s={pause_s:.0f}")

    def arrivals(self, sites: SiteList, number: int) -> None:
        """Sites that have joined or come back."""
        try:
            arrivals = sites.refresh()
        except RuntimeError as error:
            self._workflow.log_warning(
                self.fl_ctx, f"the server's own process does not say which sites there are: {error}; round={number}"
            )
            return
        for each in arrivals:
            said = "is back" if each.again else "joins"
            self._workflow.log_info(self.fl_ctx, f"{each.site} {said}; round={number} site={each.site}")
            self._row("joined", round=number, site=each.site, again=each.again)

    def _row(self, kind: str, **entries: Any) -> None:
        fire_rows(self._workflow, [{"kind": kind, **entries}], self.fl_ctx)


def _without_reasons(entries: list[tuple[str, Any]]) -> dict[str, Any]:
    """The entries of a row: of the sites that failed their names, as a `refusal` says why."""
    return {name: sorted(value) if name == "failed" else value for name, value in entries}
