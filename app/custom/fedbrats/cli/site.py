"""Write a kit's `local/fedbrats.json`: where this site's data is, and how it may be used.

fedbrats' own provisioning writes the file; this command is for kits made without it, such as `nvflare poc prepare`,
and for a hospital that moves its data.

example:
  fedbrats site poc/example_project/prod_00/site-1 --data sites/site-1
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("kit", type=Path, help="the site's startup kit (the folder that holds startup/ and local/)")
    parser.add_argument("--data", type=Path, required=True, help="the site's folder with its datalist.json")
    parser.add_argument("--cache", type=Path, help="folder of prepared cases (default: cache in the kit)")
    parser.add_argument("--personal", type=Path, help="folder of personal weights (default: personal in the kit)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--threads", type=int, help="CPU threads of training (default: PyTorch's own choice)")
    parser.add_argument(
        "--round-validation-cases", type=int, help="try a model on so many validation cases a round (default: all)"
    )
    parser.add_argument("--min-cases", type=int, default=1, help="never send metrics of fewer cases (default: 1)")


def run(args: argparse.Namespace) -> int:
    """Check the facts as a job would, then write them."""
    from fedbrats.data.datalist import read_datalist
    from fedbrats.errors import ConfigurationError
    from fedbrats.flare.site import parse_site_facts, write_site_facts

    local_dir = args.kit / "local"
    if not (args.kit / "startup" / "fed_client.json").is_file():
        raise ConfigurationError(f"{args.kit} is not the startup kit of a site: it has no startup/fed_client.json")
    facts = {
        "data_dir": str(args.data.resolve()),
        "cache_dir": str(args.cache.resolve()) if args.cache else "cache",
        "personal_dir": str(args.personal.resolve()) if args.personal else "personal",
        "device": args.device,
        "min_cases": args.min_cases,
    }
    for name in ("threads", "round_validation_cases"):
        if getattr(args, name) is not None:
            facts[name] = getattr(args, name)
    parse_site_facts(facts, args.kit.name, base=args.kit, source="the command line")
    datalist = read_datalist(args.data)
    path = write_site_facts(local_dir, facts)
    print(f"{path}: {len(datalist.training)} training and {len(datalist.validation)} validation cases")
    return 0
