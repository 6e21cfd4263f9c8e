"""Training curves for TensorBoard, and for a MLflow server where the federation's server says that there is one.

They are made from the recorder's rows: a site streams no curve, and no name or file of one is its choice.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_context import FLContext
from nvflare.app_common.app_event_type import AppEventType

from fedbrats.flare.job_folder import local_folder
from fedbrats.flare.server.rows_file import rows_path
from fedbrats.site.site_file import read_server_facts

CURVES_FOLDER = "curves"  # beside the rows, a folder a site
EXPERIMENT = "fedbrats"
STAGES = ("received", "trained")  # of the metrics that are a curve
Scalars = dict[str, float]


class Curves(FLComponent):
    """Writes what the rows say of each site and round, when a round is done and when the job ends.

    A job may name no address, so that none can send a federation's curves elsewhere. A disk or a tracking server that
    fails is no reason to lose a training: what is wrong is logged, once, and no more goes there.
    """

    def __init__(self) -> None:
        super().__init__()
        self._read_bytes = 0
        self._writers: list[TensorBoardCurves | MLflowCurves] = []

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Begin with the run, follow its rounds, end with it."""
        if event_type == EventType.START_RUN:
            self._writers = self._open(fl_ctx)
        elif event_type in (AppEventType.ROUND_DONE, EventType.END_RUN):
            self._write(rows_path(fl_ctx), fl_ctx)
            if event_type == EventType.END_RUN:
                self._each(fl_ctx, lambda writer: writer.close())

    def _open(self, fl_ctx: FLContext) -> list[TensorBoardCurves | MLflowCurves]:
        writers: list[TensorBoardCurves | MLflowCurves] = [TensorBoardCurves(rows_path(fl_ctx).parent / CURVES_FOLDER)]
        if uri := read_server_facts(local_folder(fl_ctx)).mlflow_uri:
            writers.append(MLflowCurves(uri, str(fl_ctx.get_job_id())))
        return writers

    def _write(self, path: Path, fl_ctx: FLContext) -> None:
        try:
            with path.open("rb") as stream:
                stream.seek(self._read_bytes)
                whole, _, _ = stream.read().rpartition(b"\n")
        except OSError:
            return  # no row is written yet
        self._read_bytes += len(whole) + 1 if whole else 0
        points = scalars_of(json.loads(line) for line in whole.splitlines())
        if points:
            self._each(fl_ctx, lambda writer: writer.write(points))

    def _each(self, fl_ctx: FLContext, do: Any) -> None:
        for writer in list(self._writers):
            try:
                do(writer)
            except Exception as error:  # of the disk, the network or another library: none is worth a training
                self._writers.remove(writer)
                self.log_error(fl_ctx, f"no more curves go to {writer.name}: {error!r:.200}")


def scalars_of(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], Scalars]:
    """What becomes a curve, by site and round: `seconds`, `loss` and `dice_STAGE_REGION`."""
    points: dict[tuple[str, int], Scalars] = defaultdict(dict)
    for row in rows:
        if row["kind"] == "site" and row["accepted"]:
            said = {"loss": row.get("loss"), "seconds": (row.get("seconds") or {}).get("training")}
        elif row["kind"] == "metrics" and row["stage"] in STAGES:
            said = {f"dice_{row['stage']}_{row['region']}": row["dice"]}
        else:
            continue
        points[row["site"], row["round"]].update({name: value for name, value in said.items() if value is not None})
    return dict(points)


class TensorBoardCurves:
    """Event files under a folder, one folder a site."""

    name = "TensorBoard"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Any] = {}

    def write(self, points: Mapping[tuple[str, int], Scalars]) -> None:
        """Add points. Raises: OSError, ValueError for a site whose name is no name of a folder."""
        for (site, step), scalars in points.items():
            if site not in self._files:
                self._files[site] = self._open(site)
            for name, value in scalars.items():
                self._files[site].add_scalar(name, value, step)
            self._files[site].flush()

    def close(self) -> None:
        """End the files."""
        for each in self._files.values():
            each.close()

    def _open(self, site: str) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        if Path(site).name != site or site in ("", ".", "..") or not site.isprintable():
            raise ValueError(f"{site!r} is no name of a folder")
        return SummaryWriter(str(self._folder / site))


class MLflowCurves:
    """Runs of a MLflow server, one a site, in the experiment `fedbrats`."""

    name = "MLflow"

    def __init__(self, uri: str, job_id: str) -> None:
        # Else a tracking server that is away would hold every job up for minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        self._uri, self._job_id = uri, job_id
        self._client: Any = None
        self._experiment: str | None = None
        self._runs: dict[str, str] = {}

    def write(self, points: Mapping[tuple[str, int], Scalars]) -> None:
        """Send points. Raises: ImportError where the server has no MLflow, MlflowException where it does not answer."""
        from mlflow import MlflowClient
        from mlflow.entities import Metric

        if self._client is None:
            self._client = MlflowClient(self._uri)
            found = self._client.get_experiment_by_name(EXPERIMENT)
            self._experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
        at = int(time.time() * 1000)
        for (site, step), scalars in points.items():
            if site not in self._runs:
                tags = {"job_id": self._job_id, "site": site}
                run = self._client.create_run(self._experiment, run_name=f"{site}-{self._job_id[:6]}", tags=tags)
                self._runs[site] = run.info.run_id
            self._client.log_batch(self._runs[site], [Metric(name, v, at, step) for name, v in scalars.items()])

    def close(self) -> None:
        """End the runs."""
        for run in self._runs.values():
            self._client.set_terminated(run)
