"""What a job would train, read from its configuration without starting FLARE, so that other commands train alike."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedbrats.data.prepare.settings import CacheSettings
from fedbrats.errors import ConfigurationError
from fedbrats.federation.sharing import personal_at_last
from fedbrats.jobs.build import find_job, outline_job, read_variables
from fedbrats.jobs.named_classes import check_named_classes, named_classes, try_own_methods
from fedbrats.jobs.settings import check_job
from fedbrats.jobs.start import AUTO, GIVEN, NONE, read_start
from fedbrats.model.presets import PRESETS, WHOLE_SETS
from fedbrats.model.settings import TrainingSettings

CLIENT_CONFIGURATION = Path("app") / "config" / "config_fed_client.json"


@dataclass(frozen=True)
class TrainingPlan:
    """The training of a job.

    network: the arguments of SegmentationNetwork, its seed among them. personal: of the last models.
    variables: the job's, server's and client's.
    """

    rounds: int
    seed: int
    network: dict[str, Any]
    personal: str
    training: TrainingSettings
    preparation: CacheSettings
    variables: dict[str, Any]


def read_plan(job: str, settings: Mapping[str, Any]) -> TrainingPlan:
    """The plan of a job that is shipped with some variables changed.

    Raises: ConfigurationError for an unknown job, variable or setting, and for a job that trains nothing.
    """
    source = find_job(job)
    if source.needs_models:
        raise ConfigurationError(f"the job {job} evaluates given models and trains nothing; name a job that trains")
    with tempfile.TemporaryDirectory(prefix="fedbrats-plan-") as folder:
        return _plan_of(outline_job(source, Path(folder), settings))


def check_settings(job: str, settings: Mapping[str, Any]) -> None:
    """Find out before anything starts whether a job can be run with these variables.

    Of a job that evaluates given models this is what the job itself says; what the models say is theirs.
    Raises: ConfigurationError for a variable, setting, network or personal set that cannot be.
    """
    source = find_job(job)
    if not source.needs_models:
        _check_plan(read_plan(job, settings))
        return
    from fedbrats.model.network import SegmentationNetwork

    with tempfile.TemporaryDirectory(prefix="fedbrats-plan-") as folder:
        _, args = _read_configuration(outline_job(source, Path(folder), settings))
    TrainingSettings.from_json(args["training"])
    CacheSettings.from_json(args["preparation"])
    SegmentationNetwork(**_network_of(args))


def check_built(job_dir: Path) -> None:
    """The same for a built job that trains, with the variables that it has. Raises: ConfigurationError."""
    _check_plan(_plan_of(job_dir))


def _check_plan(plan: TrainingPlan) -> None:
    """Find what the plan names in its network; one that is shipped has all that its words mean."""
    check_named_classes(plan.variables)  # first, for it brings PyTorch only where a class needs it
    try_own_methods(plan.variables, plan.network)
    if _needs_no_network(plan):
        return
    from fedbrats.model.network import SegmentationNetwork
    from fedbrats.model.training.loss import build_loss
    from fedbrats.model.training.trial import try_step
    from fedbrats.model.training.weights import freeze_others

    network = SegmentationNetwork(**plan.network)
    freeze_others(network, plan.training.trainable)
    loss = build_loss(plan.training.loss, plan.training.bce_weight)
    if any(variable in ("network", "loss") for variable, _ in named_classes(plan.variables)):
        try_step(network, loss)
    if (start := str(plan.variables.get("start", NONE))) != GIVEN:  # a given one is in the job already
        read_start(start, plan.network)
    for personal in (plan.personal, str(plan.variables["personal"])):
        network.personal_names(personal)


def _needs_no_network(plan: TrainingPlan) -> bool:
    """Whether a plan names nothing that has to be looked for in a network: PyTorch takes seconds to import."""
    return (
        isinstance(plan.network["preset"], str)
        and plan.network["preset"] in PRESETS
        and plan.training.loss == TrainingSettings().loss
        and {plan.personal, str(plan.variables["personal"])} <= set(WHOLE_SETS)
        and plan.training.trainable == TrainingSettings().trainable
        and plan.variables.get("start", NONE) in (NONE, AUTO)
    )


def _plan_of(job_dir: Path) -> TrainingPlan:
    """The plan of the configuration of a job that trains."""
    variables, args = _read_configuration(job_dir)
    return TrainingPlan(
        rounds=variables["num_rounds"],
        seed=args["seed"],
        network=_network_of(args),
        personal=personal_at_last(str(args["personal"]), args["personal_rounds"]),
        training=TrainingSettings.from_json(args["training"]),
        preparation=CacheSettings.from_json(args["preparation"]),
        variables=variables,
    )


def _read_configuration(job_dir: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A job's variables, checked, and the arguments of its executor. Raises: ConfigurationError."""
    variables = read_variables(job_dir)
    document = json.loads((job_dir / CLIENT_CONFIGURATION).read_text(encoding="utf-8"))
    check_job(variables)
    return variables, _resolve(document["executors"][0]["executor"]["args"], variables)


def _network_of(args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of SegmentationNetwork in those of an executor."""
    return {"preset": args["network"], "seed": args["seed"]}


def _resolve(node: Any, variables: Mapping[str, Any]) -> Any:
    """Replace `"{name}"` by the variable's value, as FLARE does when it loads the configuration."""
    if isinstance(node, dict):
        return {key: _resolve(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_resolve(value, variables) for value in node]
    if isinstance(node, str) and node.startswith("{") and node.endswith("}"):
        return variables[node[1:-1]]
    return node
