"""Compare methods: tables over folds and seeds, of lines of `fedbrats sweep` or of results folders.

The first table has the validation patients of the hospitals that trained: Dice with its 95 % interval over patients
(and seeds, where there are several), the regions, lesion-wise and surface Dice, HD95, the worst hospital, the share of
the centralised Dice, and the difference to another method with its p, corrected for the number of methods (Holm).
The second has patients of hospitals that nobody trained on. What else differs between the runs (variables, budgets) and
that there is one seed only is said below. Below six patients there is no interval and no p: JSON has the values.

--json prints: own_patients, new_hospitals (a document a row each) and notes.

example:
  fedbrats compare experiments/results/runs.jsonl
  fedbrats compare mine/runs.jsonl --against fedavg --format latex --out table.tex
  fedbrats compare results/fedavg-* results/local_only-* --format csv
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedbrats.cli.arguments import run_path
from fedbrats.cli.output import print_json, print_line, print_table
from fedbrats.errors import ConfigurationError

FORMATS = ("table", "csv", "markdown", "latex")
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
NOT_IN_A_TERMINAL = ("WT", "TC", "ET")  # too wide
_LATEX_SIGNS = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {"\\": "\\textbackslash{}", "^": "\\textasciicircum{}", "~": "\\textasciitilde{}", "<": "$<$", ">": "$>$"}
)
Rows = Sequence[Mapping[str, Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("runs", nargs="+", type=run_path, metavar="RUNS", help="files of lines, or results folders")
    parser.add_argument(
        "--against", default="local_only", metavar="METHOD", help="differences are to this method (local_only)"
    )
    parser.add_argument("--splits", nargs="+", metavar="SPLIT", help="only these")
    parser.add_argument("--format", choices=FORMATS, default="table", help="of what is printed (default: table)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it there instead")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Read, compare, print."""
    from fedbrats.atomic import write_text_atomic
    from fedbrats.report.numbers.method_table import new_hospitals, own_patients, unlike_conditions

    records = [record for path in args.runs for record in _read(path)]
    if unknown := set(args.splits or ()) - (known := {record["split"] for record in records}):
        raise ConfigurationError(f"no run has the split {min(unknown)}; there are: {', '.join(sorted(known))}")
    records = [record for record in records if not args.splits or record["split"] in args.splits]
    if not records:
        raise ConfigurationError("there is no run to compare; give a file of lines of `fedbrats sweep`")
    own, new, notes = own_patients(records, args.against), new_hospitals(records), unlike_conditions(records)
    if len(own) > 1 and not any(row["against"] for row in own):
        notes.append(f"no differences: {args.against} is not among the methods, or was scored on other patients")
    if args.json:
        print_json({"own_patients": own, "new_hospitals": new, "notes": notes})
        return 0
    tables = [(OWN, own), (NEW, new)]
    if args.format == "table" and not args.out:
        for columns, rows in tables:
            shown = {key: name for key, name in columns.items() if key not in ("split", *NOT_IN_A_TERMINAL)}
            for split in dict.fromkeys(row["split"] for row in rows):
                cells = [_cells(row, shown) for row in rows if row["split"] == split]
                print_table(
                    list(shown.values()), cells, title=f"{split}: {'new' if columns is NEW else 'own'} patients"
                )
        for note in notes:
            print_line(note)
        return 0
    text = _write(tables, notes, "markdown" if args.format == "table" else args.format)
    if args.out:
        write_text_atomic(args.out, text)
    else:
        sys.stdout.write(text)
    return 0


def _read(path: Path) -> list[dict[str, Any]]:
    """The lines of a file, or one of a results folder."""
    from fedbrats.report.numbers.records import RUNS_FILE, read_records, record_of_folder

    if path.is_dir() and (path / RUNS_FILE).is_file():
        path = path / RUNS_FILE
    return read_records(path) if path.is_file() else [record_of_folder(path)]


def _cells(row: Mapping[str, Any], columns: Mapping[str, str]) -> list[Any]:
    interval = None if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"
    shown = {**row, "interval": interval}
    if isinstance(row.get("p"), float):
        shown["p"] = "< 0.001" if row["p"] < 0.001 else f"{row['p']:.3f}"
    if isinstance(row.get("difference"), float):
        ends = f"{row['difference_low']:+.3f} to {row['difference_high']:+.3f}"
        shown["difference"] = f"{row['difference']:+.3f} ({ends})"
    return [shown[key] for key in columns]


def _write(tables: Sequence[tuple[Mapping[str, str], Rows]], notes: Sequence[str], form: str) -> str:
    from fedbrats.report.markdown import markdown_table

    if form == "csv":
        return "\n".join(_csv(rows) for _, rows in tables if rows)
    parts = []
    for columns, rows in tables:
        if not rows:
            continue
        cells = [_cells(row, columns) for row in rows]
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
