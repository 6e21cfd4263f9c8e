"""A site's answer as a contribution, for the gates to judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from nvflare.apis.dxo import DataKind, from_shareable
from nvflare.apis.shareable import Shareable
from nvflare.app_common.app_constant import AppConstants

from fedbrats.federation.gates import Contribution
from fedbrats.federation.updates import Update
from fedbrats.flare.protocol import REPORT_KEY
from fedbrats.flare.said import read_said
from fedbrats.site_report import SiteReport


def read_contribution(site: str, shareable: Shareable) -> Contribution:
    """Read a site's answer; the gates judge it afterwards.

    Raises: ValueError, TypeError or KeyError where it is not a difference of weights with a report.
    """
    dxo = from_shareable(shareable)
    if dxo.data_kind != DataKind.WEIGHT_DIFF:
        raise ValueError(f"expected {DataKind.WEIGHT_DIFF}, got {dxo.data_kind}")
    if not isinstance(dxo.data, dict) or not all(isinstance(name, str) for name in dxo.data):
        raise ValueError("it is no mapping of names to arrays")
    report = dxo.get_meta_prop(REPORT_KEY)
    if not isinstance(report, dict) or not {"training_cases", "steps"} <= report.keys():
        raise ValueError("it says nothing of its cases and steps")
    known = SiteReport.read(report)
    return Contribution(
        site=site,
        round_number=shareable.get_cookie(AppConstants.CONTRIBUTION_ROUND),
        cases=report["training_cases"],  # as it is said, for the gates to judge
        steps=known.steps or 0,
        update=dxo.data,
        usefulness=known.usefulness,
        minus_score=known.minus_score,
        said=read_said(dxo),
    )


def cast_like(update: Update, weights: Mapping[str, Any]) -> Update:
    """The update in the global model's kinds of number, before it is judged: no site decides those of the mean."""

    def cast(name: str, value: Any) -> Any:
        if name not in weights or not isinstance(value, np.ndarray) or not np.issubdtype(value.dtype, np.floating):
            return value  # the gates refuse it
        with np.errstate(over="ignore"):
            return value.astype(np.asarray(weights[name]).dtype, copy=False)

    return {name: cast(name, value) for name, value in update.items()}
