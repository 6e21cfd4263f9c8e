"""The report: one HTML page without a script or a link to anything outside, light or dark as its reader likes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from fedbrats import __version__
from fedbrats.report.numbers.folds import pool_folds
from fedbrats.report.numbers.results import Results
from fedbrats.report.page import markup, pictures
from fedbrats.report.page.gallery import GalleryItem
from fedbrats.report.page.provenance import provenance
from fedbrats.report.page.results_table import results_section
from fedbrats.rows import describe_model, summarise_evaluation

NOTICE = "Research software, not a medical device. Nothing here may guide the care of a patient."
LIVE_SECONDS = 5


def write_page(
    runs: Sequence[Results],
    title: str,
    *,
    gallery: Sequence[GalleryItem] = (),
    undrawn: Sequence[str] = (),
    is_live: bool = False,
) -> str:
    """The whole page as HTML. undrawn: why there are no pictures of a run. is_live: the browser loads it anew."""
    methods = pool_folds(runs)
    body = "".join(
        (
            results_section(methods, runs),
            markup.section("Learning curves", _learning_curves(methods, runs)),
            markup.section("Sites", _sites(methods)),
            markup.section("Cross-site evaluation", _cross_site(runs)),
            markup.section("Cases", _distributions(methods)),
            _gallery_section(gallery, undrawn),
            markup.section("Weights and factors", _weights(runs)),
            markup.section("Rounds", _rounds(runs)),
            markup.section("Refusals", _refusals(runs)),
            markup.section("How this came about", provenance(runs)),
        )
    )
    refresh = f'<meta http-equiv="refresh" content="{LIVE_SECONDS}">' if is_live else ""
    style = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{refresh}'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,"><style>{style}</style></head><body>'
        f"<header><h1>{escape(title)}</h1>{markup.paragraph(_overview(runs), 'soft')}"
        f"{markup.paragraph(NOTICE, 'notice')}{markup.navigation(body)}</header>"
        f"<main>{body}</main>"
        f"<footer>Written by fedbrats {escape(__version__)} on {time.strftime('%Y-%m-%d %H:%M')}.</footer>"
        "</body></html>\n"
    )


def _overview(runs: Sequence[Results]) -> str:
    sites = {site for run in runs for site in run.sites}
    running = [run.name for run in runs if run.is_running]
    text = f"{len(runs)} run{'s' * (len(runs) != 1)}, {len(sites)} site{'s' * (len(sites) != 1)}."
    return f"{text} Still running: {', '.join(running)}." if running else text


def _learning_curves(methods: Sequence[Results], runs: Sequence[Results]) -> str:
    """One picture of all methods, over the cases of all their folds, and one of every run's sites."""
    together = pictures.draw_learning_curves(methods) if len(methods) > 1 else None
    return markup.charts((together, *(pictures.draw_site_curves(run) for run in runs)))


def _sites(runs: Sequence[Results]) -> str:
    """Each method's final model at each site."""
    dice = {run.name: run.final_dice("mean") for run in runs if run.is_training}
    sites = sorted({site for found in dice.values() for site in found})
    if not sites:
        return ""
    rows = [
        (markup.row_head(name), *(markup.heat_cell(found.get(site)) for site in sites), *_spread(found))
        for name, found in dice.items()
    ]
    caption = "Mean Dice of each method's final model at each site; a dash where a site keeps its numbers to itself"
    return markup.table(caption, ("method", *sites, "worst site", "gap"), rows)


def _cross_site(runs: Sequence[Results]) -> str:
    """The matrices of the job `evaluate`, as heat maps of models by sites."""
    tables = []
    for run in runs:
        if not (matrix := summarise_evaluation(run.rows)):
            continue
        sites = sorted({site for entry in matrix for site in entry["sites"]})
        rows = []
        for entry in matrix:
            dice = {site: found["dice"]["mean"] for site, found in entry["sites"].items() if found["dice"]}
            cells = (markup.heat_cell(dice.get(site)) for site in sites)
            rows.append((markup.row_head(describe_model(entry)), *cells, *_spread(dice)))
        caption = f"{run.name}: mean Dice of each model at each site; a dash where a site said nothing"
        tables.append(markup.table(caption, ("model", *sites, "worst site", "gap"), rows))
    return "".join(tables)


def _spread(dice: dict[str, float]) -> tuple[str, str]:
    if len(dice) < 2:
        return markup.cell(None), markup.cell(None)
    worst = min(dice, key=lambda site: dice[site])
    return markup.cell(worst), markup.cell(max(dice.values()) - dice[worst])


def _distributions(runs: Sequence[Results]) -> str:
    return markup.charts(pictures.draw_distribution(run, "mean") for run in runs)


def _gallery_section(gallery: Sequence[GalleryItem], undrawn: Sequence[str]) -> str:
    figures = "".join(markup.picture(item.title, item.png, item.alt, item.said) for item in gallery)
    shown = f'<div class="charts">{figures}</div>' if figures else ""
    return markup.section("Pictures", *(markup.paragraph(why) for why in undrawn), shown)


def _weights(runs: Sequence[Results]) -> str:
    return markup.charts(pictures.draw_weights(run, quantity) for run in runs for quantity in ("weight", "factor"))


def _rounds(runs: Sequence[Results]) -> str:
    draws = (pictures.draw_participation, pictures.draw_seconds, pictures.draw_bytes)
    return markup.charts(draw(run) for run in runs for draw in draws)


def _refusals(runs: Sequence[Results]) -> str:
    keys = ("site", "reason", "message")
    rows = [
        (markup.row_head(run.name), markup.cell(_round(row)), *(markup.cell(row[key]) for key in keys))
        for run in runs
        for row in run.of_kind("refusal")
    ]
    if not rows:
        return ""
    return markup.table("Answers that were not counted", ("method", "round", "site", "reason", "why"), rows, "text")


def _round(row: Any) -> int | None:
    return None if row["round"] is None else row["round"] + 1
