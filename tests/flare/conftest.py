"""A FLARE server or site in one process: real contexts, workspaces and components, without the transport."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.fl_constant import FLContextKey, ReservedKey, WorkspaceConstants
from nvflare.apis.fl_context import FLContext, FLContextManager
from nvflare.apis.shareable import Shareable
from nvflare.apis.workspace import Workspace
from nvflare.app_common.abstract.model import make_model_learnable
from nvflare.app_common.app_constant import AppConstants

from fedbrats.flare.protocol import REPORT_KEY
from fedbrats.flare.server.gated_aggregator import TOTAL_ROUNDS, GatedAggregator
from fedbrats.model.network import SegmentationNetwork

JOB_ID = "job-1"
GATES = ("network_id", "personal", "personal_rounds", "memory_mb", "clip_multiple", "weight_power", "secure")


def gated(method: Callable[..., Any], **arguments: Any) -> GatedAggregator:
    """FLARE's aggregator around a method, with the arguments of both."""
    gates = {name: arguments.pop(name) for name in GATES if name in arguments}
    return GatedAggregator(method(**arguments), **gates)


@dataclass
class Room:
    """What components ask of an engine: a workspace, the other components, and events passed on."""

    root: Path
    identity: str = "server"
    job_id: str = JOB_ID
    components: dict[str, Any] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    def __post_init__(self):
        for folder in (WorkspaceConstants.STARTUP_FOLDER_NAME, WorkspaceConstants.SITE_FOLDER_NAME, self.job_id):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        self.workspace = Workspace(str(self.root), site_name=self.identity)
        self.contexts = FLContextManager(engine=self, identity_name=self.identity, job_id=self.job_id)

    def new_context(self) -> FLContext:
        return self.contexts.new_context()

    def get_workspace(self) -> Workspace:
        return self.workspace

    def get_component(self, name: str) -> Any:
        return self.components.get(name)

    def get_clients(self) -> list[Any]:
        return []

    def fire_event(self, event_type: str, fl_ctx: FLContext) -> None:
        self.events.append(event_type)
        for component in self.components.values():
            if hasattr(component, "handle_event"):
                component.handle_event(event_type, fl_ctx)


class Federation:
    """One round at a time of a server with an aggregator and a recorder."""

    def __init__(self, root: Path, aggregator, recorder):
        self.network = SegmentationNetwork("tiny")
        self.weights = {name: value.numpy().copy() for name, value in self.network.state_dict().items()}
        self.room = Room(root, components={"network": self.network, "aggregator": aggregator, "recorder": recorder})
        self.aggregator = aggregator
        self.total_rounds = 25
        with self.room.new_context() as fl_ctx:
            self.room.fire_event("_start_run", fl_ctx)

    def answer(self, site: str, round_number: int, update, cases=10, gain=0.0, **report) -> Shareable:
        """What the executor of a site would send."""
        stages = {
            stage: {
                "dice": dict.fromkeys(("mean", "WT", "TC", "ET"), dice),
                "iou": dict.fromkeys(("mean", "WT", "TC", "ET"), dice),
            }
            for stage, dice in (("received", 0.5), ("trained", 0.5 + gain))
        }
        meta = {REPORT_KEY: {"training_cases": cases, "steps": 5, "validation_cases": 3, **stages, **report}}
        shareable = DXO(DataKind.WEIGHT_DIFF, data=update, meta=meta).to_shareable()
        shareable.add_cookie(AppConstants.CONTRIBUTION_ROUND, round_number)
        return shareable

    def round(self, round_number: int, answers: dict[str, Shareable]):
        """Accept the answers in the order given; returns (who was accepted, the aggregated DXO)."""
        accepted, result = self._round(round_number, list(answers.items()))
        return dict(accepted), result

    def accept_twice(self, round_number: int, site: str, first, second):
        """One site answers twice; returns the aggregated DXO."""
        answers = [(site, self.answer(site, round_number, update)) for update in (first, second)]
        return self._round(round_number, answers)[1]

    def _round(self, round_number: int, answers: list[tuple[str, Shareable]]):
        from nvflare.apis.dxo import from_shareable

        accepted = []
        with self.room.new_context() as fl_ctx:
            fl_ctx.set_prop(
                AppConstants.GLOBAL_MODEL, make_model_learnable(self.weights, {}), private=True, sticky=True
            )
            fl_ctx.set_prop(AppConstants.CURRENT_ROUND, round_number, private=True, sticky=True)
            fl_ctx.set_prop(TOTAL_ROUNDS, self.total_rounds, private=True, sticky=True)
            for site, shareable in answers:
                peer = FLContext()
                peer.set_prop(ReservedKey.IDENTITY_NAME, site, private=False, sticky=False)
                fl_ctx.set_peer_context(peer)
                fl_ctx.set_prop(FLContextKey.SHAREABLE, shareable, private=True, sticky=False)
                accepted.append((site, self.aggregator.accept(shareable, fl_ctx)))
            result = from_shareable(self.aggregator.aggregate(fl_ctx))
            self.aggregator.reset(fl_ctx)
        return accepted, result

    def rows(self, kind: str) -> list[dict]:
        from fedbrats.rows import ROWS_FILE, ROWS_FOLDER, read_rows

        path = self.room.root / JOB_ID / ROWS_FOLDER / ROWS_FILE
        return [row for row in read_rows(path) if row["kind"] == kind]

    def random_update(self, seed: int, scale: float = 1e-3) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        return {name: (scale * rng.normal(size=value.shape)).astype(np.float32) for name, value in self.weights.items()}


@pytest.fixture
def new_federation(tmp_path):
    """Make a federation around an aggregator; `again=True` restarts the server in the same run folder."""
    from fedbrats.flare.server.recorder import Recorder

    return lambda aggregator, folder="server": Federation(tmp_path / folder, aggregator, Recorder())
