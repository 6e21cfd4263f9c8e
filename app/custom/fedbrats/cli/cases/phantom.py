"""Make a synthetic federation: sites of phantom brains with tumours, ready to train on.

Each site has its own scanner (gain, contrast, noise, bias field, resolution) and its own kind of tumours (size, place,
oedema, enhancement), so that a model that was trained at one site is worse at the others. Files, folders and datalists
are those of `fedbrats split` on BraTS data; labels follow BraTS 2018 (ET = 4). The same arguments make the same bytes.

--json prints: out and sites (name -> cases, patients, training, validation, test).

example: fedbrats phantom build/sites --sites 5 --cases 8 --unequal
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedbrats.api import cases as api
from fedbrats.cli.arguments import number, whole_number
from fedbrats.cli.output import print_json, print_line, print_table
from fedbrats.cli.progress import steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `fedbrats phantom`."""
    parser.add_argument("out", type=Path, metavar="DIR", help="the sites folder to make")
    parser.add_argument("--sites", type=int, default=5, metavar="N", help="number of sites (default: 5)")
    parser.add_argument("--cases", type=int, default=8, metavar="M", help="cases at each site (default: 8)")
    parser.add_argument(
        "--unequal", action="store_true", help="M is the mean; each site has 0.6 times the cases of the one before"
    )
    parser.add_argument("--seed", type=whole_number(0), default=0, help="seed of all random choices (default: 0)")
    parser.add_argument("--spacing-mm", type=number, default=3.0, help="voxel size, 0.5 to 6 mm (default: 3)")
    parser.add_argument("--noise", type=number, default=1.0, help="factor on the noise of each scanner (default: 1)")
    parser.add_argument("--validation-share", type=number, default=0.2, help="part of each site's cases (default: 0.2)")
    parser.add_argument("--force", action="store_true", help="replace an existing sites folder")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")


def run(args: argparse.Namespace) -> int:
    """Write the cohort and print its sites."""
    with steps() as progress:
        made = api.phantom(
            args.out,
            sites=args.sites,
            cases=args.cases,
            unequal=args.unequal,
            seed=args.seed,
            spacing_mm=args.spacing_mm,
            noise=args.noise,
            validation_share=args.validation_share,
            force=args.force,
            progress=progress,
        )
    if args.json:
        print_json({"out": str(args.out), "sites": made.sites})
    else:
        print_table(
            ("site", "cases", "training", "validation"),
            [(site, n["cases"], n["training"], n["validation"]) for site, n in made.sites.items()],
        )
        print_line(f"wrote {args.out}")
    return 0
