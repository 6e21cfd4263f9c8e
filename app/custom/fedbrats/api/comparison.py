"""Compare methods: tables over folds and seeds, of lines of `fedbrats sweep` or of results folders."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.api.html import html_table
from fedbrats.api.runs import Run, Study, draw_curves
from fedbrats.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OWN = {
    "split": "split",
    "method": "method",
    "patients": "patients",
    "dice": "Dice",
    "interval": "95 %",
    "WT": "WT",
    "TC": "TC",
    "ET": "ET",
    "lesion_dice": "lesion-wise",
    "surface_dice_2mm": "surface 2 mm",
    "hd95_mm_median": "HD95 mm",
    "worst_dice": "worst site",
    "of_centralised": "of centralised",
    "difference": "difference",
    "p": "p",
}
NEW = {
    "split": "split",
    "where": "where",
    "model": "model",
    "runs": "runs",
    "patients": "patients",
    "dice": "Dice",
    "interval": "95 %",
}
_LATEX_SIGNS = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {"\\": "\\textbackslash{}", "^": "\\textasciicircum{}", "~": "\\textasciitilde{}", "<": "$<$", ">": "$>$"}
)
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Comparison:
    """Methods side by side.

    Attributes:
        own_patients: A row a method, on validation patients of the hospitals that trained: split, method, patients,
            dice with low and high, the regions, difference with p, and so on.
        new_hospitals: The same on patients of hospitals that nobody trained on.
        notes: What else differs between the runs.
        runs: The runs that were given as such.
    """

    own_patients: list[dict[str, Any]]
    new_hospitals: list[dict[str, Any]]
    notes: list[str]
    runs: tuple[Run, ...] = ()

    def write(self, form: str = "markdown") -> str:
        """The tables as `markdown`, `latex` or `csv`. Raises: ConfigurationError for another form."""
        if form not in ("markdown", "latex", "csv"):
            raise ConfigurationError(f"tables are written as markdown, latex or csv, not {form!r:.20}")
        return write_tables([(OWN, self.own_patients), (NEW, self.new_hospitals)], self.notes, form)

    def figure(self) -> Figure:
        """Learning curves of the runs, a colour a method. Raises: ConfigurationError without runs or matplotlib."""
        if not self.runs:
            raise ConfigurationError("there are no learning curves of lines; compare runs")
        methods: dict[str, list[Run]] = {}
        for run in self.runs:
            methods.setdefault(run.job, []).append(run)
        return draw_curves(methods)

    def _repr_html_(self) -> str:
        tables = ((OWN, self.own_patients, "own patients"), (NEW, self.new_hospitals, "new patients"))
        parts = [
            html_table([*columns.values()], [cells_of(row, columns) for row in rows], caption)
            for columns, rows, caption in tables
            if rows
        ]
        return "".join(parts) + html_table(("notes",), [(note,) for note in self.notes]) * bool(self.notes)


def compare(
    runs: Iterable[str | Path | Run | Study], *, against: str = "local_only", splits: Sequence[str] = ()
) -> Comparison:
    """Compare methods, with intervals over patients (and seeds), and p values that are corrected for their number.

    Args:
        runs: Results of `train` or `federate`, results folders, or files of lines of `fedbrats sweep`.
        against: The method that differences are to.
        splits: Only these; empty takes all.

    Raises: DataError for what holds no scores; ConfigurationError where nothing is left to compare.

    >>> compare(["trained"]).own_patients[0]["method"]
    'centralised'
    """
    from fedbrats.report.numbers.method_table import new_hospitals, own_patients, unlike_conditions

    given = [each for item in runs for each in (item.runs if isinstance(item, Study) else (item,))]
    known = tuple(each for each in given if isinstance(each, Run))
    records = [record for each in given for record in _read(each.folder if isinstance(each, Run) else Path(each))]
    if unknown := set(splits) - (there := {record["split"] for record in records}):
        raise ConfigurationError(f"no run has the split {min(unknown)}; there are: {', '.join(sorted(there))}")
    records = [record for record in records if not splits or record["split"] in splits]
    if not records:
        raise ConfigurationError("there is no run to compare; give a file of lines of `fedbrats sweep`")
    own, new, notes = own_patients(records, against), new_hospitals(records), unlike_conditions(records)
    if len(own) > 1 and not any(row["against"] for row in own):
        notes.append(f"no differences: {against} is not among the methods, or was scored on other patients")
    return Comparison([dict(row) for row in own], [dict(row) for row in new], notes, known)


def _read(path: Path) -> list[dict[str, Any]]:
    """The lines of a file, or one of a results folder."""
    from fedbrats.report.numbers.records import RUNS_FILE, read_records, record_of_folder

    if path.is_dir() and (path / RUNS_FILE).is_file():
        path = path / RUNS_FILE
    return read_records(path) if path.is_file() else [record_of_folder(path)]


def cells_of(row: Mapping[str, Any], columns: Mapping[str, str]) -> list[Any]:
    """The cells of a row of a table, as people read them."""
    interval = None if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"
    shown = {**row, "interval": interval}
    if isinstance(row.get("p"), float):
        shown["p"] = "< 0.001" if row["p"] < 0.001 else f"{row['p']:.3f}"
    if isinstance(row.get("difference"), float):
        ends = f"{row['difference_low']:+.3f} to {row['difference_high']:+.3f}"
        shown["difference"] = f"{row['difference']:+.3f} ({ends})"
    return [shown[key] for key in columns]


def write_tables(tables: Sequence[tuple[Mapping[str, str], Rows]], notes: Sequence[str], form: str) -> str:
    """Tables as CSV, Markdown or LaTeX, with notes below."""
    from fedbrats.report.markdown import markdown_table

    if form == "csv":
        return "\n".join(_csv(rows) for _, rows in tables if rows)
    parts = []
    for columns, rows in tables:
        if not rows:
            continue
        cells = [cells_of(row, columns) for row in rows]
        named = list(columns.values())
        parts.append(_latex(named, cells) if form == "latex" else markdown_table(named, cells, ".3f"))
    mark = "% " if form == "latex" else "- "
    return "\n".join(parts) + ("\n" if notes else "") + "".join(f"{mark}{note}\n" for note in notes)


def _csv(rows: Rows) -> str:
    """Every number of every row, unrounded; tables within a row are left to JSON."""
    text = io.StringIO()
    names = [name for name, value in rows[0].items() if not isinstance(value, dict | list) and name != "values"]
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _latex(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    def cell(value: Any) -> str:
        text = "--" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
        return text.translate(_LATEX_SIGNS)

    lines = [" & ".join(cell(value) for value in row) + " \\\\" for row in [columns, *rows]]
    begin = f"\\begin{{tabular}}{{{'l' * 2}{'r' * (len(columns) - 2)}}}\n\\toprule\n"
    return begin + lines[0] + "\n\\midrule\n" + "\n".join(lines[1:]) + "\n\\bottomrule\n\\end{tabular}\n"
