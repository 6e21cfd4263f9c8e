"""The charts of the report, each from the rows of one run or of all; None where its rows are not there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from fedbrats.report.numbers.results import Results
from fedbrats.report.page.charts import (
    INK,
    SERIES,
    Canvas,
    Chart,
    series_style,
)
from fedbrats.rows import learning_curve

Curve = Mapping[int, float]


def draw_learning_curves(runs: Sequence[Results]) -> Chart | None:
    """Mean Dice of the model that each round began with, one line a run."""
    curves = {run.name: learning_curve(run.rows) for run in runs}
    return _draw_curves(curves, "Learning curves", "validation Dice")


def draw_site_curves(run: Results) -> Chart | None:
    """The same for every site of one run."""
    curves: dict[str, dict[int, float]] = defaultdict(dict)
    for row in run.of_kind("metrics"):
        if row["stage"] == "received" and row["region"] == "mean" and row["dice"] is not None:
            curves[row["site"]][row["round"]] = row["dice"]
    return _draw_curves(dict(sorted(curves.items())), f"{run.name}: learning curve of each site", "validation Dice")


def draw_distribution(run: Results) -> Chart | None:
    """Every case's mean Dice over the regions by site, over quartile boxes."""
    sites = {site: [_mean_dice(row) for row in rows] for site, rows in run.cases.items() if rows}
    if not sites:
        return None
    canvas = Canvas()
    axes = canvas.axes
    lines = {"color": INK, "linewidth": 1}
    axes.boxplot(
        list(sites.values()), widths=0.5, showfliers=False, boxprops=lines, whiskerprops=lines, capprops=lines,
        medianprops={**lines, "linewidth": 2.2},
    )  # fmt: skip
    rng = np.random.default_rng(0)
    for number, values in enumerate(sites.values()):
        places = number + 1 + rng.uniform(-0.15, 0.15, len(values))
        axes.scatter(places, values, s=16, alpha=0.8, **series_style(number))
    axes.set_xticks(range(1, len(sites) + 1), [f"{site}\nn={len(values)}" for site, values in sites.items()])
    axes.set(ylim=(-0.03, 1.03), ylabel="Dice, mean over regions")
    medians = ", ".join(f"{site} {np.median(values):.2f} of {len(values)}" for site, values in sites.items())
    title = f"{run.name}: Dice of each case, mean over regions"
    return canvas.finish(title, f"{title}. Median by site: {medians} cases.")


def draw_weights(run: Results, quantity: str) -> Chart | None:
    """The weight, or the factor, of every site over the rounds."""
    curves: dict[str, dict[int, float]] = defaultdict(dict)
    for row in run.of_kind("weight"):
        if row.get(quantity) is not None:
            curves[row["site"]][row["round"]] = row[quantity]
    return _draw_curves(dict(sorted(curves.items())), f"{run.name}: {quantity} of each site", quantity)


def draw_participation(run: Results) -> Chart | None:
    """Who took part in which round: counted, refused or silent."""
    states: dict[str, list[tuple[int, str]]] = {"counted": [], "refused": [], "silent": []}
    for row in run.of_kind("site"):
        states["counted" if row.get("accepted", True) else "refused"].append((row["round"], row["site"]))
    for row in run.of_kind("round"):
        states["silent"] += [(row["round"], site) for site in row.get("silent", ())]
    marks = [mark for found in states.values() for mark in found]
    if not marks:
        return None
    sites = sorted({site for _, site in marks}, reverse=True)
    canvas = Canvas(1.2 + 0.28 * len(sites))
    styles = {"counted": ("o", SERIES[2]), "refused": ("X", SERIES[6]), "silent": ("_", INK)}
    shown = {state: found for state, found in states.items() if found}
    for state, found in shown.items():
        marker, colour = styles[state]
        rounds = [number + 1 for number, _ in found]
        canvas.axes.scatter(rounds, [sites.index(s) for _, s in found], marker=marker, color=colour, label=state, s=34)
    canvas.axes.set_yticks(range(len(sites)), sites)
    canvas.axes.set(xlabel="round", ylim=(-0.6, len(sites) - 0.4))
    canvas.axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    counts = ", ".join(f"{len(found)} {state}" for state, found in states.items())
    title = f"{run.name}: who took part"
    return canvas.finish(title, f"{title}. Over {len(sites)} sites and all rounds: {counts}.", legend_entries=2)


def draw_seconds(run: Results) -> Chart | None:
    """What the rounds took: the longest that any site spent on each part, and the round from end to end."""
    parts = longest_parts(run)
    totals = {row["round"]: _total(row["seconds"]) for row in run.of_kind("round")}
    if not totals:
        return None
    canvas = Canvas()
    rounds = sorted(totals)
    bottom = np.zeros(len(rounds))
    for number, (part, by_round) in enumerate(sorted(parts.items())):
        heights = np.array([by_round.get(r, 0.0) for r in rounds])
        canvas.axes.bar([r + 1 for r in rounds], heights, bottom=bottom, label=part, color=SERIES[number], width=0.7)
        bottom += heights
    canvas.axes.plot([r + 1 for r in rounds], [totals[r] for r in rounds], color=INK, marker="o", label="whole round")
    canvas.axes.set(xlabel="round", ylabel="seconds")
    canvas.axes.set_ylim(0, 1.08 * max(*totals.values(), *bottom))
    canvas.axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    title = f"{run.name}: seconds of each round"
    median, whole = np.median(list(totals.values())), sum(totals.values())
    alt = f"{title}. A round takes {median:.1f} s in the median, all of them {whole:.0f} s."
    return canvas.finish(title, alt, legend_entries=len(parts) + 1)


def longest_parts(run: Results) -> dict[str, dict[int, float]]:
    """`{part: {round: seconds}}`, the most that any site spent.

    A site's seconds of training hold those of waiting for batches; here they are without these, so that parts add up.
    """
    parts: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for row in run.of_kind("site"):
        own = dict(row.get("seconds") or {})
        if "training" in own:
            own["training"] = max(0.0, own["training"] - own.get("waiting", 0.0))
        for part, seconds in own.items():
            parts[part][row["round"]] = max(parts[part][row["round"]], seconds)
    return parts


def draw_bytes(run: Results) -> Chart | None:
    """What the rounds moved: the models sent to the sites, and their answers, over all sites; arrays only."""
    moved: dict[str, dict[int, float]] = {"down": defaultdict(float), "up": defaultdict(float)}
    for row in run.of_kind("site"):
        for way, count in (row.get("bytes") or {}).items():
            moved[way][row["round"]] += count / 1e6
    if not any(moved.values()):
        return None
    canvas = Canvas()
    words = {"down": "models to sites", "up": "answers of sites"}
    bottom = np.zeros(len(moved["down"]))
    for number, (way, by_round) in enumerate(moved.items()):
        heights = np.array(list(by_round.values()))
        rounds = [r + 1 for r in by_round]
        canvas.axes.bar(rounds, heights, bottom=bottom, label=words[way], color=SERIES[number], width=0.7)
        bottom += heights
    canvas.axes.set(xlabel="round", ylabel="MB, all sites")
    canvas.axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    title = f"{run.name}: bytes of each round"
    totals = {way: sum(by_round.values()) for way, by_round in moved.items()}
    alt = f"{title}. In all {totals['down']:.1f} MB of models went to the sites and {totals['up']:.1f} MB came back."
    return canvas.finish(title, alt, legend_entries=2)


def _draw_curves(curves: Mapping[str, Curve], title: str, label: str) -> Chart | None:
    curves = {name: curve for name, curve in curves.items() if curve}
    if not curves:
        return None
    canvas = Canvas()
    for number, (name, curve) in enumerate(curves.items()):
        rounds = [r + 1 for r in curve]
        canvas.axes.plot(rounds, list(curve.values()), label=name, **series_style(number))
    canvas.axes.set(xlabel="round", ylabel=label)
    canvas.axes.set_ylim(bottom=0)
    canvas.axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    values = {name: list(curve.values()) for name, curve in curves.items()}
    ends = ", ".join(f"{name} from {own[0]:.2f} to {own[-1]:.2f}" for name, own in values.items())
    return canvas.finish(title, f"{title}, over rounds: {ends}.", legend_entries=len(curves))


def _mean_dice(row: Mapping[str, Mapping[str, float]]) -> float:
    return float(np.mean(list(row["dice"].values())))


def _total(seconds: float | Mapping[str, float]) -> float:
    """A federated round says its seconds, one of `fedbrats train` says them by part."""
    return float(seconds["total"] if isinstance(seconds, Mapping) else seconds)
