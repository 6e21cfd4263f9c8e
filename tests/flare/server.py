"""A FLARE server's job process without the network: the real controller, communicator, persistor, selector, recorder.

Sites are threads that ask for tasks and answer as FLARE's own clients do.
"""

from __future__ import annotations

import importlib
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.client import Client
from nvflare.apis.dxo import DXO, DataKind, MetaKey, from_shareable
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.impl.wf_comm_server import WFCommServer
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.model import ModelLearnableKey
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.shareablegenerators.full_model_shareable_generator import FullModelShareableGenerator
from nvflare.app_common.widgets.intime_model_selector import IntimeModelSelector
from nvflare.app_opt.pt.file_model_persistor import PTFileModelPersistor

from fedbrats.flare.protocol import REPORT_KEY
from fedbrats.flare.server.recorder import Recorder
from fedbrats.flare.server.workflow import QuorumScatterAndGather
from fedbrats.methods.contribution import ContributionFactor
from fedbrats.model.network import SegmentationNetwork
from fedbrats.rows import ROWS_FILE, ROWS_FOLDER, read_rows
from tests.flare.conftest import Room, gated

POLL_S = 0.005
# Every deadline is as long as the first, and the pause between two attempts, which the floor bounds, is none.
QUICK = {"min_clients": 2, "min_case_share": 0.0, "first_deadline_s": 20.0, "attempts": 2}
QUICK |= {"deadline_floor_s": 0.1, "deadline_factor": 1e4}
REGIONS = ("mean", "WT", "TC", "ET")


class Killed(BaseException):
    """What a process that is killed does not live to see."""


class ServerRoom(Room):
    """A server's engine that knows its sites."""

    def __post_init__(self):
        super().__post_init__()
        self.clients: dict[str, Client] = {}
        self.abort_signal = Signal()
        self.said: list[str] = []
        self.kill_at: tuple[str, int] | None = None

    def get_clients(self):
        return list(self.clients.values())

    def sync_clients_from_main_process(self):
        pass

    def build_component(self, config):
        module, _, name = config["path"].rpartition(".")
        return getattr(importlib.import_module(module), name)(**config["args"])

    def persist_components(self, fl_ctx, completed):
        pass

    def fire_event(self, event_type, fl_ctx):
        if event_type == "_fatal_system_error":
            self.said.append(fl_ctx.get_prop(FLContextKey.EVENT_DATA))
            self.abort_signal.trigger(True)
        if (event_type, fl_ctx.get_prop(AppConstants.CURRENT_ROUND)) == self.kill_at:
            self.abort_signal.trigger(True)
            raise Killed
        super().fire_event(event_type, fl_ctx)


def train(site: str, round_number: int, weights: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], float]:
    """What an honest site makes of a model, the same for the same model: (update, Dice of the model it got)."""
    rng = np.random.default_rng([zlib.crc32(site.encode()), round_number])
    own = {name: rng.normal(scale=0.01, size=np.shape(value)).astype(np.float32) for name, value in weights.items()}
    update = {name: (own[name] - np.float32(0.01) * value).astype(np.float32) for name, value in weights.items()}
    score = 0.5 + 0.1 * np.tanh(float(sum(np.sum(value, dtype=np.float64) for value in weights.values())))
    return update, float(score)


NO_ANSWER = Shareable()  # of a behaviour: the site keeps the task and asks for more
Behaviour = Callable[["Server", str, int, dict[str, np.ndarray]], Shareable | None]
Other = Callable[["Server", str, str, Shareable], Shareable | None]


def honest(server: Server, site: str, round_number: int, weights: dict[str, np.ndarray]) -> Shareable | None:
    """Answer at once."""
    update, score = train(site, round_number, weights)
    return answer(update, score, round_number)


def answer(update: dict[str, np.ndarray], score: float, round_number: int, cases: int = 10) -> Shareable:
    """A site's answer as its executor makes it."""
    stages = {
        stage: {metric: dict.fromkeys(REGIONS, value) for metric in ("dice", "iou")}
        for stage, value in (("received", score), ("trained", score + 0.01))
    }
    report = {"training_cases": cases, "validation_cases": 3, "steps": 5, "begins": "kept", **stages}
    meta = {REPORT_KEY: report, MetaKey.NUM_STEPS_CURRENT_ROUND: 5, MetaKey.INITIAL_METRICS: {"val_dice": score}}
    shareable = DXO(DataKind.WEIGHT_DIFF, data=update, meta=meta).to_shareable()
    shareable.add_cookie(AppConstants.CONTRIBUTION_ROUND, round_number)
    return shareable


class Server:
    """One job on a server whose kit is `root`."""

    def __init__(
        self,
        root: Path,
        job_id: str,
        sites: tuple[str, ...] = ("a", "b", "c"),
        *,
        aggregator: Any = None,
        generator: Any = None,
        rounds: int = 5,
        participation: dict[str, Any] | None = None,
        behaviour: Behaviour = honest,
        meta: dict[str, Any] | None = None,
        **controller: Any,
    ):
        self.controller = QuorumScatterAndGather(
            participation={**QUICK, **(participation or {})},
            num_rounds=rounds,
            task_check_period=POLL_S,
            persistor_id="persistor",
            train_task_name="train",
            memory_gc_rounds=0,
            **controller,
        )
        self.communicator = WFCommServer()
        self.controller.set_communicator(self.communicator)
        self.communicator._task_check_period = POLL_S
        self.behaviour = behaviour
        self.meta = meta or {}  # of the job, as its submission left it
        self.others: Other | None = None  # what sites do at tasks that are not to train
        self.names: dict[str, str] = {}  # a site that lies -> whose name it gives with its answers
        components = {
            "network": SegmentationNetwork("tiny"),
            "persistor": PTFileModelPersistor(model="network", load_device="cpu"),
            "shareable_generator": generator or FullModelShareableGenerator(),
            "aggregator": aggregator or gated(ContributionFactor),
            "model_selector": IntimeModelSelector(key_metric="val_dice", weigh_by_local_iter=True),
            "recorder": Recorder(),
            "controller": self.controller,
            "communicator": self.communicator,
        }
        self.room = ServerRoom(root, job_id=job_id, components=components)
        self.sites = sites
        self.threads: list[threading.Thread] = []

    def run(self, kill_at: tuple[str, int] | None = None) -> Server:
        """Run the job to its end, or until it is killed at an event of a round."""
        self.room.kill_at = kill_at
        app_root = self.room.root / self.room.job_id / "app_server"
        app_root.mkdir(parents=True, exist_ok=True)
        try:
            with self.room.new_context() as fl_ctx:
                fl_ctx.set_prop(FLContextKey.APP_ROOT, str(app_root), private=True, sticky=True)
                fl_ctx.set_prop(FLContextKey.JOB_META, self.meta, private=True, sticky=True)
                self.room.fire_event("_start_run", fl_ctx)
            for site in self.sites:
                self.join(site)
            with self.room.new_context() as fl_ctx:
                self.communicator.initialize_run(fl_ctx)
                self.controller.initialize(fl_ctx)
            with self.room.new_context() as fl_ctx:
                self.controller.control_flow(self.room.abort_signal, fl_ctx)
        except Killed:
            pass
        finally:
            self.room.abort_signal.trigger(True)
            self.communicator._all_done = True
            for thread in self.threads:
                thread.join(30)
        return self

    def join(self, site: str) -> None:
        """A site comes, and asks for tasks until the job has ended."""
        client = Client(site, f"token of {site}")
        self.room.clients[client.token] = client
        thread = threading.Thread(target=self._work, args=(client,), daemon=True)
        self.threads.append(thread)
        thread.start()

    def _work(self, client: Client) -> None:
        while not self.room.abort_signal.triggered:
            with self.room.new_context() as fl_ctx:
                self._introduce(client, None, fl_ctx)
                name, task_id, data = self.communicator.process_task_request(client, fl_ctx)
            if name == "train":
                number = data.get_header(AppConstants.CURRENT_ROUND)
                result = self.behaviour(self, client.name, number, from_shareable(data).data)
            elif name and self.others:
                result = self.others(self, client.name, name, data)
            else:
                time.sleep(POLL_S)
                continue
            if result is None:
                return
            if result is NO_ANSWER:
                continue
            try:
                with self.room.new_context() as fl_ctx:
                    self._introduce(client, result, fl_ctx)
                    self.communicator.process_submission(client, name, task_id, result, fl_ctx)
            except Killed:
                return

    def _introduce(self, client: Client, result: Shareable | None, fl_ctx: FLContext) -> None:
        peer = FLContext()
        name = self.names.get(client.name, client.name) if result is not None else client.name
        peer.set_prop(ReservedKey.IDENTITY_NAME, name, private=False, sticky=False)
        if result is not None:
            peer.set_prop(FLContextKey.SHAREABLE, result, private=True, sticky=False)
        fl_ctx.set_peer_context(peer)

    def submit(self, site: str, task_id: str, result: Shareable) -> None:
        """An answer that nobody asked for."""
        client = next(each for each in self.room.clients.values() if each.name == site)
        with self.room.new_context() as fl_ctx:
            self._introduce(client, result, fl_ctx)
            self.communicator.process_submission(client, "train", task_id, result, fl_ctx)

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """The job's rows of a kind."""
        path = self.room.root / self.room.job_id / ROWS_FOLDER / ROWS_FILE
        return [row for row in read_rows(path) if row["kind"] == kind]

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The global model."""
        return dict(self.controller._global_weights[ModelLearnableKey.WEIGHTS])

    @property
    def final(self) -> bytes:
        """The file of the global model."""
        return (self.room.root / self.room.job_id / "app_server" / "FL_global_model.pt").read_bytes()

    @property
    def best(self) -> bytes:
        """The file of the best model."""
        return (self.room.root / self.room.job_id / "app_server" / "best_FL_global_model.pt").read_bytes()
