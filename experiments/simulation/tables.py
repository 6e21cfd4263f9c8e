"""The tables of docs/reference/contribution.md, made from the rows of experiments/results/simulated.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedbrats.report.markdown import markdown_table

from .methods import METHODS
from .trouble import TROUBLES

Row = Mapping[str, Any]


def as_markdown(document: Mapping[str, Any]) -> str:
    """One table of losses a setting, then tables of the factor's weights, rank correlations, shifts and costs."""
    rows: Sequence[Row] = document["rows"]
    parts = []
    for setting in document["settings"]:
        cells = {(row["trouble"], row["method"]): row for row in rows if row["setting"] == setting}
        parts.append(f"### {setting}: loss left, in percent\n\n{_losses(cells)}")
    parts.append(f"### The troubled site under the factor\n\n{_weights(rows, list(document['settings']))}")
    parts.append(f"### Weight and worth\n\n{_correlations(document['leave_one_out'])}")
    parts.append(f"### How strong a shift\n\n{_shifts(document['shift'], len(document['seeds']))}")
    parts.append(f"### Cost of a round\n\n{_costs(document['cost'])}")
    return "\n".join(parts)


def _losses(cells: Mapping[tuple[str, str], Row]) -> str:
    lines = [[trouble, *(_loss(cells[trouble, method]) for method in METHODS)] for trouble in TROUBLES]
    return markdown_table(["trouble", *METHODS], lines)


def _loss(row: Row) -> str:
    if row["broken"]:
        return "broken"
    half = (row["excess_high"] - row["excess_low"]) / 2.0
    return f"{100 * row['excess']:.1f} ± {100 * half:.1f}"


def _weights(rows: Sequence[Row], settings: Sequence[str]) -> str:
    cells = {(row["setting"], row["trouble"]): row for row in rows if row["method"] == "factor"}
    return markdown_table(
        ["trouble", *(f"{setting}: {what}" for setting in settings for what in ("round 5", "mean", "least weight"))],
        [[trouble, *(text for s in settings for text in _ratios(cells[s, trouble]))] for trouble in TROUBLES],
    )


def _ratios(row: Row) -> list[str]:
    keys = ("influence_ratio_fifth_round", "influence_ratio_mean", "weight_ratio_least")
    return [f"{row[key]:.2f}" for key in keys]


def _correlations(rows: Sequence[Row]) -> str:
    keys = ("spearman", "spearman_low", "spearman_high")
    lines = [[row["setting"], row["method"], *(f"{row[key]:+.2f}" for key in keys)] for row in rows]
    return markdown_table(["setting", "method", "rank correlation", "low", "high"], lines)


def _shifts(rows: Sequence[Row], seeds: int) -> str:
    lines = [
        [
            row["setting"],
            f"{row['shift']}",
            f"{row['seeds_in_quarantine']} of {seeds}",
            f"{row['weight_ratio_mean']:.2f}",
        ]
        for row in rows
    ]
    return markdown_table(["setting", "shift", "ever in quarantine", "mean weight over prior"], lines)


def _costs(rows: Sequence[Row]) -> str:
    keys = ("sites", "numbers", "cosines", "milliseconds", "peak_megabytes")
    return markdown_table([key.replace("_", " ") for key in keys], [[f"{row[key]}" for key in keys] for row in rows])
