"""The recorder: what happened in a job, as rows, on the server. Rows carry sites, never patients.

At the end of the job it writes FLARE's own metrics files from them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey
from nvflare.apis.shareable import ReturnCode, Shareable
from nvflare.app_common.abstract.model import ModelLearnableKey
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType
from nvflare.widgets.info_collector import InfoCollector

import fedbrats
from fedbrats.flare import garbage
from fedbrats.flare.metrics_files import write_flare_metrics
from fedbrats.flare.protocol import FROM_SERVER, STAGES, STANDING, read_answer, report_of
from fedbrats.flare.server.gated_aggregator import SAID_NUMBERS, TOTAL_ROUNDS
from fedbrats.flare.server.row_events import ROWS_EVENT
from fedbrats.flare.server.rows_file import RowsFile, rows_path
from fedbrats.flare.server.traffic import count_bytes, count_sent
from fedbrats.rows import (
    FINAL_ROUND,
    evaluation_rows,
    metric_rows,
    read_rows,
)
from fedbrats.site_report import FRESH, EvaluationReport
from fedbrats.standing import Standing


class Recorder(FLComponent):
    """Appends rows to `fedbrats/rows.jsonl` in the run folder of the server, which the job's download contains."""

    def __init__(self) -> None:
        super().__init__()
        self._file: RowsFile | None = None
        self._began = self._round_began = time.monotonic()  # durations: the wall clock may jump
        self._answered: set[str] = set()
        self._refused: set[str] = set()
        self._known: set[str] = set()  # sites that were counted in some round
        self._bytes_down = 0
        self._standing = Standing()

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
            InfoCollector.EVENT_TYPE_GET_STATS: self._tell_standing,
        }
        handler = handlers.get(event_type)
        if handler:
            handler(fl_ctx)

    def _start(self, fl_ctx: FLContext) -> None:
        self._file = RowsFile(rows_path(fl_ctx), self.logger)
        self._began = time.monotonic()
        garbage.freeze()
        self._write(
            [{"kind": "job", "job_id": fl_ctx.get_job_id(), "version": fedbrats.__version__, "at": time.time()}]
        )

    def _start_round(self, fl_ctx: FLContext) -> None:
        self._round_began = time.monotonic()
        self._answered, self._refused = set(), set()
        self._bytes_down = count_bytes(
            (fl_ctx.get_prop(AppConstants.GLOBAL_MODEL) or {}).get(ModelLearnableKey.WEIGHTS)
        )

    def _record_answer(self, fl_ctx: FLContext) -> None:
        site = fl_ctx.get_peer_context().get_identity_name()
        accepted = bool(fl_ctx.get_prop(AppConstants.AGGREGATION_ACCEPTED))
        round_number = fl_ctx.get_prop(AppConstants.CURRENT_ROUND)
        answer = read_answer(fl_ctx.get_prop(AppConstants.TRAINING_RESULT))
        report = report_of(answer)
        if accepted:
            self._answered.add(site)
        row = {
            "kind": "site",
            "round": round_number,
            "site": site,
            "accepted": accepted,
            "answered_s": time.monotonic() - self._round_began,
            **report.model_dump(exclude={"received", "trained", "bytes_down"}),
            # As it travelled, where that was compressed: then it is less than the arrays, whatever a site says.
            "bytes": {
                "down": min(report.bytes_down or self._bytes_down, self._bytes_down),
                "up": count_sent(answer),
            },
        }
        rows = [row]
        if accepted:  # what is refused says nothing of the model
            if said := fl_ctx.get_prop(SAID_NUMBERS):
                row["said"] = said
            for stage, values in (("received", report.received), ("trained", report.trained)):
                rows += metric_rows(round_number, site, stage, values, report.validation_cases or 0)
        if accepted and report.begins == FRESH and site in self._known:
            message = (
                f"{site} has lost what it kept of earlier rounds: its optimiser and its personal weights begin anew"
            )
            self.log_warning(fl_ctx, f"{message}; round={round_number} site={site}")
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
            "seconds": time.monotonic() - self._round_began,
            "ended_at": time.time(),
        }
        if row["silent"]:
            silent = ",".join(row["silent"])
            self.log_warning(fl_ctx, f"a round was closed without some sites; round={row['round']} sites={silent}")
        self._write([row])
        garbage.collect()
        garbage.return_to_system()

    def _record_evaluation(self, fl_ctx: FLContext) -> None:
        owner = fl_ctx.get_prop(AppConstants.MODEL_OWNER)
        site = fl_ctx.get_prop(AppConstants.DATA_CLIENT)
        result: Shareable = fl_ctx.get_prop(AppConstants.VALIDATION_RESULT)
        has_failed = result.get_return_code() not in (None, ReturnCode.OK)
        answer = None if has_failed else read_answer(result)
        found = EvaluationReport.read(answer.data) if answer else None
        if found is None:
            why = f"; the log of {site} says why" if has_failed else f": what {site} answered is no evaluation"
            row = {"kind": "refusal", "round": None, "site": site, "reason": "no-evaluation"}
            self._write([{**row, "message": f"of {owner}{why}"}])
            return
        if owner in STAGES:
            self._write(metric_rows(FINAL_ROUND, site, STAGES[owner], found.metrics, found.validation_cases))
            return
        model, personal_of = _name_evaluated(owner)
        self._write(evaluation_rows(model, personal_of, site, found.model_dump(), own_personal=found.own_personal))

    def _record_rows(self, fl_ctx: FLContext) -> None:
        rows = fl_ctx.get_prop(ROWS_EVENT) or []
        self._refused |= {row["site"] for row in rows if row["kind"] == "refusal"}
        self._known |= {row["site"] for row in rows if row["kind"] == "site" and row["accepted"]}  # of an earlier job
        self._write(rows)

    def _end(self, fl_ctx: FLContext) -> None:
        signal = fl_ctx.get_prop(ReservedKey.RUN_ABORT_SIGNAL)  # every run has one; it says something once triggered
        status = "aborted" if signal is not None and signal.triggered else "ended"
        self._write([{"kind": "end", "status": status, "seconds": time.monotonic() - self._began}])
        path, meta = rows_path(fl_ctx), fl_ctx.get_prop(FLContextKey.JOB_META) or {}
        try:
            job = str(meta.get(JobMetaKey.JOB_NAME.value) or fl_ctx.get_job_id())
            write_flare_metrics(path.parent.parent, read_rows(path), job)
        except (OSError, ValueError, LookupError, TypeError) as error:  # rows of an earlier version may lack something
            self.log_error(fl_ctx, f"FLARE's metrics files could not be written: {error}")

    def _tell_standing(self, fl_ctx: FLContext) -> None:
        """Answer FLARE's `show_stats`, which everybody may ask who may see jobs."""
        collector = fl_ctx.get_prop(InfoCollector.CTX_KEY_STATS_COLLECTOR)
        if collector is not None:
            sites = len(fl_ctx.get_engine().get_clients())
            rounds = fl_ctx.get_prop(TOTAL_ROUNDS, 0)
            collector.add_info(STANDING, {**self._standing.document(), "rounds": rounds, "sites": sites})

    def _write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        rows = list(rows)
        self._standing.take(rows)
        if self._file is not None:
            self._file.append(rows)


def _name_evaluated(owner: str) -> tuple[str, str | None]:
    """(model, the site whose personal part is in it) of a name of FLARE's: `SRV_fedavg`, or `site-1.fedper`."""
    if owner.startswith(FROM_SERVER):
        return owner.removeprefix(FROM_SERVER), None
    site, _, model = owner.rpartition(".")  # a host's name has dots, a model's has none
    return model, site
