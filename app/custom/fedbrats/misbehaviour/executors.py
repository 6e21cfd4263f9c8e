"""The executors of a job in which sites misbehave; every other site of the job does what it always does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nvflare.apis.dxo import DataKind, from_shareable
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.app_constant import AppConstants

from fedbrats.data.prepare.cache import CacheSettings
from fedbrats.data.prepare.site_cases import SiteCases
from fedbrats.flare.protocol import REPORT_KEY
from fedbrats.flare.site.cross_site import CrossSiteExecutor
from fedbrats.flare.site.executor import SegmentationExecutor
from fedbrats.misbehaviour.adaptive import ADAPTIVE_ATTACKS, Adversary
from fedbrats.misbehaviour.cases import corrupt_cases
from fedbrats.misbehaviour.kinds import ABSURD_CASES, check_misbehaviour, copied_site
from fedbrats.misbehaviour.updates import ABSURD_COUNT, corrupt_update
from fedbrats.site.local_site import prepare_site
from fedbrats.site.site_file import SiteFacts


class MisbehavingExecutor(SegmentationExecutor):
    """A SegmentationExecutor that does harm at the sites that it is told.

    Args:
        misbehaviour: what each site does wrong, by its name: one of `fedbrats.misbehaviour.kinds.KINDS`.
        options: of SegmentationExecutor.
    """

    def __init__(self, misbehaviour: Mapping[str, str], **options: Any):
        super().__init__(**options)
        self._misbehaviour = check_misbehaviour(misbehaviour)
        self._adversary: Adversary | None = None

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        """Do the task and corrupt the answer where this site is told to."""
        kind = self._misbehaviour.get(fl_ctx.get_identity_name())
        if kind is None:
            return super().execute(task_name, shareable, fl_ctx, abort_signal)
        self.log_warning(fl_ctx, f"this site misbehaves on purpose: {kind}")
        answer = super().execute(task_name, shareable, fl_ctx, abort_signal)
        if answer.get_return_code() != ReturnCode.OK:
            return answer
        if kind not in ADAPTIVE_ATTACKS:
            return corrupt_answer(answer, kind)
        self._adversary = self._adversary or Adversary(kind, fl_ctx.get_identity_name())
        return attack(answer, from_shareable(shareable).data, self._adversary)

    def _prepare(self, site: str, facts: SiteFacts, preparation: CacheSettings) -> SiteCases:
        return prepare_badly(self._misbehaviour.get(site), site, facts, preparation)


class MisbehavingCrossSiteExecutor(CrossSiteExecutor):
    """A CrossSiteExecutor on the corrupted cases of the sites that it is told.

    Args:
        misbehaviour: as of MisbehavingExecutor.
        options: of CrossSiteExecutor.
    """

    def __init__(self, misbehaviour: Mapping[str, str], **options: Any):
        super().__init__(**options)
        self._misbehaviour = check_misbehaviour(misbehaviour)

    def _prepare(self, site: str, facts: SiteFacts, preparation: CacheSettings) -> SiteCases:
        return prepare_badly(self._misbehaviour.get(site), site, facts, preparation)


def prepare_badly(kind: str | None, site: str, facts: SiteFacts, preparation: CacheSettings) -> SiteCases:
    """The site's prepared cases, corrupted where `kind` is a corruption of data; another site's where it is a copy."""
    copied = copied_site(kind) if kind else None
    if copied:
        return prepare_site(copied, facts.changed(data_dir=facts.data_dir.parent / copied), preparation)
    cases = prepare_site(site, facts, preparation)
    if kind is None:
        return cases
    training, validation = (tuple(corrupt_cases(section, kind)) for section in (cases.training, cases.validation))
    return replace(cases, training=training, validation=validation)


def attack(answer: Shareable, received: Mapping[str, Any], adversary: Adversary) -> Shareable:
    """A training answer with the update that an adversary sends; any other as it is."""
    dxo = from_shareable(answer)
    if dxo.data_kind != DataKind.WEIGHT_DIFF:
        return answer
    dxo.data = adversary.corrupt(dxo.data, received, int(answer.get_header(AppConstants.CURRENT_ROUND)))
    return dxo.update_shareable(answer)


def corrupt_answer(answer: Shareable, kind: str) -> Shareable:
    """A training answer with its update, or the number of cases that it declares, corrupted; any other as it is."""
    dxo = from_shareable(answer)
    if dxo.data_kind != DataKind.WEIGHT_DIFF:
        return answer
    dxo.data = corrupt_update(dxo.data, kind, seed=int(answer.get_header(AppConstants.CURRENT_ROUND)))
    if kind == ABSURD_CASES:
        dxo.meta[REPORT_KEY]["training_cases"] = ABSURD_COUNT
    return dxo.update_shareable(answer)
