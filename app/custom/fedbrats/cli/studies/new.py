"""Write a package of your own with a test that passes: a method, a network, a loss, or a hook at the sites.

NAME is the package's name as Python imports it. The folder holds the package, its test and a job; change the code where
you like, and look at docs/guide/own-method.md for what else it may do.

example:
  fedbrats new method momentum
  pip install pytest --editable momentum && python -m pytest momentum/tests
  fedbrats simulate momentum/job --data sites
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedbrats.cli.output import print_json, print_line

KINDS = ("method", "network", "loss", "hook")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("kind", choices=KINDS, help="what the package is to hold")
    parser.add_argument("name", metavar="NAME", help="lower letters, digits and _, as Python imports it")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="parent folder (default: this one)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Write the package and say what comes next."""
    from fedbrats.extensions.template import write_package

    folder = write_package(args.kind, args.name, args.out)
    if args.json:
        print_json({"folder": str(folder)})
        return 0
    print_line(f"wrote {folder}; next:")
    print_line(f"  pip install pytest --editable {folder} && python -m pytest {folder}/tests")
    print_line(f"  fedbrats job list {folder}/job")
    print_line(f"  fedbrats simulate {folder}/job --data sites")
    return 0
