"""Train without a federation: on the data of all sites together (the centralised baseline), or of one site alone.

The settings are those of a federated job. A round has as many steps as the sites of that job take together, and the
rows of metrics are the same. DATA is a sites folder, or one or more site folders.

--json prints summary.json of the results folder: the scores, and findings, what `fedbrats split` found of the cases.

example:
  fedbrats train sites
  fedbrats train sites/cbica sites/tcia --rounds 25 --set learning_rate=0.001
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fedbrats import __version__
from fedbrats.atomic import write_bytes_atomic, write_json_atomic, write_text_atomic
from fedbrats.cli.arguments import whole_number
from fedbrats.cli.cases.findings import as_documents, tell_recorded
from fedbrats.cli.progress import print_documents, say
from fedbrats.cli.studies.job import add_set_argument
from fedbrats.data.check.problems import FINDINGS
from fedbrats.errors import ConfigurationError
from fedbrats.privacy.settings import PrivacySettings
from fedbrats.rows import (
    CASES_FILE,
    ROWS_FILE,
    learning_curve,
    summarise_rows,
)
from fedbrats.run_folder import CENTRAL_MODEL, SUMMARY_FILE

if TYPE_CHECKING:
    import numpy as np

    from fedbrats.data.prepare.site_cases import SiteCases
    from fedbrats.jobs.plan import TrainingPlan
    from fedbrats.model.training.central import Rows
    from fedbrats.model.training.trainer import Trainer

COMPLETED = "FINISHED:COMPLETED"
# Where all cases are in one place, nothing of a model is personal, and no site keeps an account of its patients.
FEDERATED_ONLY = ("personal", "personal_rounds", "best_of", *PrivacySettings.model_fields)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("data", nargs="+", type=Path, metavar="DATA", help="a sites folder, or site folders")
    parser.add_argument(
        "--like", default="fedavg", metavar="JOB", help="take the settings of this job (default: fedavg)"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="number of rounds (default: that of the job)")
    parser.add_argument(
        "--start", help="first weights, as of the variable start: phantoms, none or a model (default: that of the job)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="results folder (default: results/train-<time>)")
    parser.add_argument("--cache", type=Path, default=Path("build/cache"), help="folder of prepared cases")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument(
        "--threads", type=whole_number(1), metavar="N", help="CPU threads (default: the machine's cores)"
    )
    add_set_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document on standard output")


def run(args: argparse.Namespace) -> int:
    """Prepare, train, evaluate, save."""
    from fedbrats.data.parallel import count_cores
    from fedbrats.data.prepare.cache import common_spacing
    from fedbrats.model.training.central import pooled_trainer, train_centrally
    from fedbrats.report.numbers.conditions import CONDITIONS, describe_conditions
    from fedbrats.site.hooks.choice import choose_step_hooks

    began, job_id = time.perf_counter(), f"train-{time.strftime('%Y%m%d-%H%M%S')}"
    out = args.out or Path("results") / job_id
    plan, start = _read_plan(args)
    threads = args.threads or count_cores()
    findings = tell_recorded("train", args.data)
    sites = _prepare_sites(args.data, args.cache, plan, workers=threads)
    trainer = pooled_trainer(plan.network, plan.training, sites, seed=plan.seed, device=args.device, threads=threads)
    if start:
        trainer.set_weights(start)
    variables = {name: value for name, value in plan.variables.items() if name not in FEDERATED_ONLY}
    rows: Rows = [{"kind": "job", "job_id": job_id, "version": __version__, "variables": variables}]

    def keep(round_number: int, added: Rows) -> None:
        rows.extend(added)
        _write_rows(out / ROWS_FILE, rows)
        _show_round(round_number, plan.rounds, rows)

    final, by_case = train_centrally(trainer, sites, plan.rounds, keep, choose_step_hooks(plan.training))
    seconds = round(time.perf_counter() - began, 2)
    conditions = describe_conditions(rows, variables, _site_dirs(args.data))
    rows = [{"kind": CONDITIONS, **conditions}, *rows, *final, {"kind": "end", "status": COMPLETED, "seconds": seconds}]
    _write_rows(out / ROWS_FILE, rows)
    _write_rows(out / CASES_FILE, by_case)
    spacing_mm = common_spacing(case for site in sites for case in site.training)
    _write_model(out / CENTRAL_MODEL, trainer, replace(plan, preparation=plan.preparation.at(spacing_mm)))
    document = {
        "job": "train",
        "like": args.like,
        "job_id": job_id,
        "status": COMPLETED,
        **summarise_rows(rows),
        "seconds": seconds,
        "results": str(out),
        "variables": variables,
        CONDITIONS: conditions,
        FINDINGS: as_documents(findings),
    }
    write_json_atomic(out / SUMMARY_FILE, document)
    print_documents([document], as_json=args.json)
    return 0


def _read_plan(args: argparse.Namespace) -> tuple[TrainingPlan, dict[str, np.ndarray] | None]:
    """What is trained, and the first weights if there are any. Raises: ConfigurationError, DataError."""
    from fedbrats.jobs.build import parse_settings
    from fedbrats.jobs.plan import read_plan
    from fedbrats.jobs.private import is_private
    from fedbrats.jobs.start import GIVEN, NONE, read_start

    settings = parse_settings(args.settings)
    if args.rounds is not None:
        settings["num_rounds"] = args.rounds
    if args.start is not None:
        settings["start"] = args.start
    plan = read_plan(args.like, settings)
    if is_private(plan.variables):
        raise ConfigurationError(
            f"{args.like} trains with differential privacy, which a site keeps an account of; run it in a federation"
        )
    start = read_start(str(plan.variables["start"]), plan.network)
    plan.variables["start"] = GIVEN if start else NONE
    return plan, start


def _prepare_sites(folders: Sequence[Path], cache_dir: Path, plan: TrainingPlan, workers: int) -> list[SiteCases]:
    """Prepare the cases of every site.

    Raises: DataError if a folder holds no site; ConfigurationError for two sites of one name.
    """
    from fedbrats.data.prepare.site_cases import read_site

    site_dirs = _site_dirs(folders)
    _require_own_names(site_dirs)
    sites: list[SiteCases] = []
    for site_dir in site_dirs:
        site = read_site(site_dir, cache_dir, plan.preparation, workers=workers)
        say(f"train: {site.name}: {len(site.training)} training and {len(site.validation)} validation cases")
        for case in site.rejected:
            say(f"train: {site.name}: {case.name} is left out: {case.reason}")
        sites.append(site)
    return sites


def _site_dirs(folders: Sequence[Path]) -> list[Path]:
    """The site folders that are given, or that are in those. Raises: DataError if a folder holds no site."""
    from fedbrats.data.cases.datalist import DATALIST_NAME, find_sites

    return [
        site for folder in folders for site in ([folder] if (folder / DATALIST_NAME).exists() else find_sites(folder))
    ]


def _require_own_names(site_dirs: Sequence[Path]) -> None:
    """A site is told by its folder's name, in rows and in results."""
    seen: dict[str, Path] = {}
    for folder in (site_dir.resolve() for site_dir in site_dirs):
        if (earlier := seen.setdefault(folder.name, folder)) is folder:
            continue
        if earlier == folder:
            raise ConfigurationError(f"site {folder.name} is given twice; its cases would count double")
        raise ConfigurationError(
            f"site {folder.name} is both {earlier} and {folder}, and results tell sites by name; rename one of them"
        )


def _show_round(round_number: int, rounds: int, rows: Rows) -> None:
    dice = learning_curve(rows, stage="trained").get(round_number)
    loss = [row["loss"] for row in rows if row["kind"] == "site"][-1]
    said = "" if dice is None else f", Dice {dice:.3f}"
    say(f"train: round {round_number + 1}/{rounds}, loss {loss:.3f}{said}")


def _write_rows(path: Path, rows: Rows) -> None:
    write_text_atomic(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))


def _write_model(path: Path, trainer: Trainer, plan: TrainingPlan) -> None:
    """Save what inference needs; torch.load(..., weights_only=True) reads it."""
    import torch

    document = {
        "model": {name: value.cpu() for name, value in trainer.network.state_dict().items()},
        "network": plan.network,
        "settings": plan.training.model_dump(),
        "preparation": plan.preparation.model_dump(),
    }
    write_bytes_atomic(path, lambda stream: torch.save(document, stream))
