"""Fit a trained model to one hospital: train only its personal part on the site's cases, and keep the shared part.

For a hospital that joins after a federated training and has few cases. Uses the settings that the model was trained
with, if the model has them; --set changes them. Writes `personal.npz` for the option --personal of `fedbrats evaluate`
and `fedbrats predict`, and prints the scores before and after.

example:
  fedbrats personalise results/fedper-20260101-120000 sites/new-hospital --personal head --rounds 10
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.api.jobs import wrong_arguments
from fedbrats.cli.arguments import one_run, run_path, whole_number
from fedbrats.cli.cases.findings import tell_recorded
from fedbrats.cli.job_arguments import add_set_argument, read_settings
from fedbrats.cli.output import print_json, print_line, print_table
from fedbrats.cli.progress import say
from fedbrats.data.check.problems import FINDINGS
from fedbrats.data.check.recorded import as_documents
from fedbrats.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from fedbrats.jobs.plan import TrainingPlan
    from fedbrats.model.metrics import CaseScore
    from fedbrats.model.saved import SavedModel
    from fedbrats.model.settings import TrainingSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", nargs="+", type=run_path, metavar="MODEL", help="a model file or a results folder")
    parser.add_argument("site", type=Path, metavar="SITE_DIR", help="the hospital's folder with its datalist.json")
    parser.add_argument(
        "--personal",
        default="head",
        help="part to train: head, decoder, norm, or prefixes of names that end with a dot",
    )
    parser.add_argument(
        "--rounds", type=whole_number(1), default=10, help="number of rounds, as the job counts them (default: 10)"
    )
    parser.add_argument("--out", type=Path, help="results folder (default: results/personalise-<time>)")
    parser.add_argument("--cache", type=Path, default=Path("build/cache"), help="folder of prepared cases")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    add_set_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document on standard output")


def run(args: argparse.Namespace) -> int:
    """Train the personal part, evaluate before and after, save."""
    from fedbrats.atomic import write_json_atomic
    from fedbrats.data.prepare.site_cases import read_site
    from fedbrats.jobs.plan import read_plan
    from fedbrats.model.metrics import summarise
    from fedbrats.model.saved import load_model
    from fedbrats.model.training.personalisation import train_personal_part
    from fedbrats.model.training.trainer import Trainer
    from fedbrats.run_folder import SUMMARY_FILE, new_run
    from fedbrats.site.hooks.choice import choose_step_hooks
    from fedbrats.site.personal import PERSONAL_FILE, save_personal

    out = args.out or new_run(Path("results"), "personalise")
    given = one_run(args.model)
    model = load_model(given)
    names = _personal_names(model, args.personal)
    changes = read_settings(args)
    with wrong_arguments():
        plan = read_plan("fedavg", changes)
    training = _settings_of(model, plan, changes)
    findings = tell_recorded("personalise", [args.site])
    site = read_site(args.site, args.cache, model.preparation)
    if not site.training:
        raise DataError(f"{args.site} has no training case, so there is nothing to fit the model to")
    trainer = Trainer(
        model.network_options, training, site.training, site.validation, seed=plan.seed, device=args.device
    )
    trainer.set_weights({name: value.numpy() for name, value in model.network.state_dict().items()})
    before = [] if model.untrained else trainer.evaluation.score()  # what was never trained is nothing to compare with
    personal = train_personal_part(
        trainer,
        names,
        args.rounds,
        lambda number, outcome: say(f"personalise: round {number + 1}/{args.rounds}, loss {outcome.loss:.3f}"),
        choose_step_hooks(training),
    )
    after = trainer.evaluation.score()
    save_personal(out, personal)
    document = {
        "model": str(given),
        "site": site.name,
        "personal": args.personal,
        "names": len(personal),
        "training_cases": len(site.training),
        "validation_cases": len(after),
        "before": summarise(before) if before else None,
        "after": summarise(after) if after else None,
        "weights": str(out / PERSONAL_FILE),
        FINDINGS: as_documents(findings),
    }
    write_json_atomic(out / SUMMARY_FILE, document)
    if args.json:
        print_json(document)
    else:
        _print_scores(site.name, before, after)
        print_line(f"the personal weights are in {out / PERSONAL_FILE}")
    return 0


def _print_scores(site: str, before: Sequence[CaseScore], after: Sequence[CaseScore]) -> None:
    from fedbrats.model.metrics import summarise

    if after:
        stages = (("as it came", before), ("personal", after))
        rows = [(name, *summarise(scores)["dice"].values()) for name, scores in stages if scores]
        print_table(("model", "Dice", "WT", "TC", "ET"), rows, title=f"{site}: {len(after)} validation cases")


def _personal_names(model: SavedModel, personal: str) -> tuple[str, ...]:
    """The names to train. Raises: ConfigurationError where others are untrained too and would stay so."""
    names = model.network.personal_names(personal)
    if names and (left := sorted(set(model.untrained) - set(names))):
        raise ConfigurationError(
            f"{left[0]!r} of {model.path} is untrained, as the sites of its job never shared it, and --personal "
            f"{personal} would leave it so; give --personal {model.personal}"
        )
    return names


def _settings_of(model: SavedModel, plan: TrainingPlan, changes: Mapping[str, Any]) -> TrainingSettings:
    """The settings that the model was trained with, where it says them, with `changes` over them."""
    from fedbrats.model.settings import TrainingSettings

    own = {
        **plan.training.model_dump(),
        **model.settings,
        "inference_window": model.window,
        "component_share": model.component_share,
    }
    return TrainingSettings.from_json({**own, **{name: value for name, value in changes.items() if name in own}})
