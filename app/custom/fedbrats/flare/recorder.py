"""The recorder: what happened in a job, as rows, on the server. Rows carry sites, never patients."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nvflare.apis.dxo import from_shareable
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import ReturnCode, Shareable
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType

import fedbrats
from fedbrats.rows import FINAL_ROUND, ROWS_FILE, ROWS_FOLDER, metric_rows

ROWS_EVENT = "fedbrats_rows"  # any component may fire it with rows under the key of the same name
REPORT_KEY = "fedbrats"  # where a site's report stands in the meta of its answer
FINAL_MODEL, BEST_MODEL = "SRV_FL_global_model.pt", "SRV_best_FL_global_model.pt"
KEPT, STORED, FRESH = "kept", "stored", "fresh"  # what a site's round begins with: see SegmentationExecutor
STAGES = {FINAL_MODEL: "final", BEST_MODEL: "best"}


def fire_rows(component: FLComponent, rows: Iterable[Mapping[str, Any]], fl_ctx: FLContext) -> None:
    """Hand rows to whichever recorder listens."""
    fl_ctx.set_prop(ROWS_EVENT, list(rows), private=True, sticky=False)
    component.fire_event(ROWS_EVENT, fl_ctx)


def rows_path(fl_ctx: FLContext) -> Path:
    """The recorder's file of the job that runs here."""
    run_dir = Path(fl_ctx.get_engine().get_workspace().get_run_dir(fl_ctx.get_job_id()))
    return run_dir / ROWS_FOLDER / ROWS_FILE


class Recorder(FLComponent):
    """Appends rows to `fedbrats/rows.jsonl` in the run folder of the server, which the job's download contains."""

    def __init__(self) -> None:
        super().__init__()
        self._path: Path | None = None
        self._began = self._round_began = time.time()
        self._answered: set[str] = set()
        self._refused: set[str] = set()
        self._known: set[str] = set()  # sites that were counted in some round

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Turn FLARE's events into rows."""
        handlers = {
            EventType.START_RUN: self._start,
            AppEventType.ROUND_STARTED: self._start_round,
            AppEventType.AFTER_CONTRIBUTION_ACCEPT: self._record_answer,
            AppEventType.ROUND_DONE: self._end_round,
            AppEventType.VALIDATION_RESULT_RECEIVED: self._record_evaluation,
            ROWS_EVENT: self._record_rows,
            EventType.END_RUN: self._end,
        }
        handler = handlers.get(event_type)
        if handler:
            handler(fl_ctx)

    def _start(self, fl_ctx: FLContext) -> None:
        self._path = rows_path(fl_ctx)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._began = time.time()
        self._write(
            [{"kind": "job", "job_id": fl_ctx.get_job_id(), "version": fedbrats.__version__, "at": self._began}]
        )

    def _start_round(self, _fl_ctx: FLContext) -> None:
        self._round_began = time.time()
        self._answered, self._refused = set(), set()

    def _record_answer(self, fl_ctx: FLContext) -> None:
        site = fl_ctx.get_peer_context().get_identity_name()
        accepted = bool(fl_ctx.get_prop(AppConstants.AGGREGATION_ACCEPTED))
        round_number = fl_ctx.get_prop(AppConstants.CURRENT_ROUND)
        report = _report_of(fl_ctx.get_prop(AppConstants.TRAINING_RESULT))
        if accepted:
            self._answered.add(site)
        metrics = report.pop("received", None), report.pop("trained", None)
        late = time.time() - self._round_began
        row = {"kind": "site", "round": round_number, "site": site, "accepted": accepted, "answered_s": late, **report}
        cases = report.get("validation_cases", 0)
        rows = [row]
        for stage, values in zip(("received", "trained"), metrics, strict=True):
            rows += metric_rows(round_number, site, stage, values, cases)
        if accepted and report.get("begins") == FRESH and site in self._known:
            message = (
                f"{site} has lost what it kept of earlier rounds: its optimiser and its personal weights begin anew"
            )
            self.log_warning(fl_ctx, message)
            rows.append({"kind": "lost", "round": round_number, "site": site, "message": message})
        if accepted:
            self._known.add(site)
        self._write(rows)

    def _end_round(self, fl_ctx: FLContext) -> None:
        clients = {client.name for client in fl_ctx.get_engine().get_clients()}
        row = {
            "kind": "round",
            "round": fl_ctx.get_prop(AppConstants.CURRENT_ROUND),
            "answered": sorted(self._answered),
            "silent": sorted(clients - self._answered - self._refused),
            "seconds": time.time() - self._round_began,
            "ended_at": time.time(),
        }
        if row["silent"]:
            self.log_warning(fl_ctx, f"round {row['round']} closed without {', '.join(row['silent'])}")
        self._write([row])

    def _record_evaluation(self, fl_ctx: FLContext) -> None:
        owner = fl_ctx.get_prop(AppConstants.MODEL_OWNER)
        site = fl_ctx.get_prop(AppConstants.DATA_CLIENT)
        result: Shareable = fl_ctx.get_prop(AppConstants.VALIDATION_RESULT)
        if result.get_return_code() not in (None, ReturnCode.OK):
            self._write([{"kind": "refusal", "round": None, "site": site, "reason": "no-evaluation", "message": owner}])
            return
        report = from_shareable(result).data
        stage = STAGES.get(owner, owner)
        self._write(metric_rows(FINAL_ROUND, site, stage, report["metrics"], report["validation_cases"]))

    def _record_rows(self, fl_ctx: FLContext) -> None:
        rows = fl_ctx.get_prop(ROWS_EVENT) or []
        self._refused |= {row["site"] for row in rows if row["kind"] == "refusal"}
        self._known |= {row["site"] for row in rows if row["kind"] == "site" and row["accepted"]}  # of an earlier job
        self._write(rows)

    def _end(self, fl_ctx: FLContext) -> None:
        signal = fl_ctx.get_prop(ReservedKey.RUN_ABORT_SIGNAL)  # every run has one; it says something once triggered
        status = "aborted" if signal is not None and signal.triggered else "ended"
        self._write([{"kind": "end", "status": status, "seconds": time.time() - self._began}])

    def _write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append whole lines in one write, so that a reader of a running job sees only whole ones."""
        if self._path is None:
            return
        text = "".join(json.dumps(row, default=_plain) + "\n" for row in rows)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(text)


def _report_of(result: Shareable) -> dict[str, Any]:
    """What a site says of its round; nothing where its answer cannot be read (the aggregator then refuses it)."""
    try:
        report = from_shareable(result).get_meta_prop(REPORT_KEY)
    except ValueError:
        return {}
    return dict(report) if isinstance(report, dict) else {}


def _plain(value: Any) -> Any:
    """JSON for numpy's numbers."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in a row")
