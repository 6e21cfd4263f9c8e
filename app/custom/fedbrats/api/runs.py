"""A run that has ended, and several of one method: scores, curves, tables and figures."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.api.html import html_table
from fedbrats.data.check.problems import FINDINGS, Problem

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEAN = "mean"
COLUMNS = ("cases", "Dice", "WT", "TC", "ET")


@dataclass(frozen=True)
class SiteScore:
    """The final model at the validation cases of one site.

    Attributes:
        cases: How many; None where the site did not say it.
        dice: Region (WT, TC, ET, mean) -> Dice from 0 to 1; None where the site said nothing.
        iou: The same of the intersection over the union.
    """

    cases: int | None
    dice: Mapping[str, float] | None
    iou: Mapping[str, float] | None


@dataclass(frozen=True)
class Run:
    """A run that has ended.

    Attributes:
        folder: Its results folder.
        job: The name of the run.
        seed: Of its training; None where it is not known.
        rounds: How many were done.
        cases: Validation cases of all sites.
        dice: Region (WT, TC, ET, mean) -> mean Dice of the final model over those cases; None where nobody said one.
        iou: The same of the intersection over the union.
        per_site: Site -> its scores.
        findings: What `split` found of the cases.
        seconds: How long it took.
        summary: All of it, as in summary.json.
    """

    folder: Path
    job: str
    seed: int | None
    rounds: int
    cases: int
    dice: Mapping[str, float] | None
    iou: Mapping[str, float] | None
    per_site: Mapping[str, SiteScore]
    findings: tuple[Problem, ...]
    seconds: float
    summary: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, summary: dict[str, Any]) -> Run:
        """The run of a summary document."""
        sites = summary["per_site"].items()
        return cls(
            Path(summary["results"]),
            summary["job"],
            summary.get("variables", {}).get("seed"),
            summary["rounds"],
            summary["cases"],
            summary["dice"],
            summary["iou"],
            {name: SiteScore(site["cases"], site["dice"], site["iou"]) for name, site in sites},
            tuple(Problem(**finding) for finding in summary.get(FINDINGS, ())),
            summary["seconds"],
            summary,
        )

    def curve(self) -> dict[int, float]:
        """Round, from 1 -> mean validation Dice of the model that the round began with (of `train`: ended with)."""
        from fedbrats.rows import learning_curve

        stage = "trained" if self.job == "train" else "received"
        return {number + 1: dice for number, dice in learning_curve(self._rows(), stage=stage).items()}

    def weights(self) -> dict[str, dict[int, float]]:
        """Site -> round, from 1 -> the share that the site's update had; empty where nothing is weighed."""
        found: dict[str, dict[int, float]] = {}
        for row in self._rows():
            if row["kind"] == "weight" and row.get("weight") is not None:
                found.setdefault(row["site"], {})[row["round"] + 1] = row["weight"]
        return found

    def figure(self) -> Figure:
        """The learning curve. Raises: ConfigurationError where matplotlib is not installed."""
        return draw_curves({self.job: [self]})

    def _rows(self) -> Sequence[Mapping[str, Any]]:
        from fedbrats.rows import ROWS_FILE, read_rows

        return read_rows(self.folder / ROWS_FILE)

    def _repr_html_(self) -> str:
        rows = [("all", self.cases, *_cells(self.dice))]
        rows += [(name, site.cases, *_cells(site.dice)) for name, site in self.per_site.items()]
        return html_table(("site", *COLUMNS), rows, f"{self.job}: the final model, by validation")


@dataclass(frozen=True)
class Study:
    """Runs of one method that differ by their seed.

    Attributes:
        method: The name of the runs.
        runs: One a seed, in the order in which they were asked for.
    """

    method: str
    runs: tuple[Run, ...]

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def dice(self, region: str = MEAN) -> list[float]:
        """Dice of the final model of each run that has one."""
        return [run.dice[region] for run in self.runs if run.dice]

    def mean_dice(self, region: str = MEAN) -> float | None:
        """The mean of `dice` over seeds; None without any."""
        return statistics.fmean(found) if (found := self.dice(region)) else None

    def figure(self) -> Figure:
        """The learning curve of each seed. Raises: ConfigurationError where matplotlib is not installed."""
        return draw_curves({self.method: self.runs})

    def _repr_html_(self) -> str:
        rows = [(run.seed, run.cases, *_cells(run.dice)) for run in self.runs]
        return html_table(("seed", *COLUMNS), rows, f"{self.method}: the final model, by validation")


def draw_curves(methods: Mapping[str, Sequence[Run]]) -> Figure:
    """Learning curves of runs, a colour a method. Raises: ConfigurationError where matplotlib is not installed."""
    from fedbrats.api.pictures import require_matplotlib

    require_matplotlib("a figure")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    for number, (method, runs) in enumerate(methods.items()):
        for place, run in enumerate(runs):
            if curve := run.curve():
                label = method if place == 0 else None
                axes.plot([*curve], [*curve.values()], marker="o", color=f"C{number}", label=label)
    axes.set(xlabel="round", ylabel="validation Dice", ylim=(0, 1))
    if axes.get_lines():
        axes.legend(frameon=False)
    return figure


def _cells(dice: Mapping[str, float] | None) -> tuple[float | None, ...]:
    return tuple((dice or {}).get(region) for region in (MEAN, "WT", "TC", "ET"))
