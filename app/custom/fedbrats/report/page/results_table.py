"""The results section: the table of methods by regions, with intervals, the best marked and ties said so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from fedbrats.report.numbers.answers import share_of_pooled
from fedbrats.report.numbers.comparison import Cell, compare
from fedbrats.report.numbers.conditions import count_budget, differing_variables
from fedbrats.report.numbers.evaluation import show_interval
from fedbrats.report.numbers.results import Results
from fedbrats.report.numbers.roles import PLAIN, POOLED
from fedbrats.report.numbers.statistics import LEAST_PATIENTS, LEVEL, RESAMPLES
from fedbrats.report.page.blocks import Block, Details, Paragraph, Section, Table
from fedbrats.report.page.cells import show_cell
from fedbrats.report.page.words import REGIONS_IN_SHORT, SURFACES_IN_SHORT
from fedbrats.rows import REGIONS_AND_MEAN

RANKING_METRICS = {
    "dice": "Dice",
    "iou": "IoU",
    "lesion_dice": "lesion-wise Dice",
    "surface_dice_05mm": "surface Dice 0.5 mm",
    "surface_dice_1mm": "surface Dice 1 mm",
    "surface_dice_2mm": "surface Dice 2 mm",
    "hd95_mm": "HD95 mm",
}

NOTE = (
    f"In small figures the {LEVEL:.0%} interval of {RESAMPLES} bootstrap samples of patients, and of seeds where a "
    "method was trained with several. “best” marks the highest method where these patients show that it is better than "
    "every other one. “≈ best” marks the highest method and those that cannot be told apart from it: the interval of "
    "the paired difference holds 0, or p is at least 0.05. p is against the highest, corrected for the number of "
    "methods (Holm): of the paired permutation test, which says nothing of other seeds, or of the "
    "bootstrap over seeds and patients. "
    f"Below {LEAST_PATIENTS} patients there is neither: the values stand there. Only methods that were scored on the "
    "same patients are ranked; “other patients” marks the rest, whose numbers stand beside the others but not against "
    "them. Folds of a cross-validation count as one method: every patient is scored by the model that was not trained "
    "on them."
)


def results_section(methods: Sequence[Results], runs: Sequence[Results]) -> Section:
    """The section with the table of the methods, its headline and, of runs with `fedbrats evaluate`, every metric."""
    comparison = compare([method for method in methods if method.is_training])
    if not comparison:
        return Section("Results", ())
    if not any(comparison.values()):
        return Section("Results", [Paragraph("No run has reached its final evaluation yet.")])
    regions = ("mean", *(region for region in REGIONS_AND_MEAN if region != "mean"))
    beside = _beside(methods)
    rows = []
    for method in methods:
        if method.name in comparison:
            cells = [show_cell(comparison[method.name].get(region)) for region in regions]
            rows.append((method.name, (_count(method), *cells, *(values[method.name] for values in beside.values()))))
    caption = f"The final model on validation patients: mean Dice, with the {LEVEL:.0%} interval in small figures"
    table = Table(caption, ("method", "patients", *regions, *beside), rows, "wide")
    headline = Paragraph(_headline(comparison), "headline")
    trained = [method for method in methods if method.is_training]
    words = Paragraph(f"{REGIONS_IN_SHORT} {SURFACES_IN_SHORT if beside else ''}", "soft")
    said = [words, *_unlike_conditions(trained), Details("How to read the table", [Paragraph(NOTE)])]
    said += _ranking_metrics(trained)
    return Section("Results", [headline, table, *said, *_detailed_metrics(runs)])


def _beside(methods: Sequence[Results]) -> dict[str, dict[str, Any]]:
    """Column -> method -> value: distances and surfaces where single cases are known, and the share of all data in one
    place."""
    columns: dict[str, dict[str, Any]] = {}
    distances = {each.name: list(each.values_by_patient("hd95_mm", "mean").values()) for each in methods}
    if any(distances.values()):
        columns["HD95 mm, median"] = {name: f"{median(own):.1f}" if own else None for name, own in distances.items()}
    for metric in ("surface_dice_1mm", "surface_dice_2mm"):  # the tighter one, where the voxels are small enough
        surfaces = {each.name: list(each.values_by_patient(metric, "mean").values()) for each in methods}
        if any(surfaces.values()):
            columns[RANKING_METRICS[metric]] = {name: fmean(own) if own else None for name, own in surfaces.items()}
            break
    shares = {each.name: share_of_pooled(each, methods) for each in methods}
    if any(share is not None for share in shares.values()):
        said = {name: None if share is None else f"{share:.0%}" for name, share in shares.items()}
        columns[f"of {PLAIN[POOLED]}"] = said
    return columns


def _unlike_conditions(methods: Sequence[Results]) -> list[Block]:
    """What else than the method differs between the rows of the table: budgets, variables, and harm done on purpose."""
    if len(methods) < 2:
        return []
    budgets = [count_budget(method.rows) for method in methods]
    unlike: list[Block] = []
    if len({(each["steps"], each["rounds"]) for each in budgets}) > 1:
        said = "; ".join(
            f"{method.name}: {each['steps']} steps, {each['rounds']} rounds"
            for method, each in zip(methods, budgets, strict=True)
        )
        unlike.append(Paragraph(f"The budgets differ, over all sites, folds and seeds together: {said}."))
    variables = differing_variables([method.summary.get("variables") or {} for method in methods])
    if variables:
        rows = [(name, tuple(json.dumps(value) for value in values)) for name, values in variables.items()]
        table = Table("", ("variable", *(method.name for method in methods)), rows, "text")
        unlike.append(Details(f"Variables that differ between the methods: {', '.join(variables)}", [table]))
    harmed = [
        f"{m.name}: {', '.join(f'{s}={k}' for s, k in m.misbehaviour.items())}" for m in methods if m.misbehaviour
    ]
    if harmed:
        unlike.append(Paragraph(f"Harm done on purpose (--misbehave): {'; '.join(harmed)}."))
    return unlike


def _ranking_metrics(methods: Sequence[Results]) -> list[Block]:
    """Every method by the metrics of the BraTS challenges, where single cases are known."""
    rows = []
    for method in methods:
        means = []
        for metric in RANKING_METRICS:
            values = method.values_by_patient(metric, "mean").values()
            means.append(sum(values) / len(values) if values else None)
        if any(mean is not None for mean in means):
            rows.append((method.name, means))
    if not rows:
        return []
    known = [number for number in range(len(RANKING_METRICS)) if any(means[number] is not None for _, means in rows)]
    columns = tuple(list(RANKING_METRICS.values())[number] for number in known)
    table = Table(
        "Mean over regions and patients; Dice, lesion-wise and surface Dice: higher is better, HD95: lower",
        ("method", *columns),
        [(name, tuple(means[number] for number in known)) for name, means in rows],
    )
    return [Details("The metrics by which BraTS ranks", [table])]


def _headline(comparison: dict[str, dict[str, Cell]]) -> str:
    cells = {name: cells["mean"] for name, cells in comparison.items() if "mean" in cells}
    best = next((name for name, found in cells.items() if found.is_best), None)
    if best is None:
        return "No two methods were scored on the same patients, so none can be called the best."
    ties = [name for name, found in cells.items() if found.is_tie]
    others = [name for name, found in cells.items() if not found.is_ranked]
    said = f"Highest mean Dice: {best} with {cells[best].dice:.3f}"
    said += f"; with these patients it cannot be told apart from {' or '.join(ties)}." if ties else "."
    return f"{said} Scored on other patients, and so not ranked: {', '.join(others)}." if others else said


def _count(method: Results) -> int | str | None:
    """How many patients a method was scored on; so many cases, where the sites keep single ones to themselves."""
    return (method.scored if method.cases else f"{method.scored} cases") if method.scored else None


def _detailed_metrics(runs: Sequence[Results]) -> list[Block]:
    """What `fedbrats evaluate` has written into results folders."""
    tables: list[Block] = []
    for run in runs:
        if not run.evaluation:
            continue
        rows = [
            (f"{metric}, {region}", _metric_cells(found))
            for metric, regions in run.evaluation["metrics"].items()
            for region, found in regions.items()
            if found
        ]
        columns = ("metric and region", "mean", "95 % interval", "median", "worst site", "gap")
        caption = f"{run.name}: every metric, on each scan's own grid, {run.evaluation['section']} cases"
        caption += f", by {Path(run.evaluation['model']).name}" if run.evaluation.get("model") else ""
        caption += " with one site's personal weights" if run.evaluation.get("personal") else ""
        if unreached := run.evaluation.get("unreached"):
            caption += f"; the evaluation ended before {unreached} of them"
        rule = Paragraph(f"Empty regions: {run.evaluation['empty_region_rule']}.", "soft")
        tables.append(Details(f"Every metric of {run.name}", [Table(caption, columns, rows), rule]))
    return tables


def _metric_cells(found: dict[str, Any]) -> tuple[Any, ...]:
    interval = show_interval(found)
    return found["mean"], interval, found["median"], found["worst_site"], found["gap"]
