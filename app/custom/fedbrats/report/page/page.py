"""The report: one HTML page without a script or a link to anything outside, light or dark as its reader likes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fedbrats import __version__
from fedbrats.report.numbers.answers import in_order
from fedbrats.report.numbers.folds import pool_folds
from fedbrats.report.numbers.results import Results
from fedbrats.report.numbers.roles import with_plain_names
from fedbrats.report.page import pictures
from fedbrats.report.page.answers import answers_section
from fedbrats.report.page.blocks import Block, Paragraph, Pictures, Section, Table, charts, fold, heat, render
from fedbrats.report.page.findings import findings
from fedbrats.report.page.gallery import GalleryItem
from fedbrats.report.page.privacy import privacy
from fedbrats.report.page.provenance import provenance
from fedbrats.report.page.results_table import results_section
from fedbrats.report.page.words import WORDS, explain
from fedbrats.rows import describe_model, summarise_evaluation

NOTICE = "Research software, not a medical device. Nothing here may guide the care of a patient."
LIVE_SECONDS = 5
_TWO_GRIDS = (
    "Click on a picture to enlarge it. The Dice inside it is on the grid of the scan, that above it on the grid of the "
    "training."
)


def write_page(
    runs: Sequence[Results],
    title: str,
    *,
    gallery: Sequence[GalleryItem] = (),
    undrawn: Sequence[str] = (),
    is_live: bool = False,
) -> str:
    """The whole page as HTML. undrawn: why there are no pictures of a run. is_live: the browser loads it anew."""
    methods = with_plain_names(pool_folds(runs))
    sections = (
        answers_section(methods),
        results_section(methods, runs),
        Section("Cross-site evaluation", _cross_site(runs)),
        Section("Pictures", _pictures(gallery, undrawn)),
        Section("Charts", _charts(methods)),
        Section("Behind the numbers", _behind(methods, runs)),
    )
    return render(
        sections,
        title=title,
        overview=_overview(runs),
        notice=NOTICE,
        refresh_s=LIVE_SECONDS if is_live else None,
        version=__version__,
        written=time.strftime("%Y-%m-%d %H:%M"),
    )


def _overview(runs: Sequence[Results]) -> str:
    sites = {site for run in runs for site in run.sites}
    running = [run.name for run in runs if run.is_running]
    text = f"{len(runs)} run{'s' * (len(runs) != 1)}, {len(sites)} site{'s' * (len(sites) != 1)}."
    return f"{text} Still running: {', '.join(running)}." if running else text


def _charts(methods: Sequence[Results]) -> Sequence[Block]:
    """The two that matter: how the methods learned, and what the first method came to in each case."""
    curves = pictures.draw_learning_curves(methods)
    best = next(iter(in_order(methods)), None)
    cases = pictures.draw_distribution(best) if best else None
    return charts(
        (curves, cases), "Dice: 1 is perfect, 0 is nothing. Round: all sites train, the server makes one model."
    )


def _behind(methods: Sequence[Results], runs: Sequence[Results]) -> Sequence[Block]:
    """What is looked at when a number is doubted, each part closed."""
    best = next(iter(in_order(methods)), None)
    curves = charts(pictures.draw_site_curves(run) for run in runs)
    others = charts(pictures.draw_distribution(method) for method in methods if method is not best)
    refused = _refusals(runs)
    counted = sum(len(table.rows) for table in refused)
    return [
        *fold("Learning curve of each site", curves),
        *fold("Dice of each case, other methods", others),
        *fold("Dice of each method at each site, the worst site and the gap", _sites(methods)),
        *fold("Weights and factors of the sites", _weights(runs)),
        *fold("Rounds: who took part, how long, how many bytes", _rounds(runs)),
        *fold(f"Answers that were not counted: {counted}", refused),
        *fold("What the check found in the cases", findings(runs)),
        *fold("Privacy", privacy(runs)),
        *fold("How this came about: versions, settings, checksums", provenance(runs)),
        *fold("Words", [Table("", ("word", "meaning"), [(word, (said,)) for word, said in WORDS.items()], "text")]),
    ]


def _sites(runs: Sequence[Results]) -> Sequence[Block]:
    """Each method's final model at each site."""
    dice = {run.name: run.final_dice("mean") for run in runs if run.is_training}
    sites = sorted({site for found in dice.values() for site in found})
    if not sites:
        return ()
    caption = "Mean Dice of each method's final model at each site; a dash where a site keeps its numbers to itself"
    return [_dice_by_site(caption, "method", sites, dice.items())]


def _cross_site(runs: Sequence[Results]) -> Sequence[Block]:
    """The matrices of the job `evaluate`, as heat maps of models by sites."""
    tables = []
    for run in runs:
        if not (matrix := summarise_evaluation(run.rows)):
            continue
        sites = sorted({site for entry in matrix for site in entry["sites"]})
        rows = (
            (
                describe_model(entry),
                {site: found["dice"]["mean"] for site, found in entry["sites"].items() if found["dice"]},
            )
            for entry in matrix
        )
        caption = f"{run.name}: mean Dice of each model at each site; a dash where a site said nothing"
        tables.append(_dice_by_site(caption, "model", sites, rows))
    return tables


def _dice_by_site(
    caption: str, what: str, sites: Sequence[str], rows: Iterable[tuple[str, Mapping[str, float]]]
) -> Table:
    """A heat map of (name, Dice by site), with the worst site and the gap of each row."""
    cells = [(name, [*(heat(dice.get(site)) for site in sites), *_spread(dice)]) for name, dice in rows]
    return Table(caption, (what, *sites, "worst site", "gap"), cells)


def _spread(dice: Mapping[str, float]) -> tuple[str | None, float | None]:
    if len(dice) < 2:
        return None, None
    return min(dice, key=lambda site: dice[site]), max(dice.values()) - min(dice.values())


def _pictures(gallery: Sequence[GalleryItem], undrawn: Sequence[str]) -> Sequence[Block]:
    if gallery:
        return [*(Paragraph(why) for why in undrawn), Paragraph(_TWO_GRIDS, "soft"), Pictures(gallery)]
    return [Paragraph(why) for why in undrawn]


def _weights(runs: Sequence[Results]) -> Sequence[Block]:
    found = (pictures.draw_weights(run, quantity) for run in runs for quantity in ("weight", "factor"))
    return charts(found, explain("weight", "factor"))


def _rounds(runs: Sequence[Results]) -> Sequence[Block]:
    draws = (pictures.draw_participation, pictures.draw_seconds, pictures.draw_bytes)
    return charts((draw(run) for run in runs for draw in draws), explain("round", "site"))


def _refusals(runs: Sequence[Results]) -> Sequence[Table]:
    rows = [
        (run.name, (_round(row), row["site"], row["reason"], row["message"]))
        for run in runs
        for row in run.of_kind("refusal")
    ]
    columns = ("method", "round", "site", "reason", "why")
    return [Table(f"Answers that a gate kept out; {explain('gate')}", columns, rows, "text")] if rows else ()


def _round(row: Mapping[str, Any]) -> int | None:
    return None if row["round"] is None else row["round"] + 1
