"""Run an experiment, and go on where it stopped: methods by splits, folds, seeds and variables, on one folder of cases.

SWEEP is a JSON file: `methods` (names of jobs, and `centralised`), `splits` (name -> by, sites, folds, seed as of
`fedbrats split`), and where wanted `folds`, `seeds`, `variables`, `of_method` (method -> variables), `variants` (tables
of variables, one a run), `left_out` (sites that are left out, one a run), `misbehave` (SITE=KIND, or
SITE=KIND,SITE=KIND of several, one a run) and `engine` (simulate or poc). experiments/ has some.

Every finished run leaves one line in RESULTS/runs.jsonl: what it was, its data, budget and variables, and the scores of
its patients, each named by a number. A run whose line is there is not done again. With --outside, or where a site is
left out, every model is also scored on patients that nobody trained on. `fedbrats compare RESULTS/runs.jsonl` makes the
tables.

--json prints: runs, done, failed, left, and results, the path of the lines. --dry-run prints the runs that are left.

Exit status: 0 all is done, 1 some run failed (standard error says which and why; start again to repeat those).

example:
  fedbrats sweep experiments/main.json CASES --results mine --dry-run
  fedbrats sweep experiments/main.json CASES --results mine --outside OTHER_CASES
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.cli.call import call
from fedbrats.cli.output import print_json, print_line
from fedbrats.cli.progress import say, this_command
from fedbrats.errors import ConfigurationError, FedbratsError

if TYPE_CHECKING:
    from fedbrats.admin.run.sweep import Run, Sweep


SIGNALLED = 128  # exit statuses above are 128 and the number of a signal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("sweep", type=Path, metavar="SWEEP", help="the sweep file")
    parser.add_argument("data", type=Path, metavar="CASES", help="a folder of BraTS cases")
    parser.add_argument(
        "--outside", type=Path, metavar="CASES", help="cases that nobody trains on, scored by each model"
    )
    parser.add_argument("--results", type=Path, default=Path("results/sweep"), help="(default: results/sweep)")
    parser.add_argument("--runs", type=Path, default=Path("build/sweep"), help="folder of the runs (build/sweep)")
    parser.add_argument("--keep", action="store_true", help="keep the folder of every run, with its models")
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help="only these of the sweep file")
    parser.add_argument("--splits", nargs="+", metavar="SPLIT", help="only these")
    parser.add_argument("--folds", nargs="+", type=int, metavar="K", help="only these")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="only these")
    parser.add_argument("--dry-run", action="store_true", help="print the runs that are left, and do none")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Do what is left to do."""
    from fedbrats.admin.run.sweep import plan_runs, read_sweep
    from fedbrats.report.numbers.records import RUNS_FILE, known_ids, read_records

    sweep = read_sweep(args.sweep)
    lines = args.results / RUNS_FILE
    known = known_ids(read_records(lines)) if lines.exists() else set()
    runs = [each for each in plan_runs(sweep) if _is_wanted(each, args)]
    if not runs:
        raise ConfigurationError(f"{args.sweep} has no run with these methods, splits, folds and seeds")
    left = [each for each in runs if each.id not in known]
    say(f"sweep: {len(runs)} runs, {len(runs) - len(left)} of them done")
    failed: list[str] = []
    if args.dry_run:
        for each in left if not args.json else ():
            print_line(f"{each.id}  {each.name}")
    else:
        failed = _do(left, sweep, args, lines)
    document = {"runs": len(runs), "done": len(runs) - len(left), "failed": failed, "results": str(lines)}
    if not args.dry_run:
        document["done"] = len(runs) - len(failed)
    document["left"] = [{"id": each.id, "name": each.name} for each in left] if args.dry_run else failed
    if args.json:
        print_json(document)
    return 1 if failed else 0


def _is_wanted(each: Run, args: argparse.Namespace) -> bool:
    asked = ((args.methods, each.method), (args.splits, each.split), (args.folds, each.fold), (args.seeds, each.seed))
    return all(only is None or value in only for only, value in asked)


def _do(left: Sequence[Run], sweep: Sweep, args: argparse.Namespace, lines: Path) -> list[str]:
    """Do run after run, and keep each one's line; returns the names of those that failed."""
    from fedbrats.atomic import append_lines

    failed: list[str] = []
    began = time.monotonic()
    for number, each in enumerate(left, start=1):
        say(f"sweep: {number}/{len(left)} {each.name}")
        try:
            record = _execute(each, sweep, args)
        except (KeyboardInterrupt, FedbratsError, SystemExit) as error:
            if _is_a_stop(error):
                kept = f"{number - 1 - len(failed)} of {len(left)} runs that were left are kept in {lines}"
                say(f"sweep: stopped; {kept}; go on with: {this_command()}")
                raise
            why = f": {error}" if isinstance(error, FedbratsError) else ""
            say(f"sweep: {each.name} has failed{why}; it is left for the next time")
            failed.append(each.name)
            continue
        lines.parent.mkdir(parents=True, exist_ok=True)
        append_lines(lines, [json.dumps(record)])
        each_s = (time.monotonic() - began) / number
        say(f"sweep: done in {record['seconds']} s; about {each_s * (len(left) - number) / 60:.0f} min to go")
    return failed


def _is_a_stop(error: BaseException) -> bool:
    """Whether a person or a signal ended it, and not a run that failed."""
    code = error.code if isinstance(error, SystemExit) else None
    return isinstance(error, KeyboardInterrupt) or (isinstance(code, int) and code > SIGNALLED)


def _execute(each: Run, sweep: Sweep, args: argparse.Namespace) -> dict[str, Any]:
    """Split the data where that is still to do, train, score elsewhere, and give the line."""
    from fedbrats.report.numbers.records import CENTRALISED, make_record

    whole = _sites_of(each, sweep, args)
    sites = _without(whole, each.left_out, args.runs) if each.left_out else whole
    folder = args.runs / "trained" / each.id
    shutil.rmtree(folder, ignore_errors=True)
    words: list[object] = ["--cache", args.runs / "cache", "--json"]
    for name, value in {**each.settings, "seed": each.seed}.items():
        words += ["--set", f"{name}={json.dumps(value)}"]
    if each.method == CENTRALISED:
        call("train", sites, "--out", folder, *words)
    else:
        words += ["--data", sites, "--results", folder.parent / f".{each.id}"]
        for site, kind in each.misbehaviour.items():
            words += ["--misbehave", f"{site}={kind}"]
        if each.engine == "poc":
            words += ["--workspace", args.runs / "poc"]
        document = json.loads(call(*(["poc", "run"] if each.engine == "poc" else ["simulate"]), each.method, *words))
        Path(document["results"]).rename(folder)
        shutil.rmtree(folder.parent / f".{each.id}", ignore_errors=True)
    elsewhere = []
    if each.left_out:
        elsewhere += _score(folder, whole / each.left_out, each.left_out)
    elif args.outside:
        elsewhere += _score(folder, args.outside, "outside")
    record = make_record(each.about, folder, whole, elsewhere)
    if not args.keep:
        shutil.rmtree(folder)
    return record


def _sites_of(each: Run, sweep: Sweep, args: argparse.Namespace) -> Path:
    """The sites folder of a run's split and fold, made where it is not there yet."""
    from fedbrats.admin.run.sweep import SplitOptions

    sites = args.runs / "sites" / each.split / f"fold-{each.fold}"
    if not sites.exists():
        options = SplitOptions.read(sweep.splits[each.split], each.split)
        table, colon, column = options.by.partition(":")
        by = f"{args.sweep.parent / table}{colon}{column}" if colon and "." in table else options.by
        words: list[object] = ["--by", by, "--fold", each.fold, "--folds", options.folds, "--seed", options.seed]
        words += ["--sites", options.sites] if options.sites else []
        call("split", args.data, *words, "--out", sites)
    return sites


def _without(sites: Path, left_out: str, runs: Path) -> Path:
    """A sites folder of links to all sites but one."""
    from fedbrats.data.cases.datalist import find_sites

    own = find_sites(sites)
    if left_out not in {site.name for site in own}:
        raise ConfigurationError(f"left_out: there is no site {left_out}; there are: {', '.join(s.name for s in own)}")
    folder = runs / "without" / left_out / sites.relative_to(runs / "sites")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for site in own:
        if site.name != left_out:
            (folder / site.name).symlink_to(site.resolve())
    shutil.copyfile(sites / "split.json", folder / "split.json")
    return folder


def _score(folder: Path, cases: Path, where: str) -> list[dict[str, Any]]:
    """Scores of every model of a run on cases that it was not trained on."""
    from fedbrats.report.numbers.records import COMMON, score_elsewhere
    from fedbrats.run_folder import SUMMARY_FILE
    from fedbrats.site.personal import PERSONAL_FILE

    variables = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))["variables"]
    found = []
    words = ["evaluate", folder, cases, "--section", "all", "--json"]
    if variables.get("personal", "none") == "none":
        found.append(score_elsewhere(where, COMMON, json.loads(call(*words))))
    for personal in sorted(folder.glob(f"sites/*/{PERSONAL_FILE}")):
        document = json.loads(call(*words, "--personal", personal))
        found.append(score_elsewhere(where, personal.parent.name, document))
    return found
