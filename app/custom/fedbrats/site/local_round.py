"""One local round at a site: received weights in, an update and a report out. No FLARE."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedbrats.errors import DataError, UpdateError
from fedbrats.federation.said import check_said
from fedbrats.federation.updates import difference
from fedbrats.rows import FINAL_ROUND
from fedbrats.site.hooks.hook import SiteHook
from fedbrats.site.local_site import LocalSite
from fedbrats.site.state import SiteState
from fedbrats.site.task import RoundAnswer, RoundTask, Weights
from fedbrats.site_report import EvaluationReport

if TYPE_CHECKING:
    from fedbrats.model.training.trainer import TrainOutcome


class LocalRound:
    """The local rounds of a job at one site, one after the other; what they leave survives a restart.

    Args:
        site: its cases and its trainer.
        hooks: what the job's method changes of a round, in this order.
        folders: where this job keeps what a restart needs, then where those do that it goes on from, newest first.
        validate_received, validate_trained: whether to evaluate the model before and after local training.
        validate_every: of how many rounds this happens in one; always in the last round.
    """

    def __init__(
        self,
        site: LocalSite,
        hooks: Sequence[SiteHook],
        folders: Sequence[Path],
        *,
        validate_received: bool = True,
        validate_trained: bool = True,
        validate_every: int = 1,
    ) -> None:
        self._site = site
        self._hooks = tuple(hooks)
        self._state = SiteState(folders, site.trainer.optimisation, hooks)
        self._validate_received = validate_received
        self._validate_trained = validate_trained
        self._validate_every = validate_every

    def answer(self, task: RoundTask, should_stop: Callable[[], bool] = lambda: False) -> RoundAnswer | None:
        """Train a round and keep what it left; None where it was stopped before its end, as if it had never begun.

        Raises: DataError where the site has no case left, or too many that are bad; UpdateError for weights that do not
            fit the network, or with which no step can be made.
        """
        site, trainer = self._site, self._site.trainer
        begins = self._state.take_up(task.round_number)
        start = task.weights
        for hook in self._hooks:
            start = hook.begin_round(site, start, task)
        trainer.set_weights(start)
        validates = self._validates(task)
        received = site.evaluate() if validates and self._validate_received else None
        try:
            outcome = self._train(task, should_stop)
        except DataError:  # no case is left: first say of each why
            site.leave_out_bad_cases(task.round_number)
            raise
        if should_stop():
            return None
        end = trainer.get_weights()
        trained = site.evaluate() if validates and self._validate_trained else None
        site.leave_out_bad_cases(task.round_number)
        for hook in self._hooks:
            hook.end_round(end)
        update = difference(end, start)
        for hook in self._hooks:
            update = hook.change_update(update)
        self._state.keep(task.round_number)
        site.record_scores(task.round_number, "received", received)
        site.record_scores(task.round_number, "trained", trained)
        report = site.report(outcome, received, trained).completed(begins=begins)
        for hook in self._hooks:
            report = report.completed(**hook.report())
        return RoundAnswer(update, report, collect_said(self._hooks, update))

    def evaluate(self, weights: Weights, stage: str) -> EvaluationReport:
        """Evaluate a model of the server's, as the hooks make it this site's, on all validation cases.

        Args:
            stage: what the rows of the site's own file call it, such as `final`.
        """
        self._state.take_up_latest()
        for hook in self._hooks:
            weights = hook.evaluated_model(self._site, weights)
        self._site.trainer.set_weights(weights)
        scores = self._site.evaluate_finally()
        self._site.leave_out_bad_cases(FINAL_ROUND)
        self._site.record_scores(FINAL_ROUND, stage, scores)
        told = self._site.metrics(scores) if all(hook.tells_metrics for hook in self._hooks) else None
        return EvaluationReport(validation_cases=len(scores), metrics=told)

    def _validates(self, task: RoundTask) -> bool:
        ended = task.round_number + 1
        return ended % self._validate_every == 0 or ended >= task.total_rounds

    def _train(self, task: RoundTask, should_stop: Callable[[], bool]) -> TrainOutcome:
        for hook in self._hooks:
            outcome = hook.train(self._site, task, self._hooks, should_stop)
            if outcome is not None:
                return outcome
        return self._site.trainer.train_round(
            task.round_number, task.total_rounds, hooks=self._hooks, should_stop=should_stop, repeat=task.repeat
        )


def collect_said(hooks: Sequence[SiteHook], update: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """What the hooks say, by the cases that it tells of.

    Raises: UpdateError where one says what it does not declare, or two the same.
    """
    found: dict[str, dict[str, Any]] = {}
    names: set[str] = set()
    for hook in hooks:
        said = dict(hook.say())
        check_said(said, hook.says, update, f"the hook {hook.name}", "its `says`")
        if twice := names & said.keys():
            raise UpdateError(f"two hooks say {min(twice)}; one of them needs another name for it")
        names |= said.keys()
        for name, value in said.items():
            found.setdefault(hook.says[name].of, {})[name] = value
    return found
