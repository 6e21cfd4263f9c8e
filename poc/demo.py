"""The demo: five synthetic hospitals of unequal size, in a real FLARE POC federation. Who does better: each alone, all
data in one place, or federated in one of three ways? And what does one bad hospital do to the others?

Makes its own data, prints two tables and writes a report to look at. Everything is under `results/demo`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from fedbrats.cli.call import call
from fedbrats.cli.output import print_table

SITES, CASES_PER_SITE, SEED = 5, 10, 1
ROUNDS, LOCAL_STEPS = 8, 16
FEDERATED = ("local_only", "fedavg", "fedper", "contribution")
WITH_A_BAD_SITE = ("fedavg", "contribution")
BAD_SITE, HARM = "site-2", "scaled"
NAMES = {
    "train": "all data in one place",
    "local_only": "every site alone",
    "fedavg": "federated (FedAvg)",
    "fedper": "federated, personal heads (FedPer)",
    "contribution": "federated, Contribution Factor",
}


def main() -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/demo"), help="(default: results/demo)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"federated rounds (default: {ROUNDS})")
    args = parser.parse_args()
    began = time.monotonic()
    data = args.out / "sites"
    cohort = ["--sites", SITES, "--cases", CASES_PER_SITE, "--unequal", "--seed", SEED, "--force"]
    call("phantom", data, *cohort)
    # Weights drawn from the seed, so that every Dice comes from these cases alone.
    settings = ["--set", f"local_steps={LOCAL_STEPS}", "--set", "start=none"]
    common = ["--cache", args.out / "cache", "--json", *settings]
    central = json.loads(call("train", data, "--rounds", args.rounds, "--out", args.out / "centralised", *common))
    poc = ["--data", data, "--workspace", args.out / "poc", "--set", f"num_rounds={args.rounds}", *common]
    honest = documents(call("poc", "run", *FEDERATED, "--results", args.out, *poc))
    harm = ["--results", args.out / "bad-site", "--misbehave", f"{BAD_SITE}={HARM}"]
    harmed = documents(call("poc", "run", *WITH_A_BAD_SITE, *harm, *poc))
    show_methods([central, *honest])
    show_harm({document["job"]: document for document in honest}, harmed)
    page = args.out / "report.html"
    results = [document["results"] for document in (*honest, central)]
    call("report", *results, "--data", data, "--out", page)
    print(f"{time.monotonic() - began:.0f} s in all. The report: {page}. Models and rows are in {args.out}.")
    return 0


def show_methods(documents: list[dict[str, Any]]) -> None:
    """Print Dice of every method, over all validation cases and at every site."""
    sites = list(documents[0]["per_site"])
    rows = []
    for document in documents:
        dice = [document["dice"][region] for region in ("mean", "WT", "TC", "ET")]
        rows.append((NAMES[document["job"]], *dice, *(site_dice(document, site) for site in sites)))
    title = "Validation Dice of the final models, synthetic data"
    print_table(("trained on", "Dice", "WT", "TC", "ET", *sites), rows, title=title)


def show_harm(honest: dict[str, dict[str, Any]], harmed: list[dict[str, Any]]) -> None:
    """Print what the other sites have of a model that one bad site helped to train."""
    rows = []
    for document in harmed:
        others = [site for site in document["per_site"] if site != BAD_SITE]
        before, after = (over_cases(each, others) for each in (honest[document["job"]], document))
        rows.append((NAMES[document["job"]], before, after, after - before))
    title = f"Validation Dice at the other sites when {BAD_SITE} sends every update a hundred times too large"
    print_table(("trained on", "all honest", f"{BAD_SITE} bad", "difference"), rows, title=title)


def over_cases(document: dict[str, Any], sites: list[str]) -> float:
    """Mean Dice over the validation cases of some sites."""
    cases = {site: document["per_site"][site]["cases"] for site in sites if site_dice(document, site) is not None}
    return sum(site_dice(document, site) * count for site, count in cases.items()) / sum(cases.values())


def site_dice(document: dict[str, Any], site: str) -> Any:
    """Mean Dice at a site, or None where it said nothing."""
    return (document["per_site"][site]["dice"] or {}).get("mean")


def documents(lines: str) -> list[dict[str, Any]]:
    """The JSON documents of `fedbrats poc run`, one a line."""
    return [json.loads(line) for line in lines.splitlines()]


if __name__ == "__main__":
    sys.exit(main())
