"""The executor of a site: translates FLARE's tasks and answers to those of a local round."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from nvflare.apis.dxo import DXO, DataKind, MetaKey, from_shareable
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal
from nvflare.app_common.app_constant import AppConstants

from fedbrats.flare import garbage, padded_messages
from fedbrats.flare.protocol import (
    FEDCE_WEIGHTS,
    REPORT_KEY,
    SAID_KEY,
    SECURE_TASKS,
    STAGES,
    TOLD_KEY,
    TRAVELLED,
    VALIDATION_DICE,
)
from fedbrats.flare.site.padding import padding_of, refuse_open
from fedbrats.flare.site.site_executor import SiteExecutor
from fedbrats.jobs.resume import check_job_ids
from fedbrats.jobs.settings import check_values
from fedbrats.privacy.settings import PrivacySettings
from fedbrats.site.hooks.choice import choose_hooks
from fedbrats.site.hooks.private import choose_private
from fedbrats.site.local_round import LocalRound
from fedbrats.site.local_site import LocalSite
from fedbrats.site.padded_rounds import times_padded
from fedbrats.site.task import RoundTask


class SegmentationExecutor(SiteExecutor):
    """Answers the tasks `train` and `validate`, and those of a padded round.

    A training answer is a WEIGHT_DIFF of every name, personal ones too: the site's KeepShared filter removes those. Its
    meta carries the round's `SiteReport`.

    Args:
        network, seed, training, preparation: as of SiteExecutor.
        personal: which names stay at this site: `none`, `head`, `decoder`, `norm`, `all`, or prefixes ending at a dot.
        personal_rounds: in so many last rounds all names stay, and each site fits the model to its own cases.
        best_of: whether the site keeps the best of its models.
        validate_received, validate_trained: whether to evaluate the model before and after local training.
        validate_every: of how many rounds this happens in one; always in the last round.
        measure_minus_model: for FedCE: also evaluate the received model without this site's share of it.
        hooks: what the job's method changes of a round: paths of classes of SiteHook with their arguments.
        privacy: the settings of `fedbrats.privacy.settings.PrivacySettings`.
        resume: ids of the jobs that this one goes on from, newest first: what they left at this site is taken up.
    """

    def __init__(
        self,
        network: str | dict[str, Any] = "fast",
        seed: int = 0,
        personal: str = "none",
        personal_rounds: int = 0,
        best_of: bool = False,
        training: dict[str, Any] | None = None,
        preparation: dict[str, Any] | None = None,
        validate_received: bool = True,
        validate_trained: bool = True,
        validate_every: int = 1,
        measure_minus_model: bool = False,
        hooks: dict[str, Any] | None = None,
        privacy: dict[str, Any] | None = None,
        resume: list[str] | None = None,
        train_task: str = AppConstants.TASK_TRAIN,
        validate_task: str = AppConstants.TASK_VALIDATION,
    ):
        super().__init__(network, seed, training, preparation)
        self._method: dict[str, Any] = {
            "personal": personal,
            "personal_rounds": personal_rounds,
            "best_of": best_of,
            "measure_minus_model": measure_minus_model,
            "hooks": hooks or {},
        }
        self._validations: dict[str, Any] = {
            "validate_received": validate_received,
            "validate_trained": validate_trained,
            "validate_every": validate_every,
        }
        check_values({**self._method, **self._validations})
        self._privacy = PrivacySettings.read(privacy or {}, "privacy")
        self._resume = check_job_ids(resume)
        self._tasks = {train_task: self._train, validate_task: self._validate}
        self._tasks |= {task: partial(self._pad, task) for task in SECURE_TASKS}
        self._round: LocalRound | None = None

    def _train(self, site: LocalSite, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        received = from_shareable(shareable)
        number = int(shareable.get_header(AppConstants.CURRENT_ROUND))
        task = RoundTask(
            received.data,
            number,
            int(shareable.get_header(AppConstants.NUM_ROUNDS)),
            shares=received.get_meta_prop(FEDCE_WEIGHTS) or {},
            told=received.get_meta_prop(TOLD_KEY) or {},
            repeat=times_padded(self._folders(site, fl_ctx), number),
        )
        job_id = fl_ctx.get_job_id()
        answer = self._round_of(site, fl_ctx).answer(
            task, should_stop=lambda: bool(abort_signal.triggered) or site.is_over(job_id)
        )
        if answer is None:
            site.refuse_too_long(job_id)
            return make_reply(ReturnCode.TASK_ABORTED)
        report = answer.report.completed(bytes_down=received.get_meta_prop(TRAVELLED))
        meta = {MetaKey.NUM_STEPS_CURRENT_ROUND: report.steps, REPORT_KEY: report.model_dump()}
        if report.received_dice is not None:  # the server chooses its best model by it
            meta[MetaKey.INITIAL_METRICS] = {VALIDATION_DICE: report.received_dice}
        if answer.said:
            meta[SAID_KEY] = answer.said
        garbage.collect()
        reply = DXO(DataKind.WEIGHT_DIFF, data=answer.update, meta=meta).to_shareable()
        reply.set_header(AppConstants.CURRENT_ROUND, task.round_number)  # FLARE's filters do not see the task
        reply.set_header(AppConstants.NUM_ROUNDS, task.total_rounds)
        return reply

    def _validate(self, site: LocalSite, shareable: Shareable, fl_ctx: FLContext, _abort: Signal) -> Shareable:
        """Evaluate a model of the server's on the site's validation cases."""
        stage = STAGES.get(shareable.get_header(AppConstants.MODEL_OWNER), "other")
        report = self._round_of(site, fl_ctx).evaluate(from_shareable(shareable).data, stage)
        return DXO(DataKind.METRICS, data=report.model_dump()).to_shareable()

    def _pad(self, task: str, site: LocalSite, shareable: Shareable, fl_ctx: FLContext, _abort: Signal) -> Shareable:
        """Do a task of a padded round."""
        folder = self._folders(site, fl_ctx)[0]
        answer = padding_of(fl_ctx).answer(task, padded_messages.read(shareable), folder, fl_ctx)
        return padded_messages.write(answer)

    def _folders(self, site: LocalSite, fl_ctx: FLContext) -> list[Path]:
        """What this job, and those that it goes on from, keep at the site."""
        return [site.facts.personal_dir / job_id / site.name for job_id in (fl_ctx.get_job_id(), *self._resume)]

    def _round_of(self, site: LocalSite, fl_ctx: FLContext) -> LocalRound:
        """The rounds of this job at the site, which live as long as the job."""
        if self._round is None:
            if self._method["personal"] != "all":  # else nothing of an update leaves
                refuse_open(site.facts, AppConstants.TASK_TRAIN, fl_ctx)
            folders = self._folders(site, fl_ctx)
            private = choose_private(site, self._privacy, fl_ctx.get_job_id())
            hooks = choose_hooks(site.trainer.settings, **self._method, private=private)
            self._round = LocalRound(site, hooks, folders, **self._validations)
        return self._round
