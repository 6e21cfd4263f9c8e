"""FLARE's evaluation workflows: an answer names what it was asked for, and becomes rows and no file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.client import Client
from nvflare.apis.controller_spec import ClientTask
from nvflare.apis.dxo import DXO, DataKind, from_shareable
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType
from nvflare.app_common.workflows.cross_site_model_eval import CrossSiteModelEval
from nvflare.app_common.workflows.global_model_eval import GlobalModelEval
from nvflare.widgets.info_collector import InfoCollector

from fedbrats.errors import UpdateError
from fedbrats.federation.sharing import matches
from fedbrats.flare.job_folder import models_folder
from fedbrats.flare.protocol import MODEL_NAME, SILENT_SITES
from fedbrats.flare.server.answers import limit_answers
from fedbrats.flare.server.row_events import fire_rows
from fedbrats.jobs.models import JobModel, read_job_model
from fedbrats.model.network import SegmentationNetwork
from fedbrats.outside import show

FILE_NAME = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,199}")


class _CheckedAnswers:
    """What both workflows do with answers; stands before FLARE's class."""

    def handle_event(self: Any, event_type: str, fl_ctx: FLContext) -> None:
        """As FLARE's, which warns at every question how the job stands where no formatter prints what sites scored."""
        if event_type != InfoCollector.EVENT_TYPE_GET_STATS or self._formatter:
            super().handle_event(event_type, fl_ctx)  # type: ignore[misc]

    def _receive_val_result_cb(self: Any, client_task: ClientTask, fl_ctx: FLContext) -> None:
        """The model is the task's, whatever the answer says."""
        owner = client_task.task.props[AppConstants.MODEL_OWNER]
        result, client_task.result = client_task.result, None
        self._take_in(client_task.client.name, owner, result, fl_ctx)

    def _accept_val_result(self: Any, client_name: str, result: Shareable, fl_ctx: FLContext) -> None:
        """An answer to a task that is over: it names its model itself, and may name one that it was asked about."""
        owner = result.get_cookie(AppConstants.MODEL_OWNER, "")
        if not isinstance(owner, str) or owner not in {*self._server_models, *self._client_models}:
            self._refuse(client_name, f"an evaluation of {show(owner)}, which nobody asked for", fl_ctx)
            return
        self._take_in(client_name, owner, result, fl_ctx)

    def _take_in(self: Any, site: str, owner: str, result: Shareable, fl_ctx: FLContext) -> None:
        """Hand the first answer of a site about a model to the recorder, which makes rows of it."""
        if owner in self._val_results.setdefault(site, {}):
            self._refuse(site, f"a second evaluation of {owner}", fl_ctx)
            return
        self._val_results[site][owner] = {}
        fl_ctx.set_prop(AppConstants.MODEL_OWNER, owner, private=True, sticky=False)
        fl_ctx.set_prop(AppConstants.DATA_CLIENT, site, private=True, sticky=False)
        fl_ctx.set_prop(AppConstants.VALIDATION_RESULT, result, private=True, sticky=False)
        self.fire_event(AppEventType.VALIDATION_RESULT_RECEIVED, fl_ctx)

    def _refuse(self: Any, site: str, message: str, fl_ctx: FLContext) -> None:
        self.log_error(fl_ctx, f"{site} sent {message}: it is not counted")
        row = {"kind": "refusal", "round": None, "site": site, "reason": "not-asked", "message": message}
        fire_rows(self, [row], fl_ctx)

    def _save_dxo_content(self: Any, name: str, save_dir: str, dxo: DXO, fl_ctx: FLContext) -> str:
        """As FLARE's, under a name of a file. Raises: ValueError for any other."""
        if not FILE_NAME.fullmatch(name):
            raise ValueError(f"{show(name)} is no name of a file")
        return super()._save_dxo_content(name, save_dir, dxo, fl_ctx)  # type: ignore[misc]


class FinalEvaluation(_CheckedAnswers, GlobalModelEval):
    """Every site evaluates the server's models after the last round, but for those that were silent in the rounds.

    FLARE would wait `validation_timeout` for a site that refused the job, or never answered. Args: as FLARE's
    GlobalModelEval.
    """

    _participating_clients: list[str]

    def control_flow(self, abort_signal: Signal, fl_ctx: FLContext) -> None:
        """As FLARE's, with the sites that have answered."""
        silent = [site for site in self._participating_clients if site in fl_ctx.get_prop(SILENT_SITES, ())]
        if silent:
            self._participating_clients = [site for site in self._participating_clients if site not in silent]
            self.log_warning(fl_ctx, f"not asked about the final model, for nothing came of them: {', '.join(silent)}")
        super().control_flow(abort_signal, fl_ctx)


class CrossSiteEvaluation(_CheckedAnswers, CrossSiteModelEval):
    """Every site evaluates the job's models, and the personal parts that sites submit.

    Args: as FLARE's CrossSiteModelEval, and
        network: the preset whose names are personal or not.
    """

    def __init__(self, network: str | dict[str, Any] = "fast", **cross_site_model_eval: Any):
        super().__init__(**cross_site_model_eval)
        self._network = SegmentationNetwork(network)

    def start_controller(self, fl_ctx: FLContext) -> None:
        """As FLARE's; no answer is larger than the job's models."""
        super().start_controller(fl_ctx)
        limit_answers(fl_ctx, sum(path.stat().st_size for path in models_folder(fl_ctx).glob("*")))

    def process_result_of_unknown_task(
        self, client: Client, task_name: str, client_task_id: str, result: Shareable, fl_ctx: FLContext
    ) -> None:
        """As FLARE's, but for personal parts that come late: nobody waits for their evaluation."""
        if task_name == self._submit_model_task_name:
            self._refuse(client.name, "personal parts after their time", fl_ctx)
        else:
            super().process_result_of_unknown_task(client, task_name, client_task_id, result, fl_ctx)

    def _accept_local_model(self, client_name: str, result: Shareable, fl_ctx: FLContext) -> None:
        """Have the sites evaluate the personal parts that one submitted, where they belong to models of the job."""
        if result.get_return_code() not in (None, ReturnCode.OK):
            self._refuse(client_name, f"no personal parts ({show(result.get_return_code())})", fl_ctx)
            return
        try:
            parts = read_parts(result, models_folder(fl_ctx), self._network)
        except Exception as error:  # what a site may send has no end; nothing of it may end the evaluation
            self._refuse(client_name, f"personal parts that cannot be used ({show(str(error), 200)})", fl_ctx)
            return
        for name, part in parts.items():
            if f"{client_name}.{name}" not in self._client_models:
                self._save_client_model(f"{client_name}.{name}", part, fl_ctx)


def read_parts(result: Shareable, folder: Path, network: SegmentationNetwork) -> dict[str, DXO]:
    """The personal parts of an answer, by the model of the job that each belongs to.

    Raises: UpdateError, or what FLARE and NumPy raise, where one is not of that model's names and shapes.
    """
    collection = from_shareable(result)
    if collection.data_kind != DataKind.COLLECTION or not isinstance(collection.data, dict):
        raise UpdateError("they are no collection")
    parts = {}
    for name, part in collection.data.items():
        if not isinstance(name, str) or not isinstance(part, DXO) or part.data_kind != DataKind.WEIGHTS:
            raise UpdateError("one is no set of weights")
        expected = _personal_shapes(read_job_model(folder, name), network)
        found = {key: np.shape(value) for key, value in part.data.items() if isinstance(value, np.ndarray)}
        if found != expected or len(part.data) != len(expected):
            raise UpdateError(f"that of {show(name)} has not the names and shapes of its model's")
        parts[name] = DXO(DataKind.WEIGHTS, data=part.data, meta={MODEL_NAME: name})
    return parts


def _personal_shapes(model: JobModel, network: SegmentationNetwork) -> dict[str, tuple[int, ...]]:
    patterns = network.personal_names(model.personal)
    return {name: value.shape for name, value in model.weights.items() if any(matches(name, each) for each in patterns)}
