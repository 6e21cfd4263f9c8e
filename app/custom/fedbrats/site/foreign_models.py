"""Models of other jobs at this site: evaluated with the personal part that the site keeps, or with another site's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from fedbrats.errors import DataError
from fedbrats.federation.sharing import merge, split_names
from fedbrats.rows import FINAL_ROUND
from fedbrats.site.local_site import LocalSite
from fedbrats.site.personal import load_personal
from fedbrats.site.task import Weights
from fedbrats.site_report import EvaluationReport


def personal_names(site: LocalSite, weights: Weights, personal: str) -> tuple[str, ...]:
    """Which weights of a model are personal, as the `personal` setting of its job says."""
    patterns: Sequence[str] = site.trainer.network.personal_names(personal)
    return split_names(weights, patterns)[1]


def personal_part(site: LocalSite, job_id: str) -> dict[str, np.ndarray]:
    """What this site keeps of a model's job. Raises: DataError where it took no part in that job."""
    known = re.fullmatch(r"[A-Za-z0-9-]+", job_id)  # a name from a job becomes a folder's name here
    mine = load_personal(site.facts.personal_dir / job_id / site.name) if known else None
    if mine is None:
        raise DataError(
            f"site {site.name} keeps no personal weights of job {job_id or 'unknown'}, without which its model cannot "
            f"be evaluated here; fit it to this site first (`fedbrats personalise`)"
        )
    return mine


def evaluate_foreign_model(
    site: LocalSite, weights: Weights, personal: str, job_id: str, others: Mapping[str, np.ndarray], stage: str
) -> EvaluationReport:
    """Evaluate a model on all validation cases of the site.

    Args:
        weights: of the model, of every name.
        personal: which names are personal, as of PersonalLayers.
        job_id: the job whose personal weights this site keeps.
        others: another site's personal weights to try in place of this site's; empty for this site's.
        stage: what the rows of the site's own file call the model.

    Raises: DataError where the site keeps no personal part of the model, or too many of its cases are bad.
    """
    names = personal_names(site, weights, personal)
    own = others or (personal_part(site, job_id) if names else {})
    shared = {name: value for name, value in weights.items() if name not in set(names)}
    site.trainer.set_weights(merge(shared, own, weights))
    scores = site.evaluate_finally()
    site.leave_out_bad_cases(FINAL_ROUND)
    site.record_scores(FINAL_ROUND, stage, scores)
    return EvaluationReport(
        validation_cases=len(scores), metrics=site.metrics(scores), own_personal=bool(names and not others)
    )
