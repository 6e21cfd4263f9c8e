"""The results section: the table of methods by regions, with intervals, the best marked and ties said so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedbrats.report.numbers.comparison import Cell, compare
from fedbrats.report.numbers.results import Results
from fedbrats.report.numbers.statistics import LEVEL, RESAMPLES
from fedbrats.report.page import markup
from fedbrats.rows import REGIONS_AND_MEAN


def results_section(methods: Sequence[Results], runs: Sequence[Results]) -> str:
    """The section with the table of the methods, its headline and, of runs with `fedbrats evaluate`, every metric."""
    comparison = compare([method for method in methods if method.is_training])
    if not comparison:
        return ""
    if not any(comparison.values()):
        return markup.section("Results", markup.paragraph("No run has reached its final evaluation yet."))
    regions = ("mean", *(region for region in REGIONS_AND_MEAN if region != "mean"))
    counts = {method.name: _count(method) for method in methods}
    rows = [
        (markup.row_head(name), markup.cell(counts[name]), *(_result_cell(cells.get(region)) for region in regions))
        for name, cells in comparison.items()
    ]
    caption = "Dice of the final model on validation cases, mean over patients"
    note = (
        f"In small figures the {LEVEL:.0%} interval of {RESAMPLES} bootstrap samples of patients. “≈ best” marks a "
        "method that these patients cannot tell from the best one: the interval of the paired difference holds 0, or p "
        "is at least 0.05. p is of the paired permutation test against the best, uncorrected for several comparisons. "
        "Only methods that were scored on the same patients are ranked; “other patients” marks the rest, whose numbers "
        "stand beside the others but not against them. "
        "Folds of a cross-validation count as one method: every patient is scored by the model that was not trained on "
        "them."
    )
    table = markup.table(caption, ("method", "patients", *regions), rows)
    return markup.section(
        "Results", markup.paragraph(_headline(comparison), "headline"), table, markup.paragraph(note, "soft"),
        _detailed_metrics(runs),
    )  # fmt: skip


def _headline(comparison: dict[str, dict[str, Cell]]) -> str:
    cells = {name: cells["mean"] for name, cells in comparison.items() if "mean" in cells}
    best = next((name for name, found in cells.items() if found.is_best), None)
    if best is None:
        return "No two methods were scored on the same patients, so none can be called the best."
    ties = [name for name, found in cells.items() if found.is_tie]
    others = [name for name, found in cells.items() if not found.is_ranked]
    said = f"Best mean Dice: {best} with {cells[best].dice:.3f}"
    said += f"; these patients cannot tell it from {', '.join(ties)}." if ties else "."
    return f"{said} Scored on other patients, and so not ranked: {', '.join(others)}." if others else said


def _count(method: Results) -> int | str | None:
    """How many patients a method was scored on; so many cases, where the sites keep single ones to themselves."""
    return (method.scored if method.cases else f"{method.scored} cases") if method.scored else None


def _result_cell(found: Cell | None) -> str:
    if found is None:
        return markup.cell(None)
    mark = "best" if found.is_best else "≈ best" if found.is_tie else ""
    marked = f'<span class="mark">{mark}</span>' if mark else ""
    lines = [] if found.is_ranked else ["other patients"]
    if found.interval:
        lines.append(f"{found.interval.low:.3f} to {found.interval.high:.3f}")
    if found.p is not None:
        lines.append(f"p = {found.p:.3f}" if found.p >= 0.001 else "p &lt; 0.001")
    under = "".join(f'<span class="interval">{line}</span>' for line in lines)
    return f'<td class="{"best" if found.is_best else ""}">{found.dice:.3f}{marked}{under}</td>'


def _detailed_metrics(runs: Sequence[Results]) -> str:
    """What `fedbrats evaluate` has written into results folders."""
    tables = []
    for run in runs:
        if not run.evaluation:
            continue
        rows = [
            (markup.row_head(f"{metric}, {region}"), *_metric_cells(found))
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
        rule = markup.paragraph(f"Empty regions: {run.evaluation['empty_region_rule']}.", "soft")
        tables.append(markup.details(f"Every metric of {run.name}", markup.table(caption, columns, rows) + rule))
    return "".join(tables)


def _metric_cells(found: dict[str, Any]) -> tuple[str, ...]:
    interval = f"{found['low']:.3f} to {found['high']:.3f}"
    values = (found["mean"], interval, found["median"], found["worst_site"], found["gap"])
    return tuple(markup.cell(value) for value in values)
