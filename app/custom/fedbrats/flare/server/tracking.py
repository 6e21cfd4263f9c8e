"""Training curves for a MLflow server, where the federation's server says that there is one."""

from __future__ import annotations

import os
from pathlib import Path

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_context import FLContext
from nvflare.app_common.widgets.streaming import AnalyticsReceiver

from fedbrats.site.site_file import read_mlflow_uri


class MLflowTracking(FLComponent):
    """Hands what sites stream to FLARE's MLflowReceiver, if the server's own site file has `mlflow_uri`.

    A job may name no address, so that none can send a federation's curves elsewhere. TensorBoard's receiver stays.

    Args:
        events: the events that carry scalars.
    """

    def __init__(self, events: list[str]):
        super().__init__()
        self._events = events
        self._receiver: AnalyticsReceiver | None = None

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Begin with the run, pass everything on."""
        if event_type == EventType.START_RUN:
            self._receiver = self._open(fl_ctx)
        if self._receiver:
            self._receiver.handle_event(event_type, fl_ctx)

    def _open(self, fl_ctx: FLContext) -> AnalyticsReceiver | None:
        """The receiver, or None. A tracking server is no reason to lose a training: what is wrong is logged."""
        uri = read_mlflow_uri(Path(fl_ctx.get_engine().get_workspace().get_site_config_dir()))
        if uri is None:
            return None
        # Else a tracking server that is away would hold every job up for minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        try:
            from nvflare.app_opt.tracking.mlflow.mlflow_receiver import MLflowReceiver
        except ImportError as error:
            self.log_error(fl_ctx, f"no curves go to MLflow, which is not installed at the server ({error})")
            return None
        return MLflowReceiver(tracking_uri=uri, kw_args={"experiment_name": "fedbrats"}, events=self._events)
