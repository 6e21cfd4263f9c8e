"""What FLARE's selector of the best model hears of a site's answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nvflare.apis.dxo import MetaKey
from nvflare.apis.shareable import Shareable

from fedbrats.flare.protocol import VALIDATION_DICE, read_answer
from fedbrats.site_report import SiteReport


class SelectionGuard:
    """Lets FLARE's selector see a Dice from 0 to 1, weighed by cases, and each site once a round.

    The selector looks at every answer before the gates do, would take any number of steps for a weight, and a second
    answer for another site's.
    """

    def __init__(self) -> None:
        self._heard: set[str] = set()
        self._round = -1

    def begin_round(self, number: int) -> None:
        """Nobody has been heard yet, unless the round is asked once more: the selector still knows what it heard."""
        if number != self._round:
            self._round, self._heard = number, set()

    def settle(self, site: str, answers: Iterable[object], report: SiteReport, registered: Mapping[str, int]) -> None:
        """Write into every copy of the answer what the selector may hear.

        Args:
            site: who answered, as its token says.
            answers: the copies of the answer that FLARE's components may look at.
            report: the site's report of the round.
            registered: the cases of each site of the consortium; empty where there is no register.
        """
        cases = report.training_cases or 0
        weight = min(cases, registered.get(site, 0)) if registered else cases
        is_heard = report.received_dice is not None and weight > 0 and site not in self._heard
        self._heard.add(site)
        for shareable in answers:
            answer = read_answer(shareable) if isinstance(shareable, Shareable) else None
            if answer is None:
                continue
            answer.meta.pop(MetaKey.INITIAL_METRICS, None)
            if is_heard:
                answer.set_meta_prop(MetaKey.INITIAL_METRICS, {VALIDATION_DICE: report.received_dice})
                answer.set_meta_prop(MetaKey.NUM_STEPS_CURRENT_ROUND, weight)
            answer.update_shareable(shareable)
