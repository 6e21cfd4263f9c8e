"""Write a kit's `local/fedbrats.json`: where this site's data is, and how it may be used.

`fedbrats provision` writes the file. This command is for kits that were made in another way, for example by
`nvflare poc prepare`, and for a hospital that moves its data. A setting that is not given keeps its value.

example:
  fedbrats site poc/example_project/prod_00/site-1 --data sites/site-1
  fedbrats site hospital-north --revoked revoked.crl    # from the project admin; the server's kit takes it too
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedbrats.cli.arguments import number
from fedbrats.cli.output import print_line

NEW_KIT = {"cache_dir": "cache", "personal_dir": "personal", "device": "auto"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from fedbrats.site.site_file import LEAST_CASES

    parser.add_argument("kit", type=Path, help="the site's startup kit (the folder that holds startup/ and local/)")
    parser.add_argument(
        "--revoked",
        type=Path,
        metavar="FILE",
        help="take over the list of revoked certificates that `fedbrats provision revoke` wrote; from then on a job "
        "that one of them signed is refused",
    )
    parser.add_argument("--data", type=Path, help="the site's folder with its datalist.json; a new kit needs it")
    parser.add_argument("--cache", type=Path, help="folder of prepared cases (default for a new kit: cache in the kit)")
    parser.add_argument(
        "--personal", type=Path, help="folder of personal weights (default for a new kit: personal in the kit)"
    )
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N (default for a new kit: auto)")
    parser.add_argument(
        "--threads", type=int, help="CPU threads of training (default for a new kit: PyTorch's own choice)"
    )
    parser.add_argument(
        "--round-validation-cases",
        type=int,
        help="number of validation cases that score a model in each round (default for a new kit: all)",
    )
    parser.add_argument(
        "--min-cases", type=int, help=f"send no metric of fewer cases (default for a new kit: {LEAST_CASES})"
    )
    parser.add_argument(
        "--privacy-budget",
        nargs=2,
        type=number,
        metavar=("EPSILON", "DELTA"),
        help="the most that differential privacy may cost a patient in all jobs; jobs without it are then refused "
        "(default for a new kit: no limit)",
    )
    parser.add_argument(
        "--require-pads",
        action=argparse.BooleanOptionalAction,
        help="demand that a job covers this site's updates (secure=pads); another one is refused (default for a new "
        "kit: not demanded)",
    )


def run(args: argparse.Namespace) -> int:
    """Check the facts as a job would, then write them; or take over a list of revoked certificates."""
    return _take_over(args.kit, args.revoked) if args.revoked else _write(args)


def _take_over(folder: Path, source: Path) -> int:
    from fedbrats.admin.kits import open_kit
    from fedbrats.revoked import accept_list, number_of

    kit = open_kit(folder)
    listed = accept_list(source, kit.local_dir, kit.root)
    print_line(f"{kit.name}: {len(list(listed))} certificates are revoked, list number {number_of(listed)}")
    return 0


def _write(args: argparse.Namespace) -> int:
    from fedbrats.data.cases.datalist import read_datalist
    from fedbrats.errors import ConfigurationError
    from fedbrats.site.site_file import (
        LEAST_CASES,
        SITE_FILE,
        parse_site_facts,
        read_site_document,
        write_site_facts,
    )

    local_dir = args.kit / "local"
    if not (args.kit / "startup" / "fed_client.json").is_file():
        raise ConfigurationError(f"{args.kit} is not the startup kit of a site: it has no startup/fed_client.json")
    known = read_site_document(local_dir, args.kit.name)
    if known is not None and not isinstance(known, dict):
        raise ConfigurationError(
            f"{local_dir / SITE_FILE} is not a JSON object; move it away and give all settings again"
        )
    facts = {**NEW_KIT, "min_cases": LEAST_CASES, **(known or {})}
    folders = {"data_dir": args.data, "cache_dir": args.cache, "personal_dir": args.personal}
    facts |= {name: str(folder.expanduser().resolve()) for name, folder in folders.items() if folder}
    if args.privacy_budget:
        facts["privacy_budget"] = dict(zip(("epsilon", "delta"), args.privacy_budget, strict=True))
    values = ("device", "threads", "round_validation_cases", "min_cases", "require_pads")
    facts |= {name: getattr(args, name) for name in values if getattr(args, name) is not None}
    if "data_dir" not in facts:
        raise ConfigurationError(f"{args.kit} has no data folder yet: add --data FOLDER")
    found = parse_site_facts(facts, args.kit.name, base=args.kit, source="the command line")
    datalist = read_datalist(found.data_dir)
    path = write_site_facts(local_dir, facts)
    print_line(
        f"{path}: {len(datalist.training)} training and {len(datalist.validation)} validation cases; metrics of fewer "
        f"than {found.min_cases} cases are not sent"
    )
    return 0
