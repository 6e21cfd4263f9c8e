"""What a job measured with the very weights of a model; numbers that belong to other weights are no numbers of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fedbrats.model.saved import SavedModel
from fedbrats.rows import Row, summarise_rows
from fedbrats.run_folder import BEST_MODEL, CENTRAL_MODEL, FINAL_MODEL

FINAL, BEST = "final", "best"
STAGES = {FINAL_MODEL: FINAL, CENTRAL_MODEL: FINAL, BEST_MODEL: BEST}  # a model file of results, and its rows


@dataclass(frozen=True)
class Measured:
    """Dice and IoU by region and `mean`, over `cases` validation cases; or, where they are not known, why."""

    dice: Mapping[str, float]
    iou: Mapping[str, float]
    cases: int = 0
    unknown: str = ""


def find_measured(model: SavedModel, rows: Iterable[Row]) -> Measured:
    """The numbers of a model from its job's rows; a summary would only say what the final model came to."""
    stage = STAGES.get(model.path.name)
    if model.is_personal:
        return _unknown("one site's personal weights lie over the common model, and the job's numbers are of all sites")
    if model.has_personal_part:
        return _unknown("the job measured them together with each site's own personal weights")
    if stage is None:
        return _unknown(f"{model.path.name} is none of the models that a job evaluates")
    found = summarise_rows(rows, stage)
    if not found["dice"]:
        return _unknown("no rows beside their file have a validation result of them")
    return Measured(found["dice"], found["iou"], found["cases"])


def _unknown(why: str) -> Measured:
    return Measured({}, {}, unknown=why)
