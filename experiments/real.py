"""Compare methods on real BraTS cases, in FLARE POC, by cross-validation; resumable run by run.

    python experiments/real.py DATA                # methods x splits x folds
    python experiments/real.py DATA --corrupted    # one bad site, fold 0

POC and not the simulator, because POC is what hospitals run: real certificates, one process a site, the policy
enforced. A run that is done is never done again: it is on record in RESULTS/runs.jsonl (delete its line to repeat it),
or its folder is under --runs. After every run the summary is written anew from all that is on record. With --corrupted
only folders under --runs count; what the table has of other runs of the same command stays in it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from real_results import Key, Record, read_records, record_run, write_corrupted, write_records, write_summary

from fedbrats.cli.call import call
from fedbrats.jobs.build import parse_settings

CENTRALISED = "centralised"
METHODS = {
    "institution": (
        *(CENTRALISED, "local_only", "fedavg", "fine_tuned", "fedper", "fedbn", "contribution", "contribution_fedper"),
        *("fedprox", "fedper_decoder", "median"),
    ),
    "equal": (CENTRALISED, "local_only", "fedavg", "fedper", "contribution"),
    "unequal": (CENTRALISED, "local_only", "fedavg", "fine_tuned", "fedper", "contribution"),
}
RESULTS = Path(__file__).resolve().parent / "results"
CASES = Path(__file__).parent / "cases.csv"  # case, site and fold of the split by institution
FOLDS = 3
SEED = 0
CORRUPTIONS = ("shuffled-labels", "sign-flip", "scaled", "exchanged-modalities")
CORRUPTED_METHODS = ("fedavg", "median", "fedce", "contribution")
HONEST = "none"
FIRST_WEIGHTS = (
    "start=none"  # what is on record was trained from weights that the seed draws; --set start=... changes it
)


@dataclass(frozen=True)
class Run:
    """One training: a method on a split, a fold held out, perhaps with a bad site."""

    split: str
    fold: int
    method: str
    corruption: str = HONEST

    def folder(self, trained: Path) -> Path:
        """Where its results are."""
        return trained / self.split / f"fold-{self.fold}" / self.corruption / self.method

    def sites(self, runs: Path) -> Path:
        """The sites folder it trains on."""
        return runs / self.split / f"fold-{self.fold}" / "sites"


def main() -> int:
    """Do what is still to do; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder with the cases of BraTS 2018 and 2019 that cases.csv names")
    parser.add_argument("--corrupted", action="store_true", help="one bad site instead of methods x splits x folds")
    parser.add_argument("--bad-site", default="cbica-2", help="(default: cbica-2)")
    parser.add_argument("--splits", nargs="+", default=["institution"], choices=METHODS, help="(default: institution)")
    parser.add_argument("--methods", nargs="+", help="only these")
    parser.add_argument("--folds", nargs="+", type=int, default=list(range(FOLDS)), help="only these")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--runs", type=Path, default=Path("build/experiments"), help="(default: build/experiments)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="(default: experiments/results)")
    args = parser.parse_args()
    parse_settings(args.settings)
    args.trained = args.runs / ("_".join(args.settings) or "defaults")  # runs with other settings are other runs
    runs = plan(args)
    todo = [run for run in runs if not is_done(run, args)]
    print(f"{len(runs)} runs, {len(runs) - len(todo)} of them done", flush=True)
    began = time.monotonic()
    for number, run in enumerate(todo):
        if not (run.folder(args.trained) / "summary.json").exists():
            execute(run, args)
        record(run, args)
        report(args)
        each = (time.monotonic() - began) / (number + 1)
        print(f"{number + 1}/{len(todo)} done, about {each * (len(todo) - number - 1) / 60:.0f} min to go", flush=True)
    report(args)
    return 0


def plan(args: argparse.Namespace) -> list[Run]:
    """All runs, the folds of one method together last, so that early results cover all methods."""
    if args.corrupted:
        kinds = (HONEST, *CORRUPTIONS)
        methods = args.methods or CORRUPTED_METHODS
        return [Run("institution", 0, method, kind) for kind in kinds for method in methods]
    return [
        Run(split, fold, method)
        for split in args.splits
        for fold in args.folds
        for method in args.methods or METHODS[split]
    ]


def is_done(run: Run, args: argparse.Namespace) -> bool:
    """Whether there is nothing left to do for a run. Raises: SystemExit if it is on record with other settings."""
    if args.corrupted:
        return (run.folder(args.trained) / "summary.json").exists()
    found = read_records(args.results).get((run.split, run.fold, run.method))
    if found and found["settings"] != args.settings:
        sys.exit(
            f"{run.split}, fold {run.fold}, {run.method} is on record in {args.results} with the settings "
            f"{' '.join(found['settings']) or 'of the job'}; give those, or another --results folder"
        )
    return found is not None


def record(run: Run, args: argparse.Namespace) -> None:
    """Put a finished run on record."""
    if not args.corrupted:
        new = record_run(run.split, run.fold, run.method, args.settings, run.folder(args.trained), run.sites(args.runs))
        write_records(args.results, {**read_records(args.results), (run.split, run.fold, run.method): new})


def execute(run: Run, args: argparse.Namespace) -> None:
    """Split the data where that is still to do, train, and put the results in their place."""
    sites, folder = run.sites(args.runs), run.folder(args.trained)
    if not sites.exists():
        by = {"institution": f"{CASES}:site"}.get(run.split, run.split)
        folds = ["--fold", run.fold] if run.split == "institution" else ["--fold", run.fold, "--folds", FOLDS]
        number = [] if run.split == "institution" else ["--sites", 5]
        call("split", args.data, "--by", by, *number, *folds, "--seed", SEED, "--out", sites)
    print(f"{run.split}, fold {run.fold}, {run.method}" + (f", {run.corruption}" if run.corruption != HONEST else ""))
    settings = [word for setting in (FIRST_WEIGHTS, *args.settings) for word in ("--set", setting)]
    cache = ["--cache", args.runs / "cache", "--json"]
    if run.method == CENTRALISED:
        call("train", sites, "--out", folder, *settings, *cache)
        return
    bad = ["--misbehave", f"{args.bad_site}={run.corruption}"] if run.corruption != HONEST else []
    workspace, parent = args.runs / "poc", folder.parent / f".{run.method}"
    words = ["--data", sites, "--workspace", workspace, "--results", parent, *settings, *bad, *cache]
    document = json.loads(call("poc", "run", run.method, *words))
    Path(document["results"]).rename(folder)
    shutil.rmtree(parent)  # with what a run that was stopped left there


def report(args: argparse.Namespace) -> None:
    """Write the results file from the runs that are done."""
    settings = [word for setting in args.settings for word in ("--set", setting)]
    if args.corrupted:
        command = " ".join(["python experiments/real.py DATA --corrupted", *settings])
        write_corrupted(args.trained, args.runs, args.results / "corrupted.json", args.bad_site, command)
    else:
        write_summary(args.results, command_for(read_records(args.results), args))


def command_for(records: Mapping[Key, Record], args: argparse.Namespace) -> str:
    """The one command that makes all that is on record."""
    splits = sorted({split for split, _, _ in records})
    methods = list(dict.fromkeys(method for _, _, method in sorted(records)))
    some = {method for split in splits for method in METHODS[split]} != set(methods)
    words = ["--splits", *splits, *(["--methods", *methods] if some else [])]
    words += [word for setting in args.settings for word in ("--set", setting)]
    if args.results != RESULTS:
        folder = args.results.resolve()
        words += ["--results", f"experiments/results/{folder.name}" if folder.parent == RESULTS else folder.name]
    return " ".join(["python experiments/real.py DATA", *words])


if __name__ == "__main__":
    sys.exit(main())
