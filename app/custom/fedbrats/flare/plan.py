"""What a job would train, read from its configuration without starting FLARE, so that other commands train alike."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedbrats.data.cache import CacheSettings
from fedbrats.errors import ConfigurationError
from fedbrats.flare.jobs import build_job, read_variables
from fedbrats.model.training import TrainingSettings

CLIENT_CONFIGURATION = Path("app") / "config" / "config_fed_client.json"


@dataclass(frozen=True)
class TrainingPlan:
    """The training of a job.

    network: the arguments of SegmentationNetwork, its seed among them. variables: the job's, server's and client's.
    """

    rounds: int
    seed: int
    network: dict[str, Any]
    training: TrainingSettings
    preparation: CacheSettings
    variables: dict[str, Any]


def read_plan(job: str, settings: Mapping[str, Any]) -> TrainingPlan:
    """The plan of a job of this house with some variables changed.

    Raises: ConfigurationError for an unknown job, variable or setting.
    """
    with tempfile.TemporaryDirectory(prefix="fedbrats-plan-") as folder:
        job_dir = build_job(job, Path(folder), settings)
        variables = read_variables(job_dir)
        document = json.loads((job_dir / CLIENT_CONFIGURATION).read_text(encoding="utf-8"))
    args = _resolve(document["executors"][0]["executor"]["args"], variables)
    rounds = int(variables["num_rounds"])
    if rounds < 1:
        raise ConfigurationError(f"num_rounds is {rounds}, expected at least 1")
    return TrainingPlan(
        rounds=rounds,
        seed=int(args["seed"]),
        network={"preset": args["network"], "seed": args["seed"], **(args.get("network_options") or {})},
        training=TrainingSettings.from_json(args["training"]),
        preparation=CacheSettings.from_json(args["preparation"]),
        variables=variables,
    )


def _resolve(node: Any, variables: Mapping[str, Any]) -> Any:
    """Replace `"{name}"` by the variable's value, as FLARE does when it loads the configuration."""
    if isinstance(node, dict):
        return {key: _resolve(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_resolve(value, variables) for value in node]
    if isinstance(node, str) and node.startswith("{") and node.endswith("}"):
        return variables[node[1:-1]]
    return node
