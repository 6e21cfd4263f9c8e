"""Plan a training from its data: voxel size, patch, network, batch, memory, seconds a step, minutes a job.

DATA is a folder of sites, one site, or cases in any layout that `fedbrats check` knows. Headers of all scans and a few
whole scans are read. Some steps and a case are measured on this machine, in as many processes as will train at the same
time, so the minutes are those of a machine as busy as it is now. --out writes the plan as variables; every command
that takes --set takes it with --plan. --set fixes a variable, and the rest is chosen to go with it.

For a federation, each hospital makes a fingerprint of a few rounded numbers (--fingerprint) and sends that file. Given
these files, the command makes one plan for all. No scan is needed for that.

--json prints what --out writes: format, variables, why (variable -> reason), warnings, sites (their fingerprints) and
estimate (rounds, steps; step_s, score_s, final_s, prepare_s, launch_s: seconds of a step, of a case in a round, in the
last evaluation and in preparation, and of a process that starts; at_once: processes measured together; share: of the
cores that they got; memory_gb, federation_min, of_which_min, one_place_min).

Exit status: 0 there is a plan, 1 there is none, or with --strict a warning, 2 the arguments are wrong.

examples: fedbrats plan sites --out plan.json
          fedbrats poc run fedavg --data sites --plan plan.json
          fedbrats plan --fingerprint my-site --out site-1.json         # at a hospital
          fedbrats plan site-1.json site-2.json --out plan.json         # at the lead
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.api.jobs import wrong_arguments
from fedbrats.cli.arguments import whole_number
from fedbrats.cli.cases.check import add_names_argument
from fedbrats.cli.job_arguments import PLAN_FORMAT, add_set_argument, as_words, read_settings
from fedbrats.cli.output import print_json, print_line, print_table
from fedbrats.cli.progress import duration, never_silent, say
from fedbrats.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from fedbrats.admin.run.calibration import Measured
    from fedbrats.data.cases.case import Case
    from fedbrats.data.fingerprint import Fingerprint
    from fedbrats.jobs.estimate import Cost
    from fedbrats.jobs.plan import TrainingPlan
    from fedbrats.jobs.proposal import Choice

GB = 1e9


@dataclass(frozen=True)
class _Site:
    """A site whose scans are here: its training cases, how many it validates on, and its fingerprint."""

    training: Sequence[Case]
    validation: int
    fingerprint: Fingerprint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "data", nargs="+", type=Path, metavar="DATA", help="a folder of sites, a site, or cases; or fingerprints"
    )
    parser.add_argument("--like", default="fedavg", metavar="JOB", help="plan for this job (default: fedavg)")
    parser.add_argument("--fingerprint", action="store_true", help="make the fingerprint of one site instead of a plan")
    parser.add_argument(
        "--min-cases",
        type=whole_number(1),
        metavar="N",
        help="no fingerprint of fewer training cases (default: that of a new kit)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the plan, or the fingerprint, as JSON")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    add_names_argument(parser)
    add_set_argument(parser)
    parser.add_argument("--strict", action="store_true", help="end with exit status 1 after a warning")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")


def run(args: argparse.Namespace) -> int:
    """Make a fingerprint, or a plan of scans or of fingerprints."""
    from fedbrats.data.fingerprint import read_fingerprint

    settings = read_settings(args)
    given = [read_fingerprint(path) if path.is_file() else None for path in args.data]
    fingerprints = [each for each in given if each is not None]
    if args.fingerprint and fingerprints:
        raise ArgumentError(
            "plan: --fingerprint takes the cases of one site; a plan is made of fingerprints without it"
        )
    if fingerprints and len(fingerprints) < len(given):
        raise ArgumentError("plan: give scans, or fingerprints of `fedbrats plan --fingerprint`, and not both")
    if not fingerprints and len(args.data) > 1:
        raise ArgumentError("plan: one DATA is needed: a folder of sites, a site, or cases")
    with never_silent("plan"):
        document = _of_fingerprints(args, fingerprints, settings) if fingerprints else _of_scans(args, settings)
    if args.out:
        from fedbrats.atomic import write_json_atomic

        write_json_atomic(args.out, document)
    for warning in document.get("warnings", ()):
        say(f"plan: warning: {warning}")
    if args.json or (args.fingerprint and not args.out):
        print_json(document)
    elif args.fingerprint:
        print_line(f"wrote {args.out}; look at it, and send it to the lead of the federation")
    else:
        _print_plan(args, document)
    return 1 if args.strict and document.get("warnings") else 0


def _of_fingerprints(
    args: argparse.Namespace, sites: Sequence[Fingerprint], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """One plan for sites whose scans are elsewhere."""
    plan, choices = _propose(args, sites, settings)
    estimate: dict[str, Any] = {"rounds": plan.rounds, "steps": plan.variables["local_steps"]}
    if all(site.gflops for site in sites):
        from fedbrats.model.training.trial import gflop_of_step

        gflop = gflop_of_step(plan.network, plan.training)
        slowest = max(sites, key=lambda site: _remote_seconds(site, plan, gflop))
        estimate |= {
            "step_s": round(gflop / (slowest.gflops or 1), 4),
            "slowest": slowest.site,
            "federation_min": _minutes(_remote_seconds(slowest, plan, gflop)),
        }
    return _document(plan, choices, sites, estimate)


def _remote_seconds(site: Fingerprint, plan: TrainingPlan, gflop: float) -> float:
    """Seconds of all rounds at a hospital, by its measured speed, without the preparation of its cases."""
    from fedbrats.data.prepare.settings import USUAL_MM
    from fedbrats.jobs.estimate import MIRRORED, Cost, Work, parts_of_job
    from fedbrats.model.settings import BRAIN

    voxel = plan.preparation.voxel_mm(site.spacing_mm) or min(site.spacing_mm) or USUAL_MM
    patch = math.prod(plan.training.patch_size or BRAIN) * plan.training.batch_size
    forward = gflop / 3 * math.prod(side / voxel for side in site.brain_mm) / patch  # a step goes forth and back
    speed = site.gflops or 1.0
    flips = MIRRORED if plan.training.final_flips else 1
    work = Work(0, site.validation, plan.training.steps_per_round(site.cases))
    cost = Cost(gflop / speed, forward / speed, flips * forward / speed, prepare_s=0.0, launch_s=0.0)
    return parts_of_job(cost, [work], plan.variables, 1, "remote").total_s


def _of_scans(args: argparse.Namespace, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A plan, or the fingerprint, of scans that are here."""
    sites = _read_sites(args)
    if args.fingerprint:
        _require_one(args, sites)
    plan, choices = _propose(args, [site.fingerprint for site in sites], settings)
    cores = sites[0].fingerprint.cores
    threads = max(1, cores // len(sites))
    say(f"plan: measuring some steps with {threads} thread{'s' if threads > 1 else ''} a site; this takes some seconds")
    measured = _measure(plan, sites, args.device, threads)
    speed = round(measured.gflop_a_step / measured.cost.step_s, 3)
    sites = [replace(site, fingerprint=site.fingerprint.changed(gflops=speed)) for site in sites]
    if args.fingerprint:
        return sites[0].fingerprint.rounded().model_dump()
    together = _measure(plan, sites, args.device, cores).cost if threads < cores else measured.cost
    estimate = _estimate(plan, sites, measured.cost, together)
    return _document(plan, choices, [site.fingerprint for site in sites], estimate)


def _measure(plan: TrainingPlan, sites: Sequence[_Site], device: str, threads: int) -> Measured:
    """Costs with so many threads a process, in as many processes as fit on the cores. Raises: DataError."""
    from fedbrats.admin.run.calibration import measure

    processes = min(len(sites), max(1, sites[0].fingerprint.cores // threads))
    return measure(plan, [site.training for site in sites], device=device, threads=threads, processes=processes)


def _estimate(plan: TrainingPlan, sites: Sequence[_Site], cost: Cost, together: Cost) -> dict[str, Any]:
    """What a job costs on this machine; together: the cost of a step that has all cores."""
    from fedbrats.jobs.estimate import Work, parts_in_one_place, parts_of_job

    works = [Work(len(s.training), s.validation, plan.training.steps_per_round(len(s.training))) for s in sites]
    cores, values = sites[0].fingerprint.cores, plan.variables
    found: dict[str, Any] = {"rounds": plan.rounds, "steps": works[0].steps, **cost.document()}
    if len(sites) > 1:
        parts = parts_of_job(cost, works, values, cores, "poc")
        found["federation_min"] = _minutes(parts.total_s)
        found["of_which_min"] = {name.removesuffix("_s"): _minutes(value) for name, value in asdict(parts).items()}
    found["one_place_min"] = _minutes(parts_in_one_place(together, works, values, cores).total_s)
    return found


def _propose(
    args: argparse.Namespace, sites: Sequence[Fingerprint], settings: Mapping[str, Any]
) -> tuple[TrainingPlan, list[Choice]]:
    """What is trained with the choices for these sites, and the choices."""
    from fedbrats.jobs.build import find_job, job_variables
    from fedbrats.jobs.plan import read_plan
    from fedbrats.jobs.proposal import Choice, propose

    with wrong_arguments():
        known = job_variables(find_job(args.like), settings)
        fixed = {**({"volume_shape": known["volume_shape"]} if known.get("volume_shape") else {}), **settings}
        choices = propose(sites, fixed)
        plan = read_plan(args.like, {**settings, **{choice.name: choice.value for choice in choices}})
    return plan, [*choices, *(Choice(name, value, "as given") for name, value in settings.items())]


def _document(
    plan: TrainingPlan, choices: Sequence[Choice], sites: Sequence[Fingerprint], estimate: Mapping[str, Any]
) -> dict[str, Any]:
    from fedbrats.jobs.proposal import misfits

    warnings = misfits(plan.variables, [site.spacing_mm for site in sites])
    together = estimate.get("memory_gb", 0) * len(sites)
    free = sites[0].gpu_gb if sites[0].gpu_gb is not None else sites[0].memory_gb
    if together > free:
        warnings.append(
            f"{len(sites)} sites on this machine take about {together:.0f} GB of memory, and {free:.0f} GB are free; "
            f"stop other programs, or take fewer sites"
        )
    return {
        "format": PLAN_FORMAT,
        "variables": {choice.name: choice.value for choice in choices},
        "why": {choice.name: choice.why for choice in choices},
        "warnings": warnings,
        "sites": [site.model_dump() for site in sites],
        "estimate": dict(estimate),
    }


def _read_sites(args: argparse.Namespace) -> list[_Site]:
    """The sites of DATA with their fingerprints, nothing measured yet. Raises: DataError."""
    from fedbrats.data.cases.case import find_cases
    from fedbrats.data.cases.datalist import DATALIST_NAME, find_sites, read_datalist

    folder = args.data[0]
    if (folder / DATALIST_NAME).is_file() or any(folder.glob(f"*/{DATALIST_NAME}")):
        names = [folder] if (folder / DATALIST_NAME).is_file() else list(find_sites(folder))
        lists = {site.resolve().name: read_datalist(site) for site in names}
        found = {name: (each.training, len(each.validation)) for name, each in lists.items() if each.training}
    else:
        cases = find_cases(folder, args.names)
        held_out = round(len(cases) / 5)  # as `fedbrats split` does
        found = {folder.resolve().name: (tuple(cases)[held_out:], held_out)}
    if not found:
        raise DataError(f"{folder} has no training case")
    return [_site(name, cases, validation, args.device) for name, (cases, validation) in found.items()]


def _site(name: str, cases: Sequence[Case], validation: int, device: str) -> _Site:
    from fedbrats.data.fingerprint import Fingerprint, measure_scans
    from fedbrats.data.parallel import count_cores
    from fedbrats.model.device import free_memory, gpu_memory

    spacing_mm, brain_mm = measure_scans(cases)
    gpu = gpu_memory(device)
    fingerprint = Fingerprint(
        site=name,
        cases=len(cases),
        validation=validation,
        spacing_mm=spacing_mm,
        brain_mm=brain_mm,
        cores=count_cores(),
        memory_gb=round(free_memory() / GB, 1),
        gpu_gb=None if gpu is None else round(gpu / GB, 1),
    )
    return _Site(cases, validation, fingerprint)


def _require_one(args: argparse.Namespace, sites: Sequence[_Site]) -> None:
    from fedbrats.site.site_file import LEAST_CASES

    least = args.min_cases or LEAST_CASES
    if len(sites) > 1:
        raise ArgumentError(f"plan: {args.data[0]} holds {len(sites)} sites; a fingerprint is of one, give its folder")
    if (cases := len(sites[0].training)) < least:
        raise DataError(
            f"{args.data[0]} has {cases} training cases, and a fingerprint of fewer than {least} would say too much of "
            f"them (--min-cases)"
        )


def _minutes(seconds: float) -> float:
    return round(seconds / 60, 1)


def _print_plan(args: argparse.Namespace, document: Mapping[str, Any]) -> None:
    """A table of the choices, the estimate, and the command that goes on."""
    why = document["why"]
    rows = [(name, json.dumps(value), why[name]) for name, value in document["variables"].items()]
    print_table(("variable", "value", "why"), rows, title=f"A plan for {len(document['sites'])} site(s)")
    found, cores = document["estimate"], document["sites"][0]["cores"]
    if "step_s" in found:
        memory = f", {found['memory_gb']:.1f} GB of memory a site" if "memory_gb" in found else ""
        at = f" at {found['slowest']}, the slowest site" if "slowest" in found else " on this machine"
        print_line(f"one step: {found['step_s']:.2g} s{at}{memory}")
    job = f"{found['rounds']} rounds of {found['steps']} steps"
    if "slowest" in found:
        print_line(
            f"{job}: about {duration(60 * found['federation_min'])}, and the time to prepare cases and to send models"
        )
    elif "federation_min" in found:
        print_line(f"{job}, all sites on these {cores} cores: about {duration(60 * found['federation_min'])}")
    if "one_place_min" in found:
        print_line(f"`fedbrats train`, all cases in one place: about {duration(60 * found['one_place_min'])}")
    if args.out:
        print_line(f"wrote {args.out}; use it with --plan {args.out}")
    else:
        print_line(f"use it with {' '.join(f'--set {_quoted(word)}' for word in as_words(document['variables']))}")


def _quoted(word: str) -> str:
    import shlex

    return shlex.quote(word.replace(", ", ","))
