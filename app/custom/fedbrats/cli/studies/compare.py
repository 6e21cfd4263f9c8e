"""Compare methods: tables over folds and seeds, of lines of `fedbrats sweep` or of results folders.

The first table has the validation patients of the hospitals that trained: Dice with its 95 % interval over patients
(and seeds, where there are several), the regions, lesion-wise and surface Dice, HD95, the worst hospital, the share of
the centralised Dice, and the difference to another method with its p, corrected for the number of methods (Holm). The
second has patients of hospitals that nobody trained on. Notes below the tables say what else differs between the runs
(variables, budgets), and whether there is one seed only. Below six patients there is no interval and no p: JSON has the
values.

--json prints: own_patients, new_hospitals (one document for each row) and notes.

example:
  fedbrats compare experiments/results/from-phantoms/runs.jsonl
  fedbrats compare mine/runs.jsonl --against fedavg --format latex --out table.tex
  fedbrats compare results/fedavg-* results/local_only-* --format csv
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fedbrats.api.comparison import NEW, OWN, cells_of, compare
from fedbrats.cli.arguments import run_path
from fedbrats.cli.output import print_json, print_line, print_table

FORMATS = ("table", "csv", "markdown", "latex")
NOT_IN_A_TERMINAL = ("WT", "TC", "ET")  # too wide


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

    found = compare(args.runs, against=args.against, splits=args.splits or ())
    own, new, notes = found.own_patients, found.new_hospitals, found.notes
    if args.json:
        print_json({"own_patients": own, "new_hospitals": new, "notes": notes})
        return 0
    if args.format == "table" and not args.out:
        for columns, rows in ((OWN, own), (NEW, new)):
            shown = {key: name for key, name in columns.items() if key not in ("split", *NOT_IN_A_TERMINAL)}
            for split in dict.fromkeys(row["split"] for row in rows):
                cells = [cells_of(row, shown) for row in rows if row["split"] == split]
                print_table(
                    list(shown.values()), cells, title=f"{split}: {'new' if columns is NEW else 'own'} patients"
                )
        for note in notes:
            print_line(note)
        return 0
    text = found.write("markdown" if args.format == "table" else args.format)
    if args.out:
        write_text_atomic(args.out, text)
    else:
        sys.stdout.write(text)
    return 0
