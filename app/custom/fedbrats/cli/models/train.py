"""Train without a federation: on the data of all sites together (the centralised baseline), or of one site alone.

The settings are those of a federated job. A round has as many steps as the sites of that job take together, and the
rows of metrics are the same. DATA is a sites folder, or one or more site folders.

--json prints summary.json of the results folder: the scores, and findings, what `fedbrats split` found of the cases.

After each round DIR has best_model.pt, the model of the best round so far, and checkpoint.pt, from which --resume goes
on to the same bits. Ctrl-C prints that command. checkpoint.pt is removed at the end; a DIR that has one is not
overwritten.

example:
  fedbrats train sites
  fedbrats train --resume results/train-20260101-120000
  fedbrats train sites/cbica sites/tcia --rounds 25 --set learning_rate=0.001
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedbrats.api import training as api
from fedbrats.api.jobs import check_jobs
from fedbrats.api.progress import Progress, Step
from fedbrats.api.runs import Run
from fedbrats.cli.arguments import run_path, whole_number
from fedbrats.cli.job_arguments import add_set_argument, read_settings, tell_minutes
from fedbrats.cli.progress import never_silent, print_documents, steps, this_command
from fedbrats.errors import ArgumentError

# Arguments that --resume takes from the run, with what they are where nobody gives them.
_DEFAULTS: dict[str, Any] = {"like": "fedavg", "cache": Path("build/cache"), "device": "auto"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("data", nargs="*", type=Path, metavar="DATA", help="a sites folder, or site folders")
    parser.add_argument(
        "--like", default=_DEFAULTS["like"], metavar="JOB", help="take the settings of this job (default: fedavg)"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="number of rounds (default: that of the job)")
    parser.add_argument(
        "--start", help="first weights, as of the variable start: phantoms, none or a model (default: that of the job)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="results folder (default: results/train-<time>)")
    parser.add_argument("--resume", type=run_path, metavar="RUN", help="go on with a training that was stopped")
    parser.add_argument("--cache", type=Path, default=_DEFAULTS["cache"], help="folder of prepared cases")
    parser.add_argument("--device", default=_DEFAULTS["device"], help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument(
        "--threads", type=whole_number(1), metavar="N", help="CPU threads (default: the machine's cores)"
    )
    add_set_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document on standard output")


def run(args: argparse.Namespace) -> int:
    """Prepare, train, evaluate, save."""
    with steps() as progress, never_silent("train"):
        done = _resume(args, progress) if args.resume else _begin(args, progress)
    print_documents([done.summary], as_json=args.json)
    return 0


def _begin(args: argparse.Namespace, progress: Progress) -> Run:
    settings = read_settings(args)
    if args.out:
        api.check_free(args.out)
    if args.data:
        asked = {**settings, **({} if args.rounds is None else {"num_rounds": args.rounds})}
        check_jobs([args.like], asked)
        tell_minutes("train", args.like, asked, args.data, args.plan)
    given = {name: getattr(args, name) for name in ("out", "like", "rounds", "start", "cache", "device", "threads")}

    def tell(step: Step) -> None:
        again = f"; begin again with: {this_command()}" if step.text.endswith("nothing was kept") else ""
        progress(replace(step, text=step.text + again))

    return api.train(args.data, **given, settings=settings, progress=tell)


def _resume(args: argparse.Namespace, progress: Progress) -> Run:
    given = [getattr(args, name) for name in ("out", "rounds", "start", "threads")]
    given += [getattr(args, name) for name, usual in _DEFAULTS.items() if getattr(args, name) != usual]
    if args.data or args.settings or args.plan or any(value is not None for value in given):
        raise ArgumentError("train: --resume takes DATA and all settings from the run; leave them out")
    return api.resume(args.resume, progress=progress)
