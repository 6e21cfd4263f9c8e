"""What differential privacy costs: planned before a study, and spent at a site.

`plan` needs no data. It says what epsilon the rounds of a job cost a patient, how large the noise is beside the signal
of a site's patients, and what Dice to expect, if this project has an experiment of such a job with as many patients.
`status` reads the ledger of a site's kit.

example:
  fedbrats privacy plan fine_tuned_dp --patients 40 --set num_rounds=10
  fedbrats privacy plan fedavg_dp --patients 300 --set dp_epsilon=8
  fedbrats privacy status provisioned/hospital-north
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from fedbrats.api.jobs import wrong_arguments
from fedbrats.cli.arguments import whole_number
from fedbrats.cli.job_arguments import add_set_argument, read_settings
from fedbrats.cli.output import print_json, print_line, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `privacy plan` and `privacy status`."""
    actions = parser.add_subparsers(dest="action", metavar="plan|status", required=True)
    plan = actions.add_parser("plan", help="what a job would cost a patient, and how much noise it adds")
    plan.add_argument("name", metavar="JOB", help="a job with differential privacy, such as fine_tuned_dp")
    plan.add_argument("--patients", type=whole_number(1), required=True, help="training patients of the smallest site")
    add_set_argument(plan)
    status = actions.add_parser("status", help="what the ledger of a site's kit says")
    status.add_argument("kit", type=Path, help="the site's startup kit (the folder that holds startup/ and local/)")
    for action in (plan, status):
        action.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Plan, or show."""
    return _plan(args) if args.action == "plan" else _status(args)


def _plan(args: argparse.Namespace) -> int:
    from fedbrats.errors import ConfigurationError
    from fedbrats.jobs.plan import read_plan
    from fedbrats.jobs.private import is_private, solved_noise
    from fedbrats.model.network import SegmentationNetwork
    from fedbrats.privacy.accounting import PrivateSteps, epsilon, epsilon_bound
    from fedbrats.privacy.curves import expect_gain

    with wrong_arguments():
        plan = read_plan(args.name, read_settings(args))
    values = plan.variables
    if not is_private(values):
        raise ConfigurationError(f"the job {args.name} trains without differential privacy; set dp_noise or dp_epsilon")
    noise = solved_noise(values) or values["dp_noise"]
    steps = plan.rounds * values["local_steps"]
    cost = [PrivateSteps(noise, values["dp_rate"], steps)]
    network = SegmentationNetwork(**plan.network)
    state = network.state_dict()
    numbers = sum(state[name].numel() for name in network.personal_names(values["trainable"]))
    document: dict[str, Any] = {
        "job": args.name,
        "patients": args.patients,
        "rounds": plan.rounds,
        "steps": steps,
        "noise": noise,
        "rate": values["dp_rate"],
        "delta": values["dp_delta"],
        "epsilon": epsilon(cost, values["dp_delta"]),
        "epsilon_bound": epsilon_bound(cost, values["dp_delta"]),
        "trained_numbers": numbers,
        "noise_to_signal": noise * math.sqrt(numbers) / (values["dp_rate"] * args.patients),
        "delta_is_small_enough": values["dp_delta"] < 1 / args.patients,
    }
    document["expected"] = expect_gain(values, args.patients, document["epsilon"])
    if args.json:
        print_json(document)
        return 0
    shown = [(name.replace("_", " "), value) for name, value in document.items() if name != "expected"]
    print_table(["what", "value"], shown)
    print_line(
        f"epsilon is of one patient over all {plan.rounds} rounds. In one step the noise is as long as "
        f"{document['noise_to_signal']:.1f} times the most that all patients of the site can say together."
    )
    print_line(_say_expected(document))
    if not document["delta_is_small_enough"]:
        print_line(f"dp_delta should be below one over the number of patients, {1 / args.patients:.2g}.")
    return 0


def _say_expected(plan: dict[str, Any]) -> str:
    expected = plan["expected"]
    if expected is None:
        return (
            "Dice: no curve. None of our experiments is about this network and these trained weights at this epsilon "
            "and with so many patients (docs/guide/privacy.md has them all)."
        )
    return (
        f"Dice: by our curve ({expected['sites']} sites, {expected['data']}) expect {expected['gain']:+.3f} over the "
        f"start at epsilon {plan['epsilon']:.3g}; without noise it was {expected['without_noise']:+.3f}. Your data and "
        f"settings may do otherwise."
    )


def _status(args: argparse.Namespace) -> int:
    from fedbrats.privacy.accounting import epsilon
    from fedbrats.privacy.ledger import Ledger
    from fedbrats.site.privacy_account import ledger_path, spent_by_job
    from fedbrats.site.site_file import read_site_facts

    site = args.kit.resolve().name
    facts = read_site_facts(args.kit / "local", site)
    path = ledger_path(facts, site)
    entries = Ledger(path).read()
    jobs = spent_by_job(entries, facts.budget)
    budget = facts.budget
    spent = epsilon([entry.cost for entry in entries], budget.delta) if budget else None
    document = {
        "site": site,
        "ledger": str(path),
        "lines": len(entries),
        "budget": None if budget is None else budget.model_dump(),
        "epsilon": spent,
        "left": None if budget is None or spent is None else max(0.0, budget.epsilon - spent),
        "jobs": jobs,
    }
    if args.json:
        print_json(document)
        return 0
    columns = ("job", "last", "rounds", "steps", "noise", "rate", "epsilon", "delta")
    print_table(columns, [[row[name] for name in columns] for row in jobs], title=f"{site}: {path}")
    if budget is None or spent is None:
        print_line("The site file has no privacy_budget: no job is refused for what it costs.")
    else:
        print_line(
            f"All jobs together: epsilon {spent:.2f} of {budget.epsilon:g} at delta {budget.delta:g}. The epsilons of "
            f"jobs do not add up to it: together they cost less than one after the other."
        )
    return 0
