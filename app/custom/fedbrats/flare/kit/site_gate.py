"""The site's own filter (local/privacy.json): it judges every result before it leaves, whatever the job configures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nvflare.apis.dxo import DXO, DataKind, MetaKey
from nvflare.apis.filter import Filter
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable

from fedbrats.data.cases.datalist import Datalist, read_datalist
from fedbrats.errors import UpdateError
from fedbrats.federation.sharing import matches, split_names
from fedbrats.flare.job_folder import local_folder
from fedbrats.flare.padded_messages import fault_of_answer
from fedbrats.flare.protocol import REPORT_KEY, SAID_KEY, require_answer
from fedbrats.flare.said import judge_said
from fedbrats.flare.site.padding import refuse_open
from fedbrats.site.personal import stored_names
from fedbrats.site.site_file import SiteFacts, read_site_facts

SEPARATORS = ("/", "\\")
SHORTEST_NAME = 3


class SiteGate(Filter):
    """Judges every result of every job before the job's own filters see it, and fails closed.

    - only differences of weights and metrics leave, personal weights where the hospital shares them, and the messages
      of a padded round, whose update this gate has judged before it was covered; nothing else;
    - the weights that this job keeps at this site are taken out, also where the job's own filter is missing;
    - a job that asks for weights that the hospital lists as its own gets nothing;
    - what the job's method says besides is a number, a short array, or of the update's own form, and nothing else;
    - an update of fewer distinct cases than the site's `min_cases` does not leave, and metrics of fewer are taken out;
    - where the hospital demands pads (`require_pads`), an update leaves only if the job's last filter covers it;
    - a text with a path, a case or a patient in it stops the result.

    Args:
        keep: names of weights, or prefixes ending at a dot, that never leave this site whatever the job.
    """

    def __init__(self, keep: Sequence[str] = ()):
        super().__init__()
        self._keep = tuple(keep)
        self._secrets: re.Pattern[str] | None = None

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        """Return what may leave; raises UpdateError, upon which FLARE sends nothing."""
        if shareable.get_return_code() != ReturnCode.OK:
            return shareable
        dxo = require_answer(shareable)
        site = fl_ctx.get_identity_name()
        facts = read_site_facts(local_folder(fl_ctx), site)
        if dxo.data_kind == DataKind.WEIGHT_DIFF:
            self._judge_update(dxo, facts, fl_ctx)
        elif dxo.data_kind == DataKind.METRICS:
            if dxo.data.get("validation_cases", 0) < facts.min_cases:
                dxo.data["metrics"] = None
        elif dxo.data_kind == DataKind.COLLECTION:
            self._judge_personal(dxo.data, facts)
        elif dxo.data_kind == DataKind.APP_DEFINED:
            if fault := fault_of_answer(dxo.data):
                raise UpdateError(f"nothing is sent: the result is no answer of a padded round: it {fault}")
        else:
            raise UpdateError(f"nothing is sent: results of kind {dxo.data_kind} do not leave this site")
        self._refuse_secrets(dxo, facts)
        return dxo.update_shareable(shareable)

    def _judge_update(self, dxo: DXO, facts: SiteFacts, fl_ctx: FLContext) -> None:
        refuse_few(dxo, facts.min_cases)
        personal_dir = facts.personal_dir / fl_ctx.get_job_id() / fl_ctx.get_identity_name()
        dxo.data = self._take_out_personal(dxo.data, personal_dir)
        if dxo.data or dxo.get_meta_prop(SAID_KEY):
            refuse_open(facts, str(fl_ctx.get_prop(FLContextKey.TASK_NAME)), fl_ctx)
        report = dxo.get_meta_prop(REPORT_KEY) or {}
        known = {"training": report.get("loss_cases") or 0, "validation": report.get("validation_cases") or 0}
        judge_said(dxo, known, facts.min_cases)
        suppress_report(dxo, facts.min_cases)

    def _take_out_personal(self, weights: dict[str, Any], personal_dir: Path) -> dict[str, Any]:
        personal = stored_names(personal_dir)
        _, kept = split_names(weights, self._keep)
        asked = sorted(set(kept) - personal)
        if asked:
            raise UpdateError(f"nothing is sent: this hospital keeps {', '.join(asked)}, and the job asks for them")
        return {name: array for name, array in weights.items() if name not in personal}

    def _judge_personal(self, parts: dict[str, Any], facts: SiteFacts) -> None:
        """Personal weights for others to evaluate: only where the hospital shares them, and none that it keeps."""
        if parts and not facts.share_personal_models:
            raise UpdateError("nothing is sent: this hospital does not share its personal models")
        for name, part in parts.items():
            if not isinstance(part, DXO) or part.data_kind != DataKind.WEIGHTS:
                raise UpdateError(f"nothing is sent: {name} is no set of weights")
            if kept := sorted(name for name in part.data if any(matches(name, pattern) for pattern in self._keep)):
                raise UpdateError(f"nothing is sent: this hospital keeps {', '.join(kept)}")

    def _refuse_secrets(self, dxo: DXO, facts: SiteFacts) -> None:
        if self._secrets is None:
            self._secrets = names_in(read_datalist(facts.data_dir))
        words = [*find_texts(dxo.meta), *(find_texts(dxo.data))]
        for word in words:
            if any(separator in word for separator in SEPARATORS) or self._secrets.search(word):
                raise UpdateError("nothing is sent: a text in the result names a path, a case or a patient")


def refuse_few(dxo: DXO, min_cases: int) -> None:
    """Raise UpdateError for an update that rests on fewer distinct cases than `min_cases`."""
    cases = (dxo.get_meta_prop(REPORT_KEY) or {}).get("loss_cases") or 0
    if cases < min_cases:
        raise UpdateError(
            f"nothing is sent: the update rests on {cases} distinct cases, and min_cases in the site file is "
            f"{min_cases}; the job needs more local_steps or a larger batch_size, or the site more cases"
        )


def suppress_report(dxo: DXO, min_cases: int) -> None:
    """Take out of a training answer what describes fewer cases than `min_cases`."""
    report = dxo.get_meta_prop(REPORT_KEY) or {}
    if report.get("validation_cases", 0) < min_cases:
        for name in ("received", "trained", "minus_score"):
            if name in report:
                report[name] = None
        dxo.meta.pop(MetaKey.INITIAL_METRICS, None)
    if report.get("loss_cases", 0) < min_cases and "loss" in report:
        report["loss"] = None


def names_in(datalist: Datalist) -> re.Pattern[str]:
    """What finds the names of a site's cases and patients in a text.

    As whole words, for a patient called 017 must not be found in a checksum; and not those of one or two signs, which
    are found in every number and tell nobody.
    """
    names = {name for case in datalist.cases for name in (case.name, case.patient) if len(name) >= SHORTEST_NAME}
    words = "|".join(re.escape(name) for name in sorted(names)) or "(?!)"
    return re.compile(rf"(?<![0-9A-Za-z])(?:{words})(?![0-9A-Za-z])")


def find_texts(value: Any) -> Iterator[str]:
    """Every text in nested results, dictionaries and lists, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, DXO):
        yield from find_texts(value.meta)
        yield from find_texts(value.data)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield str(key)
            yield from find_texts(each)
    elif isinstance(value, list | tuple | set):
        for each in value:
            yield from find_texts(each)
