"""The state that a job goes on from: found, judged, and whose it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.job_def import JobMetaKey

from fedbrats.errors import FedbratsError
from fedbrats.flare.kit.signers import PROJECT_ADMIN
from fedbrats.flare.server.state.stored import ServerState, load_state


@dataclass(frozen=True)
class Submitter:
    """Who submitted a job."""

    name: str | None = None
    role: str | None = None

    @classmethod
    def of(cls, job_meta: Mapping[str, Any]) -> Submitter:
        """The submitter in a job's meta."""
        return cls(job_meta.get(JobMetaKey.SUBMITTER_NAME.value), job_meta.get(JobMetaKey.SUBMITTER_ROLE.value))


@dataclass(frozen=True)
class Found:
    """The state of an earlier job, and a sentence for each newer one that cannot be read."""

    job_id: str
    state: ServerState
    broken: tuple[str, ...]


def find_state(state_dir: Path, job_ids: Sequence[str], submitter: Submitter) -> Found:
    """The state to go on from: that of the first of the jobs that has one.

    Args:
        state_dir: where this server keeps the states of its jobs.
        job_ids: newest first.
        submitter: of the job that goes on.

    Raises: FedbratsError where there is none, none can be read, or it is somebody else's.
    """
    broken: list[str] = []
    for job_id in job_ids:
        state, unreadable = load_state(state_dir / job_id)
        broken += unreadable
        if state is not None:
            _check_owner(job_id, state, submitter)
            return Found(job_id, state, tuple(broken))
    raise FedbratsError(
        f"this server has no state of job {job_ids[0]} in {state_dir}: it was kept elsewhere, or "
        "the job ended before its first round; submit it anew, without --resume"
    )


def _check_owner(job_id: str, state: ServerState, submitter: Submitter) -> None:
    if state.submitter != submitter.name and submitter.role != PROJECT_ADMIN:
        whose = f"was submitted by {state.submitter}" if state.submitter else "does not say whose it was"
        raise FedbratsError(f"job {job_id} {whose}: only its submitter or a project admin goes on from its models")


def check_same_network(job_id: str, weights: Mapping[str, Any], state: ServerState) -> None:
    """Refuse a state of another network. Raises: FedbratsError."""
    stored = {name: value.shape for name, value in state.models["global"].weights.items()}
    if {name: np.shape(value) for name, value in weights.items()} != stored:
        raise FedbratsError(f"job {job_id} trained another network than this one; resume it with its own settings")
